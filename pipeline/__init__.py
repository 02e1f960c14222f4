"""The pipeline from Kafka to exact tallies: ingest, audit, reports, the live board, HTTP, settings and the command line."""
