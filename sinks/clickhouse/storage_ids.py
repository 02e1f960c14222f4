"""Reads the ids that tell this storage from others. Migration 0022 writes them."""

from __future__ import annotations

from collections.abc import Sequence

from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.row_policies import refuse_hidden_rows
from sinks.errors import Fatal
from sinks.tables import STORAGE_IDS


def storage_ids(clickhouse: ClickHouse) -> Sequence[str]:
    """The ids of the storage, the oldest first.

    Raises:
        Fatal: the storage has no id.
        SinkError: the storage does not answer.
    """
    rows = clickhouse.counted_rows(
        "read_storage_ids",
        f"SELECT toString(id), min(created_at) AS created, count() OVER () FROM {STORAGE_IDS} GROUP BY id ORDER BY created, id",  # noqa: S608
    )
    refuse_hidden_rows(clickhouse, (STORAGE_IDS,))
    if not rows:
        raise Fatal(f"{clickhouse.target.display_name}: the table {STORAGE_IDS} is empty, which migration 0022 fills.")
    return tuple(str(identity) for identity, _ in rows)
