"""Grafana boards: written with the foundation SDK, committed as JSON, provisioned from files or pushed."""
