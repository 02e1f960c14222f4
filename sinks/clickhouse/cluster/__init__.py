"""Several ClickHouse servers: shards by dossier, each with replicas. One server needs nothing of this."""
