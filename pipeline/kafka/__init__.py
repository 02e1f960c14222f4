"""The only package that uses Faust and aiokafka: transport, worker, record batches, preflight, topic identity, errors."""
