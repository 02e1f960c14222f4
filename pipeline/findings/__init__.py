"""Findings: counts of unusual dossiers, computed on request (HTTP and a command) and regularly for metrics."""
