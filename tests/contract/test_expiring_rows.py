"""A table that deletes rows by itself would lose acknowledged events, so it is refused."""

from __future__ import annotations

import pytest

from domain.errors import UnavailableError
from pipeline.settings import load_settings
from pipeline.wiring.storage import opened_storage
from sinks.clickhouse.dossier_index import ClickHouseDossierIndex
from sinks.clickhouse.expiring_rows import refuse_expiring_rows
from sinks.clickhouse.store import ClickHouseStore
from sinks.errors import Fatal
from sinks.tables import WHOLE_TABLES
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


def test_a_ttl_of_any_table_is_refused_at_the_start_and_before_an_acknowledgement(served, monkeypatch):
    """No table whose rows count may delete them, also those that only an operator fills."""
    monkeypatch.setenv("PORTALPULSE_CLICKHOUSE__URL", served_url(served))
    for table in WHOLE_TABLES:
        column = served.rows(
            "test",
            "SELECT name FROM system.columns WHERE database = currentDatabase() AND table = {table:String} "
            "AND default_kind != 'EPHEMERAL' LIMIT 1",
            {"table": table},
        )[0][0]
        late = f"toDateTime('2100-01-01') + toIntervalSecond(CAST(length(toString({column})), 'UInt32'))"
        served.command("test", f"ALTER TABLE {table} MODIFY TTL {late}")
        with pytest.raises(Fatal, match=f"a TTL deletes rows or values of the table {table},"):
            ClickHouseStore(served).check_tables()
        with (
            pytest.raises(UnavailableError, match=f"a TTL deletes rows or values of the table {table},"),
            opened_storage(load_settings()),
        ):
            raise AssertionError
        served.command("test", f"ALTER TABLE {table} REMOVE TTL")


def served_url(clickhouse):
    """The address of a client's database."""
    target = clickhouse.target
    return f"http://{target.host}:{target.port}/{target.database}"


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
        refuse_expiring_rows(served, WHOLE_TABLES)
    for change in deleting:
        served.command("test", f"ALTER TABLE dossier_messages {change}")
        with pytest.raises(Fatal, match="table dossier_messages,"):
            refuse_expiring_rows(served, WHOLE_TABLES)
        if "MODIFY TTL" in change:
            served.command("test", "ALTER TABLE dossier_messages REMOVE TTL")
