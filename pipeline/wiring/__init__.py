"""Puts the parts together: the only package that imports every concrete part (storage, Kafka, features, HTTP)."""
