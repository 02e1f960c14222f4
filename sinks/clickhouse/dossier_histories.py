"""Reads the messages and decisions by which dossiers are judged, of many dossiers at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import pyarrow as pa

from domain.dossiers import MAX_EVENTS
from sinks.clickhouse.client import ClickHouse, ExternalTable
from sinks.clickhouse.dossier_sql import DOSSIER
from sinks.clickhouse.dossier_statements import HISTORY, literal
from sinks.clickhouse.row_policies import refuse_hidden_rows, whole
from sinks.clickhouse.tally_sql import BACKGROUND_SPILLING
from sinks.contract.dossier_table import MANY, LongHistory
from sinks.tables import DOSSIER_EXCLUSIONS, DOSSIER_INDEX, DOSSIER_MESSAGES

_FIELDS: Final = "occurred_at, event_id, agency, procedure_code, due_at, facts"
_PIECE: Final = "judged_dossiers"
_KEYS: Final = "messages_of_dossiers"
_KEYS_STRUCTURE: Final = "dossier UInt128, agency String, occurred_at DateTime64(3, 'UTC'), event_id UUID"


class ClickHouseDossierHistories:
    """Implements ``DossierHistories`` with one ClickHouse. Several threads may use an object at once."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse

    def histories(self, dossiers: pa.Table) -> pa.Table:
        """The messages and decisions of dossiers; see ``DossierHistories.histories``."""
        found = self._clickhouse.table(
            "judged_histories",
            f"SELECT {HISTORY} FROM (SELECT DISTINCT dossier, {_FIELDS} FROM {DOSSIER_INDEX} "  # noqa: S608
            f"PREWHERE dossier IN (SELECT dossier FROM {_PIECE}) WHERE claim = 0) ORDER BY dossier LIMIT {MANY} BY dossier",
            ExternalTable(_PIECE, "dossier UInt128", dossiers.select(["dossier"])),
        )
        refuse_hidden_rows(self._clickhouse, (DOSSIER_INDEX,))
        return found

    def long_history(self, dossier: bytes) -> LongHistory:
        """The messages and decisions of one dossier; see ``DossierHistories.long_history``."""
        rows = f"SELECT DISTINCT dossier, {_FIELDS} FROM {DOSSIER_INDEX} WHERE dossier = {literal(dossier)} AND claim = 0"  # noqa: S608
        counted = self._clickhouse.rows(
            "judged_histories",
            f"SELECT count(), uniqExactIf((event_id, bitAnd(facts, 15)), bitAnd(facts, 15) != 0) FROM ({rows})",  # noqa: S608
            **BACKGROUND_SPILLING,
        )
        seen, events = (int(number) for number in counted[0])
        decisions = " AND bitAnd(facts, 15) = 0" if events > MAX_EVENTS else ""
        found = self._clickhouse.batches(
            "judged_histories",
            f"SELECT {HISTORY} FROM ({rows}{decisions})",  # noqa: S608 - names are constants
            **BACKGROUND_SPILLING,
        )
        return LongHistory(seen, events, whole(found, self._clickhouse, (DOSSIER_INDEX,)))

    def codes(self, rows: pa.Table) -> Mapping[bytes, str]:
        """The codes of dossiers; see ``DossierHistories.codes``. The primary key of the messages finds each."""
        keys = pa.table({name: rows.column(name) for name in ("dossier", "agency", "occurred_at", "event_id")})
        keys = keys.set_column(1, "agency", keys.column("agency").cast(pa.string()))
        found = self._clickhouse.table(
            "codes_of_dossiers",
            f"SELECT DISTINCT dossier, dossier_code FROM (SELECT {DOSSIER} AS dossier, dossier_code FROM {DOSSIER_MESSAGES} "  # noqa: S608
            f"WHERE (agency, occurred_at, event_id) IN (SELECT agency, occurred_at, event_id FROM {_KEYS}) UNION ALL "
            f"SELECT dossier, dossier_code FROM {DOSSIER_EXCLUSIONS} WHERE dossier IN (SELECT dossier FROM {_KEYS}))",
            ExternalTable(_KEYS, _KEYS_STRUCTURE, keys),
        )
        refuse_hidden_rows(self._clickhouse, (DOSSIER_MESSAGES, DOSSIER_EXCLUSIONS))
        return dict(zip(*(found.column(name).to_pylist() for name in ("dossier", "dossier_code")), strict=True))
