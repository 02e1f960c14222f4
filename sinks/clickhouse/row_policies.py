"""Refuses row policies that hide rows from the database user: counts would be too low, without an error.

A user may not be allowed to read ``system.row_policies``, but may always read the plan of a query, which names the filter that a
policy adds. The plan of an empty table names none, and a policy may be added at any time. So each read of a figure checks again
after it has read the rows, and a worker checks again after its recounts, before it acknowledges the events.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sinks.clickhouse.client import ClickHouse
from sinks.errors import Fatal
from sinks.tables import (
    AGENCY_DAY,
    AGENCY_DAY_PROCEDURE,
    AGENCY_MINUTE,
    CATALOGUE_ENTRIES,
    CATALOGUE_LOADS,
    DEAD_LETTER_CHECKPOINTS,
    DEAD_LETTER_MARKS,
    DEAD_LETTER_TALLIES,
    DEAD_LETTERS,
    DOSSIER_EXCLUSIONS,
    DOSSIER_MESSAGES,
    TALLY_EPOCHS,
    UNREAD_OFFSETS,
)

#: Every table whose rows count in a figure.
TABLES: Final = (
    *(DOSSIER_MESSAGES, AGENCY_MINUTE, AGENCY_DAY, AGENCY_DAY_PROCEDURE, TALLY_EPOCHS, UNREAD_OFFSETS),
    *(DEAD_LETTERS, DEAD_LETTER_MARKS, DEAD_LETTER_TALLIES, DEAD_LETTER_CHECKPOINTS, DOSSIER_EXCLUSIONS),
    *(CATALOGUE_ENTRIES, CATALOGUE_LOADS),
)
_FILTER: Final = "Row level filter"


def refuse_hidden_rows(clickhouse: ClickHouse, tables: Sequence[str]) -> None:
    """Check that no row policy of these tables applies to this user. Only reads. An empty table is accepted.

    Raises:
        Fatal: a policy does; the message names the table.
    """
    if clickhouse.target.folder is not None:
        return  # the embedded engine has no users
    if _hides(clickhouse, tables):
        hidden = [table for table in tables if _hides(clickhouse, (table,))] or tables
        raise Fatal(
            f"{clickhouse.target.display_name}: a row policy hides rows of the table {', '.join(hidden)} from the user "
            f"{clickhouse.target.user!r}, so figures would be too low. Exclude this user from the policy, or use another user."
        )


def _hides(clickhouse: ClickHouse, tables: Sequence[str]) -> bool:
    """Whether a policy hides rows of one of the tables; one request."""
    counted = " UNION ALL ".join(f"SELECT count() FROM {table}" for table in tables)  # noqa: S608 - names are constants
    plan = clickhouse.rows("row_policies", f"EXPLAIN PLAN actions = 1 {counted}")
    return any(_FILTER in line for (line,) in plan)
