"""Row policies that hide rows from the database user: counts would be too low, and nothing would say so.

``system.row_policies`` may be closed to a user. The plan of a query is not: it names the filter that a policy adds.
"""

from __future__ import annotations

from typing import Final

from sinks.clickhouse.client import ClickHouse
from sinks.errors import Unknown
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

_TABLES: Final = (
    *(DOSSIER_EVENTS, AGENCY_MINUTE, AGENCY_DAY, AGENCY_DAY_PROCEDURE, TALLY_EPOCHS, UNREAD_OFFSETS),
    *(DEAD_LETTERS, DEAD_LETTER_MARKS, DEAD_LETTER_TALLIES, DEAD_LETTER_CHECKPOINTS),
)
_FILTER: Final = "Row level filter"


def refuse_hidden_rows(clickhouse: ClickHouse) -> None:
    """See that no row policy applies to this user. Reads only. A table without rows hides none and is not looked into.

    Raises:
        Unknown: one does; with the name of the table.
    """
    for table in _TABLES:
        plan = clickhouse.rows("row_policies", f"EXPLAIN PLAN actions = 1 SELECT count() FROM {table}")  # noqa: S608 - names are constants
        if any(_FILTER in line for (line,) in plan):
            raise Unknown(
                f"{clickhouse.target.shown}: a row policy hides rows of the table {table} from the user "
                f"{clickhouse.target.user!r}, so figures would be too low. Except this user from the policy, or use another one."
            )
