"""Boards, alert rules and notification routes as tested code: Python generates what Prometheus and Grafana read."""
