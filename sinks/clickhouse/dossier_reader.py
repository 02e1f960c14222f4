"""Reads the messages of single dossiers."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import pyarrow as pa

from domain.events import DossierEvent
from sinks.clickhouse.client import ClickHouse, ExternalTable
from sinks.clickhouse.dossier_sql import DOSSIER
from sinks.clickhouse.expired_sql import IN_FORCE, WITH_BOUND
from sinks.clickhouse.row_policies import refuse_hidden_rows
from sinks.clickhouse.times import aware
from sinks.contract.dossiers import fields_of, message_of
from sinks.tables import DOSSIER_INDEX, EXPIRATION_RUNS, EXPIRED_DOSSIERS

_MESSAGE: Final = "occurred_at, toString(event_id) AS id, agency, procedure_code, due_at, facts"
_FIELDS: Final = "occurred_at, id, agency, procedure_code, due_at, facts"
#: Rows that are neither claims nor decisions.
_IS_MESSAGE: Final = "claim = 0 AND bitAnd(facts, 15) != 0"
_CODES: Final = "codes"
#: Messages of each dossier that are read together with those of others.
_READ_AT_ONCE: Final = 20_000


class ClickHouseDossierReader:
    """Implements ``DossierReader`` with one ClickHouse. Several threads may use an object at once."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse

    def messages(self, code: str) -> Sequence[DossierEvent]:
        """The distinct messages of a dossier; see ``DossierReader.messages``."""
        rows = self._clickhouse.counted_rows(
            "read_dossier",
            f"SELECT {_FIELDS}, count() OVER () FROM (SELECT DISTINCT {_MESSAGE} FROM {DOSSIER_INDEX} "  # noqa: S608
            f"WHERE {_IS_MESSAGE} AND dossier = (SELECT {DOSSIER} FROM (SELECT {{code:String}} AS dossier_code)))",
            {"code": code},
        )
        refuse_hidden_rows(self._clickhouse, (DOSSIER_INDEX,))
        return [_event(code, row) for row in rows]

    def expired_at(self, code: str) -> dt.datetime | None:
        """When the messages of a dossier expired; see ``DossierReader.expired_at``."""
        rows = self._clickhouse.rows(
            "read_dossier",
            f"{WITH_BOUND} SELECT count(), min(expired_at) FROM {EXPIRED_DOSSIERS} WHERE {IN_FORCE} "  # noqa: S608
            f"AND dossier = (SELECT {DOSSIER} FROM (SELECT {{code:String}} AS dossier_code))",
            {"code": code},
        )
        refuse_hidden_rows(self._clickhouse, (EXPIRED_DOSSIERS, EXPIRATION_RUNS))
        return aware(rows[0][1]) if int(rows[0][0]) else None

    def messages_of(self, codes: Sequence[str]) -> Mapping[str, Sequence[DossierEvent]]:
        """The distinct messages of several dossiers; see ``DossierReader.messages_of``."""
        rows = self._clickhouse.table(
            "read_dossiers",
            f"SELECT dossier_code, {_FIELDS} FROM "  # noqa: S608
            f"(SELECT DISTINCT dossier, {_MESSAGE} FROM {DOSSIER_INDEX} PREWHERE dossier IN (SELECT {DOSSIER} FROM {_CODES}) "
            f"WHERE {_IS_MESSAGE} LIMIT {_READ_AT_ONCE} BY dossier) AS found "
            f"INNER JOIN (SELECT dossier_code, {DOSSIER} AS dossier FROM {_CODES}) AS wanted USING dossier",
            ExternalTable(_CODES, "dossier_code String", pa.table({"dossier_code": pa.array(codes, pa.string())})),
        )
        refuse_hidden_rows(self._clickhouse, (DOSSIER_INDEX,))
        found: dict[str, list[DossierEvent]] = {}
        for row in rows.to_pylist():
            code = row.pop("dossier_code")
            found.setdefault(code, []).append(_event(code, list(row.values())))
        # One portal may use a code for everything: such a dossier is read alone.
        return {code: self.messages(code) if len(events) == _READ_AT_ONCE else events for code, events in found.items()}


def _event(code: str, row: Sequence[object]) -> DossierEvent:
    occurred_at, event_id, agency, procedure, due_at, facts = row
    fields = {name: column[0] for name, column in fields_of(np.array([facts], dtype=np.uint16)).items()}
    return message_of(
        code=code,
        event_id=uuid.UUID(str(event_id)),
        agency=str(agency),
        procedure=str(procedure),
        occurred_at=aware(occurred_at),  # type: ignore[arg-type]
        due_at=aware(due_at),  # type: ignore[arg-type]
        status=int(fields["status"]),
        channel=int(fields["channel"]),
        level=int(fields["level"]),
        returned=int(fields["returned"]),
        legacy=int(fields["legacy"]),
        named=bool(fields["named"]),
    )
