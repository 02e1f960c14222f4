"""All that knows Faust and aiokafka: the record-batch transport, the ingest agent, the preflight and the watchdog."""
