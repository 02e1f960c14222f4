"""Every query of the boards: PromQL in ``QUERIES``, SQL in ``SQL_QUERIES``, and the metrics that no board shows in ``UNUSED``."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Final

from dashboards.queries import agency, clickhouse, monitoring, national, pipeline
from dashboards.queries.query import BoardQuery, SqlQuery

__all__ = ["QUERIES", "SQL_QUERIES", "UNUSED", "BoardQuery", "SqlQuery"]

_MODULES: Final[tuple[ModuleType, ...]] = (national, agency, pipeline, monitoring)

QUERIES: Final[Mapping[str, BoardQuery]] = {
    query.name: query for module in _MODULES for query in vars(module).values() if isinstance(query, BoardQuery)
}
SQL_QUERIES: Final[Mapping[str, SqlQuery]] = {
    query.name: query for query in vars(clickhouse).values() if isinstance(query, SqlQuery)
}

#: Metrics that no board shows, and why. A test compares it with ``domain.metric_names`` and the queries.
UNUSED: Final[Mapping[str, str]] = {
    "portalpulse_kafka_disk_free_ratio": "its alert names the broker and what is free; few installations grant the right to ask",
    "agency_stand_in_window": "decides which window an alert judges; the alert itself says which it was",
}
