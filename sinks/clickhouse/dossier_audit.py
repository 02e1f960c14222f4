"""Reads all messages, decisions, index rows and corrections of the dossiers of a share, for the audit and its repair."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final

import pyarrow as pa

from domain.catalogue_levels import CatalogueLevels
from sinks.clickhouse.catalogue_levels import ClickHouseCatalogueLevels
from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.dossier_sql import DOSSIER as _NUMBER
from sinks.clickhouse.dossier_sql import FACTS
from sinks.clickhouse.dossier_statements import HISTORY, delete_dossiers, listed, number
from sinks.clickhouse.due import OLD, due_condition, due_parameters
from sinks.clickhouse.expired_sql import IN_FORCE, WITH_BOUND
from sinks.clickhouse.repeat_search import between
from sinks.clickhouse.row_policies import refuse_hidden_rows, whole
from sinks.clickhouse.tally_sql import BACKGROUND_SORTING, BACKGROUND_SPILLING
from sinks.clickhouse.times import to_milliseconds
from sinks.contract.audit import Acknowledged
from sinks.contract.dossier_audit import DossierSelection, Finished
from sinks.contract.exclusions import EXCLUDED_FACT
from sinks.tables import (
    DOSSIER_CORRECTIONS,
    DOSSIER_EXCLUSIONS,
    DOSSIER_INDEX,
    DOSSIER_MESSAGES,
    DOSSIERS,
    EXPIRATION_RUNS,
    EXPIRED_DOSSIERS,
)

#: The number of the dossier of a message.
_DOSSIER: Final = f"({_NUMBER})"
#: A sort of more than this continues on disk, too.
_SPILLING: Final = BACKGROUND_SORTING | {"max_block_size": 65_536}
#: What identifies a message in the index and the corrections, besides its dossier.
_IDENTITY: Final = "occurred_at, event_id, agency, procedure_code, due_at"
#: A stored decision in the columns of ``HISTORY`` without ``id``, as it is in the index.
_DECISION: Final = (
    "dossier, decided_at AS occurred_at, id AS event_id, toLowCardinality('') AS agency, toLowCardinality('') AS procedure_code, "
    f"toDateTime64(0, 3, 'UTC') AS due_at, toUInt16(if(excluded, {EXCLUDED_FACT}, 0)) AS facts"
)
#: Tables of messages and decisions, from which the index and the corrections are made.
_SOURCES: Final = (DOSSIER_MESSAGES, DOSSIER_EXCLUSIONS)


class ClickHouseDossierAudit:
    """Implements ``DossierAudit`` with one ClickHouse. Several threads may use an object at once."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse, self._levels = clickhouse, ClickHouseCatalogueLevels(clickhouse)

    def stored_dossiers(
        self, selection: DossierSelection, *, settle: dt.timedelta, acknowledged: Acknowledged | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Everything about the selected dossiers; see ``DossierAudit.stored_dossiers``.

        The tables are read in the order of the union.
        """
        in_hand = f"NOT ({due_condition(acknowledged)})" if settle else "0"
        in_hand_decision = f"NOT ({OLD.format(column='decided_at')})" if settle else "0"
        chosen, of_messages = selected_dossiers("dossier", selection), selected_dossiers(_DOSSIER, selection)
        found = self._clickhouse.batches(
            "audit_dossiers",
            f"{WITH_BOUND} SELECT {HISTORY}, max(s) AS stored, max(i) AS indexed, max(c) AS corrected, "  # noqa: S608
            "max(p) AS plus, max(m) AS minus, max(n) AS seen, groupUniqArrayIf(v, v > 0) AS claims, max(h) AS in_hand FROM ("
            f"SELECT dossier, {_IDENTITY}, facts, toUInt8(0) AS s, toUInt8(0) AS i, toUInt8(1) AS c, plus AS p, minus AS m, "
            f"seen AS n, toUInt16(0) AS v, toUInt8(0) AS h FROM {DOSSIER_CORRECTIONS} FINAL WHERE {chosen} UNION ALL "
            f"SELECT dossier, {_IDENTITY}, facts, 0, toUInt8(claim = 0), 0, toUInt16(0), toUInt16(0), toUInt32(0), claim, 0 "
            f"FROM {DOSSIER_INDEX} WHERE {chosen} UNION ALL "
            f"SELECT {_DOSSIER}, {_IDENTITY}, {FACTS}, 1, 0, 0, toUInt16(0), toUInt16(0), toUInt32(0), toUInt16(0), "
            f"toUInt8({in_hand}) "
            f"FROM {DOSSIER_MESSAGES} WHERE {of_messages} UNION ALL "
            f"SELECT {_DECISION}, 1, 0, 0, toUInt16(0), toUInt16(0), toUInt32(0), toUInt16(0), "
            f"toUInt8({in_hand_decision}) FROM {DOSSIER_EXCLUSIONS} WHERE {chosen}) "
            f"GROUP BY dossier, {_IDENTITY}, facts ORDER BY dossier",
            due_parameters(settle, acknowledged),
            **_SPILLING,
        )
        read = (DOSSIER_CORRECTIONS, DOSSIER_INDEX, *_SOURCES, EXPIRED_DOSSIERS, EXPIRATION_RUNS)
        return whole(found, self._clickhouse, read if selection.finished is None else (*read, DOSSIERS))

    def levels(self, agencies: Collection[str]) -> CatalogueLevels:
        """The levels of the service catalogue; see ``DossierAudit.levels``."""
        return self._levels.of(agencies)

    def stored_messages(self, dossiers: Sequence[bytes]) -> pa.Table:
        """The distinct stored messages of dossiers; see ``DossierAudit.stored_messages``. Scans the codes of all messages."""
        parts = [
            self._clickhouse.table(
                "audit_messages",
                f"SELECT {HISTORY} FROM (SELECT DISTINCT {_DOSSIER} AS dossier, {_IDENTITY}, {FACTS} AS facts "  # noqa: S608
                f"FROM {DOSSIER_MESSAGES} WHERE {_DOSSIER} IN ({some}) UNION ALL "
                f"SELECT {_DECISION} FROM {DOSSIER_EXCLUSIONS} WHERE dossier IN ({some}))",
                **_SPILLING,
            )
            for some in listed(dossiers)
        ]
        refuse_hidden_rows(self._clickhouse, _SOURCES)
        return pa.concat_tables(parts).unify_dictionaries()

    def codes(self, dossiers: Sequence[bytes]) -> Mapping[bytes, str]:
        """The codes of dossiers; see ``DossierAudit.codes``. Scans the codes of all messages."""
        numbers = {number(dossier): dossier for dossier in dossiers}
        found: dict[bytes, str] = {}
        for some in listed(dossiers):
            rows = self._clickhouse.rows(
                "audit_codes",
                f"SELECT dossier, any(code) FROM (SELECT {_DOSSIER} AS dossier, dossier_code AS code FROM {DOSSIER_MESSAGES} "  # noqa: S608
                f"WHERE {_DOSSIER} IN ({some}) UNION ALL "
                f"SELECT dossier, dossier_code FROM {DOSSIER_EXCLUSIONS} WHERE dossier IN ({some})) GROUP BY dossier",
                **BACKGROUND_SPILLING,
            )
            found |= {numbers[int(number)]: str(code) for number, code in rows}
        refuse_hidden_rows(self._clickhouse, _SOURCES)
        return found

    def forget(self, dossiers: Sequence[bytes]) -> None:
        """Delete dossiers from the index, the corrections and the table of dossiers; see ``DossierAudit.forget``."""
        delete_dossiers(self._clickhouse, "repair_dossiers", (DOSSIER_INDEX, DOSSIER_CORRECTIONS, DOSSIERS), dossiers)


def selected_dossiers(dossier: str, selection: DossierSelection) -> str:
    """The SQL condition that a dossier is selected; ``dossier``: the SQL of its number. The statement needs ``WITH_BOUND``."""
    share = f"modulo({{}}, {selection.shard.count:d}) = {selection.shard.index:d}".format
    expired = f"FROM {EXPIRED_DOSSIERS} WHERE {IN_FORCE}"
    conditions = [
        share(dossier),
        f"((SELECT count() {expired}) = 0 OR {dossier} NOT IN (SELECT dossier {expired} AND {share('dossier')}))",
    ]
    if selection.days is not None:
        sources = " UNION ALL ".join(
            f"SELECT {number} AS dossier FROM {table} WHERE {between(selection.days, at)} AND {share(number)}"  # noqa: S608
            for table, number, at in (
                (DOSSIER_MESSAGES, _DOSSIER, "occurred_at"),
                (DOSSIER_INDEX, "dossier", "occurred_at"),
                (DOSSIER_CORRECTIONS, "dossier", "occurred_at"),
                (DOSSIER_EXCLUSIONS, "dossier", "decided_at"),
            )
        )
        conditions.append(f"{dossier} IN ({sources})")
    if selection.finished is not None:
        rows = f"SELECT dossier FROM {DOSSIERS} FINAL WHERE {share('dossier')} AND {is_finished(selection.finished)}"  # noqa: S608
        conditions.append(f"{dossier} IN ({rows})")
    return " AND ".join(conditions)


def is_finished(which: Finished) -> str:
    """The SQL condition on a row of the table of dossiers that its dossier is finished."""
    older_than, quiet = (f"toDateTime64('{to_milliseconds(at)}', 3, 'UTC')" for at in (which.older_than, which.quiet))
    return (
        "state = 'counts' AND greatest(settled_at, given_back_at) > toDateTime64(0, 3, 'UTC') AND notEmpty(times) "
        f"AND arrayMax(times) < {older_than} AND judged_at < {quiet}"
    )
