"""Removes the bytes of dead-lettered messages after some days. The dead letters stay: counts and audits do not change.

A mutation empties key and value. It rewrites only these two columns, and only parts with such rows. A TTL would delete at
a time of its own choosing without recording it, and could not be told from a TTL that loses rows (``expiring_rows``).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any, Final

import pyarrow as pa

from sinks.clickhouse.arrow import arrow_stream
from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.dead_letter_store import DEAD_LETTER, LISTED, dead_letter, listed, page
from sinks.clickhouse.row_policies import refuse_hidden_rows
from sinks.clickhouse.times import aware, to_milliseconds
from sinks.contract.dead_letters import DeadLetter, Position
from sinks.tables import DEAD_LETTER_IDENTITY, DEAD_LETTERS

#: The statement returns when every replica has done it.
_WAIT: Final[dict[str, Any]] = {"mutations_sync": 2}
_DUE: Final = "kept = 'message' AND first_seen < toDateTime64({before:String}, 3, 'UTC')"
_WRITE: Final[dict[str, Any]] = {"optimize_on_insert": 0}
_ROWS: Final = pa.schema(
    [
        ("topic", pa.string()),
        ("partition", pa.int32()),
        ("offset", pa.int64()),
        ("content_hash", pa.uint64()),
        ("key", pa.binary()),
        ("value", pa.binary()),
        ("has_value", pa.bool_()),
        ("reason", pa.string()),
        ("error", pa.string()),
        ("first_seen", pa.timestamp("ms", "UTC")),
        ("precedence", pa.uint64()),
        ("kept", pa.string()),
    ]
)


class ClickHouseReceivedBytes:
    """Implements ``ReceivedBytes`` with one ClickHouse. Several workers may use it at once: repeating a step changes nothing."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse

    def now(self) -> dt.datetime:
        """The server's clock; see ``ReceivedBytes.now``."""
        return aware(self._clickhouse.rows("read_dead_letters", "SELECT now64(3, 'UTC')")[0][0])

    def has_any(self, before: dt.datetime) -> bool:
        """Whether received bytes are stored, also in rows that a merge will drop; see ``ReceivedBytes.has_any``."""
        found = self._clickhouse.rows(
            "read_dead_letters",
            f"SELECT 1 FROM {DEAD_LETTERS} WHERE {_DUE} LIMIT 1",  # noqa: S608 - names are constants
            {"before": to_milliseconds(before)},
        )
        refuse_hidden_rows(self._clickhouse, (DEAD_LETTERS,))
        return bool(found)

    def page(self, before: dt.datetime, *, limit: int, after: Position | None = None) -> Sequence[DeadLetter]:
        """A page of dead letters whose received bytes are stored; see ``ReceivedBytes.page``."""
        where = _DUE
        parameters: dict[str, Any] = {"before": to_milliseconds(before)}
        if after is not None:
            where += " AND (topic, partition, offset) > ({topic:String}, {partition:Int32}, {offset:Int64})"
            parameters |= {"topic": after[0], "partition": after[1], "offset": after[2]}
        rows = self._clickhouse.rows("read_dead_letters", page(DEAD_LETTER, where, limit), parameters)
        refuse_hidden_rows(self._clickhouse, (DEAD_LETTERS,))
        return [dead_letter(row) for row in rows]

    def keep_fields(self, dead_letters: Sequence[DeadLetter]) -> None:
        """Replace dead letters by ones that hold less; see ``ReceivedBytes.keep_fields``.

        ``first_seen`` stays; precedence rises by 1.
        """
        if not dead_letters:
            return
        letters = {(*letter.position, letter.content_hash): letter for letter in dead_letters}
        stored = self._clickhouse.rows(
            "read_dead_letters",
            f"SELECT {DEAD_LETTER_IDENTITY}, has_value, first_seen, precedence FROM {DEAD_LETTERS} FINAL "  # noqa: S608
            f"WHERE ({DEAD_LETTER_IDENTITY}) IN {LISTED}",
            listed(list(letters)),
        )
        refuse_hidden_rows(self._clickhouse, (DEAD_LETTERS,))
        rows = [
            {
                "topic": identity[0],
                "partition": identity[1],
                "offset": identity[2],
                "content_hash": identity[3],
                "key": letters[tuple(identity)].key or b"",
                "value": letters[tuple(identity)].value or b"",
                "has_value": bool(has_value),
                "reason": letters[tuple(identity)].reason,
                "error": letters[tuple(identity)].error,
                "first_seen": aware(first_seen),
                "precedence": int(precedence) + 1,
                "kept": str(letters[tuple(identity)].kept),
            }
            for *identity, has_value, first_seen, precedence in stored
        ]
        table = pa.Table.from_pylist(rows, schema=_ROWS)
        self._clickhouse.insert(
            "insert_dead_letters", DEAD_LETTERS, table.column_names, arrow_stream(table), "ArrowStream", **_WRITE
        )

    def remove(self, before: dt.datetime, *, at: dt.datetime) -> None:
        """Remove key and value of dead letters; see ``ReceivedBytes.remove``. Returns when every replica has done it."""
        self._clickhouse.command(
            "remove_dead_letter_bytes",
            f"ALTER TABLE {DEAD_LETTERS} UPDATE key = '', value = '', kept = 'removed', "
            f"removed_at = toDateTime64('{to_milliseconds(at)}', 3, 'UTC') "
            f"WHERE kept = 'message' AND first_seen < toDateTime64('{to_milliseconds(before)}', 3, 'UTC')",
            **_WAIT,
        )
        refuse_hidden_rows(self._clickhouse, (DEAD_LETTERS,))
