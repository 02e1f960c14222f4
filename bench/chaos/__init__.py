"""Faults with real services: failures of messages, Kafka, workers and ClickHouse, and what must hold meanwhile."""
