"""Looks at dead letters, marks replayed ones and drops what nobody wants.

A mark stands in a table of its own: the letter's own row may be written again at any time, when its message is delivered
again, and must neither lose its mark nor come back after it was dropped.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.days import clipped
from sinks.contract.dead_letters import DeadLetter, DeadLetterEntry, DeadLetterFilter, Position
from sinks.tables import DEAD_LETTER_MARKS, DEAD_LETTERS

_KEY = "(topic, partition, offset)"
_DROPPED = f"SELECT topic, partition, offset FROM {DEAD_LETTER_MARKS} WHERE state = 'dropped'"  # noqa: S608 - names are constants
_REPLAYED = f"SELECT topic, partition, offset FROM {DEAD_LETTER_MARKS} WHERE state = 'replayed'"  # noqa: S608
_ENTRY = "topic, partition, offset, reason, error, first_seen, if(has_value, length(value), NULL)"
#: Bytes may be anything; hexadecimal digits survive every client.
_LETTER = "topic, partition, offset, hex(key), if(has_value, hex(value), NULL), reason, error"
_LETTER_WIDTH = 7
#: Positions as three arrays side by side.
_LISTED = (
    f"{_KEY} IN (SELECT t, p, o FROM (SELECT {{topics:Array(String)}} AS ts, {{partitions:Array(Int32)}} AS ps, "  # noqa: S608
    "{offsets:Array(Int64)} AS os) ARRAY JOIN ts AS t, ps AS p, os AS o)"
)


class ClickHouseDeadLetters:
    """A ``DeadLetterStore``. Several threads may use it at once."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse

    def counts(self, wanted: DeadLetterFilter) -> Mapping[str, int]:
        """Letters by reason; see the contract."""
        where, parameters = _where(wanted)
        rows = self._clickhouse.whole_rows(
            "list_dead_letters",
            f"SELECT reason, count(), count() OVER () FROM {DEAD_LETTERS} FINAL WHERE {where} GROUP BY reason ORDER BY reason",  # noqa: S608
            parameters,
        )
        return {str(reason): int(count) for reason, count in rows}

    def entries(self, wanted: DeadLetterFilter, *, limit: int, after: Position | None = None) -> Sequence[DeadLetterEntry]:
        """A page without bytes; see the contract."""
        where, parameters = _where(wanted, after)
        rows = self._clickhouse.rows(
            "list_dead_letters",
            f"SELECT {_ENTRY} FROM {DEAD_LETTERS} FINAL WHERE {where} ORDER BY {_KEY} LIMIT {limit:d}",  # noqa: S608
            parameters,
        )
        return self._with_marks(rows)

    def letters(self, wanted: DeadLetterFilter, *, limit: int, after: Position | None = None) -> Sequence[DeadLetter]:
        """A page of whole letters; see the contract."""
        where, parameters = _where(wanted, after)
        rows = self._clickhouse.rows(
            "read_dead_letters",
            f"SELECT {_LETTER} FROM {DEAD_LETTERS} FINAL WHERE {where} ORDER BY {_KEY} LIMIT {limit:d}",  # noqa: S608
            parameters,
        )
        return [_letter(row) for row in rows]

    def find(self, position: Position) -> tuple[DeadLetter, DeadLetterEntry] | None:
        """One letter; see the contract."""
        topic, partition, offset = position
        rows = self._clickhouse.rows(
            "read_dead_letters",
            f"SELECT {_LETTER}, {_ENTRY} FROM {DEAD_LETTERS} FINAL "  # noqa: S608
            "WHERE topic = {topic:String} AND partition = {partition:Int32} AND offset = {offset:Int64} "
            f"AND {_KEY} NOT IN ({_DROPPED})",
            {"topic": topic, "partition": partition, "offset": offset},
        )
        if not rows:
            return None
        return _letter(rows[0][:_LETTER_WIDTH]), self._with_marks([rows[0][_LETTER_WIDTH:]])[0]

    def mark_replayed(self, letters: Sequence[DeadLetter]) -> None:
        """Remember what was sent again; see the contract."""
        if letters:
            self._clickhouse.command(
                "mark_dead_letters",
                f"INSERT INTO {DEAD_LETTER_MARKS} (topic, partition, offset, state, reason) "  # noqa: S608
                f"SELECT topic, partition, offset, 'replayed', reason FROM {DEAD_LETTERS} FINAL WHERE {_LISTED}",
                _listed([(letter.topic, letter.partition, letter.offset) for letter in letters]),
            )

    def drop(self, wanted: DeadLetterFilter) -> int:
        """Mark first, delete then: between the two a letter is hidden already, and a redelivered one stays hidden.

        See the contract.
        """
        where, parameters = _where(wanted)
        count = sum(self.counts(wanted).values())
        self._clickhouse.command(
            "mark_dead_letters",
            f"INSERT INTO {DEAD_LETTER_MARKS} (topic, partition, offset, state, reason) "  # noqa: S608
            f"SELECT topic, partition, offset, 'dropped', reason FROM {DEAD_LETTERS} FINAL WHERE {where}",
            parameters,
        )
        # Also what was dropped earlier and delivered again since.
        self._clickhouse.command("drop_dead_letters", f"DELETE FROM {DEAD_LETTERS} WHERE {_KEY} IN ({_DROPPED})")  # noqa: S608
        return count

    def _with_marks(self, rows: Sequence[Sequence[Any]]) -> list[DeadLetterEntry]:
        positions = [(str(topic), int(partition), int(offset)) for topic, partition, offset, *_ in rows]
        marked: dict[Position, dt.datetime] = {}
        if positions:
            found = self._clickhouse.rows(
                "list_dead_letters",
                f"SELECT topic, partition, offset, max(marked_at) FROM {DEAD_LETTER_MARKS} WHERE state = 'replayed' "  # noqa: S608
                f"AND {_LISTED} GROUP BY topic, partition, offset",
                _listed(positions),
            )
            marked = {(str(topic), int(partition), int(offset)): _aware(at) for topic, partition, offset, at in found}
        return [
            DeadLetterEntry(
                *position,
                reason=str(reason),
                error=str(error),
                first_seen=_aware(first_seen),
                size=None if size is None else int(size),
                replayed_at=marked.get(position),
            )
            for position, (_, _, _, reason, error, first_seen, size) in zip(positions, rows, strict=True)
        ]


def _where(wanted: DeadLetterFilter, after: Position | None = None) -> tuple[str, dict[str, Any]]:
    conditions = [f"{_KEY} NOT IN ({_DROPPED})"]
    parameters: dict[str, Any] = {}
    if not wanted.replayed:
        conditions.append(f"{_KEY} NOT IN ({_REPLAYED})")
    if wanted.reasons:
        conditions.append("reason IN {reasons:Array(String)}")
        parameters["reasons"] = list(wanted.reasons)
    if wanted.topics:
        conditions.append("topic IN {topics:Array(String)}")
        parameters["topics"] = list(wanted.topics)
    for name, sign, instant in (("since", ">=", wanted.since), ("until", "<", wanted.until)):
        if instant is not None:
            conditions.append(f"first_seen {sign} toDateTime64({{{name}:String}}, 3, 'UTC')")
            parameters[name] = clipped(instant).astimezone(dt.UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    if after is not None:
        conditions.append(f"{_KEY} > ({{topic:String}}, {{partition:Int32}}, {{offset:Int64}})")
        parameters |= {"topic": after[0], "partition": after[1], "offset": after[2]}
    return " AND ".join(conditions), parameters


def _listed(positions: Sequence[Position]) -> dict[str, Any]:
    topics, partitions, offsets = zip(*positions, strict=True)
    return {"topics": list(topics), "partitions": list(partitions), "offsets": list(offsets)}


def _letter(row: Sequence[Any]) -> DeadLetter:
    topic, partition, offset, key, value, reason, error = row
    return DeadLetter(
        topic=str(topic),
        partition=int(partition),
        offset=int(offset),
        key=bytes.fromhex(key) or None,
        value=None if value is None else bytes.fromhex(value),
        reason=str(reason),
        error=str(error),
    )


def _aware(instant: dt.datetime) -> dt.datetime:
    return instant.replace(tzinfo=dt.UTC) if instant.tzinfo is None else instant
