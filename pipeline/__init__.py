"""Kafka to exact per-agency tallies: the domain core, the Faust worker, the exporter and the command line."""
