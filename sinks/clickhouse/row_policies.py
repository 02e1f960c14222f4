"""Refuses row policies that hide rows from the database user: counts would be too low, without an error.

A user may not be allowed to read ``system.row_policies``, but may always read the plan of a query, which names the filter that a
policy adds. The plan of an empty table names none, and a policy may be added at any time. So each read of a figure checks again
after it has read the rows, and a worker checks again after its recounts, before it acknowledges the events.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, TypeVar

from sinks.clickhouse.client import ClickHouse
from sinks.errors import Fatal

Part = TypeVar("Part")

_FILTER: Final = "Row level filter"


def refuse_hidden_rows(clickhouse: ClickHouse, tables: Sequence[str]) -> None:
    """Check that no row policy of these tables applies to this user. Only reads. An empty table passes the check.

    Raises:
        Fatal: a row policy applies; the message names the table.
    """
    if clickhouse.target.folder is not None:
        return  # the embedded engine has no users
    if _hides(clickhouse, tables):
        hidden = [table for table in tables if _hides(clickhouse, (table,))] or tables
        raise Fatal(
            f"{clickhouse.target.display_name}: a row policy hides rows of the table {', '.join(hidden)} from the user "
            f"{clickhouse.target.user!r}, so figures would be too low. Exclude this user from the policy, or use another user."
        )


def whole(parts: Iterator[Part], clickhouse: ClickHouse, tables: Sequence[str]) -> Iterator[Part]:
    """Yield the parts of an answer that was read from these tables; afterwards check the tables as ``refuse_hidden_rows`` does.

    Raises:
        Fatal: a policy hides rows, so the parts are not the whole answer.
    """
    yield from parts
    refuse_hidden_rows(clickhouse, tables)


def _hides(clickhouse: ClickHouse, tables: Sequence[str]) -> bool:
    """Whether a row policy hides rows of one of the tables; one request.

    The query has no ``count()``: where a policy is on columns of the key, the plan may take the count from the index and name no
    filter.
    """
    read = " UNION ALL ".join(f"SELECT 1 FROM {table}" for table in tables)  # noqa: S608 - names are constants
    plan = clickhouse.rows("row_policies", f"EXPLAIN PLAN actions = 1 {read}")
    return any(_FILTER in line for (line,) in plan)
