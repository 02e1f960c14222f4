"""The local stack: Kafka, ClickHouse, Prometheus and Alertmanager as child processes on one machine without containers."""
