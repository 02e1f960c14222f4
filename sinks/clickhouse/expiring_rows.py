"""Refuses tables that delete rows by themselves (TTL): an old event would be deleted on insert, without an error.

A TTL that only moves or recompresses rows is accepted: it changes no figure. A TTL of a column deletes values and is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from sinks.clickhouse.client import ClickHouse
from sinks.errors import Fatal

_QUOTED: Final = re.compile(r"'(?:[^'\\]|\\.)*'|`(?:[^`\\]|\\.)*`")
_COLUMN_TTL: Final = re.compile(r"\bTTL\b")
_TABLE_TTL: Final = re.compile(r" TTL (.*?)(?: SETTINGS | COMMENT |$)", re.DOTALL)
_HARMLESS: Final = re.compile(r" TO (?:DISK|VOLUME) | RECOMPRESS ")


def refuse_expiring_rows(clickhouse: ClickHouse, tables: Sequence[str]) -> None:
    """Check that no TTL of these tables deletes rows or values. Only reads.

    Raises:
        Fatal: a TTL does; the message names the table.
    """
    if clickhouse.target.folder is not None:
        return  # only this process can change the tables of the embedded engine
    found = clickhouse.rows(
        "expiring_rows",
        "SELECT name, create_table_query FROM system.tables "
        "WHERE database = currentDatabase() AND name IN {tables:Array(String)} ORDER BY name",
        {"tables": list(tables)},
    )
    if expiring := [str(name) for name, made in found if _expires(str(made))]:
        raise Fatal(
            f"{clickhouse.target.display_name}: a TTL deletes rows or values of the table {', '.join(expiring)}, so events "
            f"would be lost without an error. Remove it with ALTER TABLE {expiring[0]} REMOVE TTL (or MODIFY COLUMN .. "
            "REMOVE TTL), and drop old partitions by hand instead."
        )


def _expires(create_table: str) -> bool:
    columns, _, rest = _QUOTED.sub("''", create_table).partition(" ENGINE = ")
    if _COLUMN_TTL.search(columns):
        return True
    table = _TABLE_TTL.search(rest)
    return table is not None and not all(_HARMLESS.search(rule) for rule in _rules(table[1]))


def _rules(text: str) -> Iterator[str]:
    """The parts of a TTL, separated by commas outside of parentheses."""
    depth = begin = 0
    for at, sign in enumerate(text):
        depth += (sign == "(") - (sign == ")")
        if sign == "," and depth == 0:
            yield text[begin:at]
            begin = at + 1
    yield text[begin:]
