"""All that knows Faust and aiokafka: transport, record batches, app, worker, preflight, topic identity, errors, security."""
