"""What is asked over HTTP: the server, the exporter of metrics, the report, and who may ask."""
