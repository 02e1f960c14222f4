"""A cluster in the place of one ClickHouse: what tests read they read from all shards, what they change they change on each."""

from __future__ import annotations

import re

from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.cluster.cluster import Cluster
from sinks.clickhouse.cluster.dossiers import ClusterDossierTable
from sinks.clickhouse.cluster.replicas import Replicas
from sinks.clickhouse.cluster.schema import is_sharded
from sinks.clickhouse.cluster.storage import ClusterStorage
from sinks.clickhouse.dossier_table import ClickHouseDossierTable
from sinks.clickhouse.storage import ClickHouseStorage
from sinks.contract.dossier_table import DossierTable
from sinks.contract.storage import Storage

_INSERT_VALUES = re.compile(r"^\s*INSERT INTO \w+ .*\bVALUES\b", re.DOTALL)
_CHANGED = re.compile(r"\b(?:TABLE|INTO|DELETE FROM|MERGES)\s+(\w+)")


class Clustered:
    """Stands where a test has one ``ClickHouse``; only with what tests call themselves."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster, self.target = cluster, cluster.home.target

    def rows(self, operation, sql, parameters=None, **settings):
        """Rows of all shards."""
        return self.cluster.whole.rows(operation, sql, parameters, **settings)

    def table(self, operation, sql, external=None, **settings):
        """The same as an Arrow table."""
        return self.cluster.whole.table(operation, sql, external, **settings)

    def command(self, operation, sql, parameters=None, **settings):
        """Change the rows of each shard, or add rows to one of them."""
        changed = _CHANGED.search(sql)
        if changed and not is_sharded(changed[1]):
            self.cluster.home.command(operation, sql, parameters, **settings)
            return
        for shard in self.cluster.shards[: 1 if _INSERT_VALUES.search(sql) else None]:
            shard.command(operation, sql, parameters, **settings)

    def close(self):
        """Close every connection."""
        self.cluster.close()


def storage_of(clickhouse: ClickHouse | Clustered) -> Storage:
    """The storage over what a fixture gives."""
    return ClusterStorage(clickhouse.cluster) if isinstance(clickhouse, Clustered) else ClickHouseStorage(clickhouse)


def dossier_table_of(clickhouse: ClickHouse | Clustered, **sizes: int) -> DossierTable:
    """The table of dossiers over what a fixture gives, with pages of other sizes."""
    if isinstance(clickhouse, Clustered):
        return ClusterDossierTable(clickhouse.cluster, **sizes)
    return ClickHouseDossierTable(clickhouse, **sizes)


def home_of(clickhouse: ClickHouse | Clustered) -> ClickHouse | Replicas:
    """Where the tables are that every server has."""
    return clickhouse.cluster.home if isinstance(clickhouse, Clustered) else clickhouse
