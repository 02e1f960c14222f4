"""A table that deletes rows by itself would lose acknowledged events, so it is refused."""

from __future__ import annotations

import pytest

from sinks.clickhouse.dossier_index import ClickHouseDossierIndex
from sinks.clickhouse.expiring_rows import refuse_expiring_rows
from sinks.clickhouse.row_policies import TABLES
from sinks.clickhouse.store import ClickHouseStore
from sinks.errors import Fatal
from tests.contract.one_message import stored_message

pytestmark = pytest.mark.integration  # a server whose tables are changed

OLD = "toDateTime(occurred_at) + INTERVAL 1 DAY"


def test_a_ttl_that_deletes_is_refused_before_anything_is_acknowledged(served, registry):
    """A TTL that comes when an event is stored and counted, and deletes it by a merge: the event is not acknowledged."""
    acknowledged = []
    steps = stored_message(ClickHouseStore(served), ClickHouseDossierIndex(served), registry, acknowledged.extend)
    steps.recounter.minutes_round()
    steps.recounter.days_round()
    served.command("test", f"ALTER TABLE dossier_messages MODIFY TTL {OLD}")
    served.command("test", "OPTIMIZE TABLE dossier_messages FINAL")  # a merge in the background would do the same some time
    assert served.rows("test", "SELECT count() FROM dossier_messages") == [(0,)]
    with pytest.raises(Fatal, match="a TTL deletes rows or values of the table dossier_messages"):
        steps.recounter.procedures_round()
    assert acknowledged == []


def test_what_deletes_is_told_from_what_moves(served):
    """A TTL of rows, of some rows or of a column is refused; one that moves or recompresses is not."""
    harmless = (
        f"MODIFY TTL {OLD} TO DISK 'default'",
        f"MODIFY TTL {OLD} RECOMPRESS CODEC(ZSTD(5)), {OLD} TO DISK 'default'",
        "MODIFY COMMENT 'no TTL here: x TTL y'",
        "COMMENT COLUMN portal_id 'no TTL'",
        "REMOVE TTL",
    )
    deleting = (
        f"MODIFY TTL {OLD} RECOMPRESS CODEC(ZSTD(5)), {OLD} DELETE WHERE status = 1",
        f"MODIFY TTL {OLD} TO DISK 'default', least({OLD}, toDateTime('2100-01-01')) DELETE",
        f"MODIFY COLUMN portal_id LowCardinality(String) TTL {OLD}",
    )
    for change in harmless:
        served.command("test", f"ALTER TABLE dossier_messages {change}")
        refuse_expiring_rows(served, TABLES)
    for change in deleting:
        served.command("test", f"ALTER TABLE dossier_messages {change}")
        with pytest.raises(Fatal, match="table dossier_messages,"):
            refuse_expiring_rows(served, TABLES)
        if "MODIFY TTL" in change:
            served.command("test", "ALTER TABLE dossier_messages REMOVE TTL")
