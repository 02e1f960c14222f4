"""Prometheus rules: agency.yml, pipeline.yml and meta.yml are generated here and tested with promtool."""
