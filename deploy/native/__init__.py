"""The real parts on one machine without containers: Kafka, ClickHouse, Prometheus, Alertmanager as child processes."""
