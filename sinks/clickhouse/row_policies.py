"""Row policies that hide rows from the database user: counts would be too low, and nothing would say so.

``system.row_policies`` may be closed to a user. The plan of a query is not: it names the filter that a policy adds. The plan of a
table without rows names none, and a policy may come at any time: what makes a figure of rows looks again, after it has read them.
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
    DEAD_LETTER_CHECKPOINTS,
    DEAD_LETTER_MARKS,
    DEAD_LETTER_TALLIES,
    DEAD_LETTERS,
    DOSSIER_EVENTS,
    TALLY_EPOCHS,
    UNREAD_OFFSETS,
)

#: Every table whose rows make a figure.
TABLES: Final = (
    *(DOSSIER_EVENTS, AGENCY_MINUTE, AGENCY_DAY, AGENCY_DAY_PROCEDURE, TALLY_EPOCHS, UNREAD_OFFSETS),
    *(DEAD_LETTERS, DEAD_LETTER_MARKS, DEAD_LETTER_TALLIES, DEAD_LETTER_CHECKPOINTS),
)
_FILTER: Final = "Row level filter"


def refuse_hidden_rows(clickhouse: ClickHouse, tables: Sequence[str]) -> None:
    """See that no row policy of these tables applies to this user. Reads only. A table without rows hides none.

    Raises:
        Fatal: one does; with the name of the table.
    """
    if clickhouse.target.folder is not None:
        return  # the embedded engine has no users
    if _hides(clickhouse, tables):
        hidden = [table for table in tables if _hides(clickhouse, (table,))] or tables
        raise Fatal(
            f"{clickhouse.target.shown}: a row policy hides rows of the table {', '.join(hidden)} from the user "
            f"{clickhouse.target.user!r}, so figures would be too low. Except this user from the policy, or use another one."
        )


def _hides(clickhouse: ClickHouse, tables: Sequence[str]) -> bool:
    """Whether a policy hides rows of one of them; one request."""
    counted = " UNION ALL ".join(f"SELECT count() FROM {table}" for table in tables)  # noqa: S608 - names are constants
    plan = clickhouse.rows("row_policies", f"EXPLAIN PLAN actions = 1 {counted}")
    return any(_FILTER in line for (line,) in plan)
