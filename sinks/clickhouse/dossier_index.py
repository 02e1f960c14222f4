"""The index of messages by dossier, the claims, and the corrections: what the dossier tier of a worker reads and writes."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import numpy as np
import pyarrow as pa

from domain.catalogue_levels import NO_CATALOGUE, CatalogueLevels
from domain.dossiers import ENDS_UNSETTLED
from domain.events import Status
from sinks.clickhouse.arrow import arrow_stream
from sinks.clickhouse.catalogue_levels import ClickHouseCatalogueLevels
from sinks.clickhouse.client import ClickHouse, ExternalTable
from sinks.clickhouse.dossier_sql import DOSSIER
from sinks.clickhouse.dossier_statements import HISTORY, WRITE
from sinks.contract.dossiers import BARE_NINE, CLAIM, COUNTER_TEN, FULL_NINE, ONLINE, OTHER_CHANNEL, SUBMISSION
from sinks.tables import DOSSIER_CHANGES, DOSSIER_CORRECTIONS, DOSSIER_INDEX

_BATCH: Final = "batch"
_BATCH_STRUCTURE: Final = "dossier_code String"
_STATUS: Final = "bitAnd(facts, 15)"
#: Sort key of a message within its dossier: time, status, then 0 for a submission and 1 for others. So the minimum is that of the
#: first message and tells whether it is a submission.
_ORDER: Final = f"(toUnixTimestamp64Milli(occurred_at) * 32 + {_STATUS} * 2 + if(bitAnd(flags, {SUBMISSION}) != 0, 0, 1))"
#: Ten counters of six bits in one number: how many messages have each status.
_LANE: Final = f"bitShiftLeft(toUInt64(1), toUInt8(({_STATUS} - 1) * 6))"
#: With more messages a counter could overflow.
_MAX_PLAIN: Final = 60
#: The bits of a counter that is larger than 1.
_MORE_THAN_ONE: Final = sum(62 << lane * 6 for lane in range(10))


def _has(*statuses: Status) -> str:
    """The SQL condition that a dossier has a message with one of the statuses; valid while no counter of ``lanes`` is above 1."""
    return f"bitAnd(lanes, {sum(1 << (status - 1) * 6 for status in statuses)}) != 0"


#: A dossier is plain when every message of it counts as by itself. This may call a plain dossier a suspect, never the reverse.
_SUSPECT: Final = " OR ".join(
    (
        f"n > {_MAX_PLAIN}",
        # A message may have a correction, an operator decided about the dossier, or it was counted with a level of the catalogue.
        f"bitAnd(all_flags, {CLAIM}) != 0",
        # Several messages have one status, perhaps because one was sent twice.
        f"bitAnd(lanes, {_MORE_THAN_ONE}) != 0",
        # Its first message is not a submission.
        "bitAnd(first, 1) != 0",
        # Messages have different channels. With one channel no later message is a submission.
        f"bitAnd(all_flags, {ONLINE | OTHER_CHANNEL}) = {ONLINE | OTHER_CHANNEL}",
        # A 10 settles when there is no 9.
        f"({_has(Status.RETURNED)} AND NOT {_has(Status.SETTLED)})",
        # The channel or level of the 9 comes from other messages, or the way of return is known later.
        f"bitAnd(all_flags, {BARE_NINE}) != 0",
        f"bitAnd(all_flags, {FULL_NINE | COUNTER_TEN}) = {FULL_NINE | COUNTER_TEN}",
        # It may have been taken up again or settled afterwards.
        f"({_has(*ENDS_UNSETTLED)} AND n > 2)",
    )
)
_FIND_SUSPECTS: Final = f"""
SELECT dossier FROM (
  SELECT dossier, count() AS n, sum(if(flags >= {CLAIM}, toUInt64(0), {_LANE})) AS lanes,
    groupBitOr(flags) AS all_flags, min({_ORDER}) AS first
  FROM {DOSSIER_INDEX} PREWHERE dossier IN (SELECT {DOSSIER} FROM {_BATCH}) GROUP BY dossier
) WHERE {_SUSPECT} ORDER BY dossier
"""  # noqa: S608 - names are constants
_SUSPECTS: Final = "suspects"
_SUSPECTS_STRUCTURE: Final = "dossier UInt128"


class ClickHouseDossierIndex:
    """Implements ``DossierIndex`` with one ClickHouse. Several threads may use an object at once.

    Args:
        clickhouse: the storage.
        later_tables: whether the tables of later migrations exist: False while migration 0012 counts the stored dossiers.
    """

    def __init__(self, clickhouse: ClickHouse, *, later_tables: bool = True) -> None:
        self._clickhouse, self._notes_changes = clickhouse, later_tables  # migration 0017 notes every dossier
        self._levels = ClickHouseCatalogueLevels(clickhouse) if later_tables else None

    def add(self, messages: pa.Table) -> None:
        """Index messages, and then note their dossiers in ``dossier_changes``; see ``DossierIndex.add``."""
        self._insert("index_messages", DOSSIER_INDEX, messages)
        if self._notes_changes:
            self._note_changes(messages, "dossier_code" if "dossier_code" in messages.column_names else "dossier")

    def suspects(self, codes: pa.Table) -> pa.Table:
        """The suspects among dossiers; see ``DossierIndex.suspects``."""
        return self._clickhouse.table("find_suspects", _FIND_SUSPECTS, ExternalTable(_BATCH, _BATCH_STRUCTURE, codes))

    def histories(self, suspects: pa.Table) -> pa.Table:
        """All messages and claims of the suspects; see ``DossierIndex.histories``."""
        return self._clickhouse.table(
            "read_histories",
            f"SELECT {HISTORY}, claim, confirmed FROM {DOSSIER_INDEX} "  # noqa: S608 - names are constants
            f"PREWHERE dossier IN (SELECT dossier FROM {_SUSPECTS})",
            ExternalTable(_SUSPECTS, _SUSPECTS_STRUCTURE, suspects),
        )

    def levels(self, agencies: Collection[str]) -> CatalogueLevels:
        """The levels of the service catalogue; see ``DossierIndex.levels``."""
        return NO_CATALOGUE if self._levels is None else self._levels.of(agencies)

    def note(self, notes: pa.Table) -> None:
        """Write level notes, and then note their dossiers in ``dossier_changes``; see ``DossierIndex.note``."""
        self._insert("note_levels", DOSSIER_INDEX, _flagged(notes))
        self._note_changes(notes, "dossier")

    def claim(self, claims: pa.Table) -> None:
        """Record claims; see ``DossierIndex.claim``."""
        self._insert("claim_corrections", DOSSIER_INDEX, _claims(claims, confirmed=False))

    def confirm(self, claims: pa.Table) -> None:
        """Confirm claims; see ``DossierIndex.confirm``."""
        self._insert("confirm_corrections", DOSSIER_INDEX, _claims(claims, confirmed=True))

    def correct(self, corrections: pa.Table) -> None:
        """Store corrections; see ``DossierIndex.correct``."""
        self._insert("insert_corrections", DOSSIER_CORRECTIONS, corrections)

    def _note_changes(self, rows: pa.Table, name: str) -> None:
        """Note each dossier of the rows once as changed; ``name``: the column with the dossier."""
        self._insert("note_dossiers", DOSSIER_CHANGES, pa.table({name: rows.column(name).unique()}))

    def _insert(self, operation: str, table: str, rows: pa.Table) -> None:
        self._clickhouse.insert(operation, table, rows.column_names, arrow_stream(rows), "ArrowStream", **WRITE)


def _claims(claims: pa.Table, *, confirmed: bool) -> pa.Table:
    return _flagged(claims).append_column("confirmed", pa.array(np.full(claims.num_rows, confirmed)))


def _flagged(rows: pa.Table) -> pa.Table:
    """The rows with the flag that makes their dossier a suspect."""
    return rows.append_column("flags", pa.array(np.full(rows.num_rows, CLAIM, dtype=np.uint8)))
