"""Several ClickHouse servers: shards by dossier, each with replicas. A single server uses nothing of this package."""
