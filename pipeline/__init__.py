"""From Kafka to exact tallies: ingest, figures, checks, the live board, HTTP, settings and the command line."""
