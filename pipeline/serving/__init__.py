"""HTTP of a process: the server, its endpoints, the exporter of metrics, and who may send which requests."""
