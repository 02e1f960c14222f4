"""Findings: counts of unusual dossiers, computed when they are asked for, over HTTP, by a command and as metrics."""
