"""Workers on a cluster of ClickHouse servers, each test with its own topic, group and database."""

from __future__ import annotations

import json

import pytest

from tests.integration.worker.conftest import Chain


class ClusterChain(Chain):
    """A chain with a cluster in the place of one server."""

    def __init__(self, kafka, cluster, database, log_dir, commands, **options):
        self.cluster = cluster
        self._urls = [[f"{url}/{database}" for url in shard] for shard in cluster.urls]
        super().__init__(kafka, cluster.replica(0, 0), log_dir, commands, **options)
        self.database = database

    def storage(self):
        """The addresses of every server."""
        return {"PORTALPULSE_CLICKHOUSE__SHARDS": json.dumps(self._urls), "PORTALPULSE_CLICKHOUSE__TIMEOUT_SECONDS": "10"}

    def close(self):
        """Stop the workers; the database belongs to the fixture."""
        for worker in self.workers:
            worker.process.stop()


@pytest.fixture
def cluster_chain(kafka, clickhouse_cluster, clickhouse_database, tmp_path, commands):
    """A fresh chain; its workers are stopped at the end."""
    chain = ClusterChain(kafka, clickhouse_cluster, clickhouse_database, tmp_path, commands)
    yield chain
    chain.close()
