"""The ingest: decodes, stores, recounts and acknowledges fetched messages, with retries, memory budget and dead-letter limit."""
