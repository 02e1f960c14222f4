"""Faults on real parts: what may go wrong between portals, Kafka, workers and ClickHouse, and what must hold meanwhile."""
