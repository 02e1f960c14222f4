"""Reads, marks and drops dead letters.

Marks are in a table of their own, because a dead letter's row is written again whenever its message is redelivered. The new row
must neither lose its mark nor reappear after it was dropped.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.times import aware, clamped, to_milliseconds
from sinks.contract.dead_letters import DeadLetter, DeadLetterEntry, DeadLetterFilter, Position
from sinks.tables import DEAD_LETTER_MARKS, DEAD_LETTERS

_KEY = "(topic, partition, offset)"
_DROPPED = f"SELECT topic, partition, offset FROM {DEAD_LETTER_MARKS} WHERE state = 'dropped'"  # noqa: S608 - names are constants
_REPLAYED = f"SELECT topic, partition, offset FROM {DEAD_LETTER_MARKS} WHERE state = 'replayed'"  # noqa: S608
_ENTRY = "topic, partition, offset, reason, error, first_seen, if(has_value, length(value), NULL)"
#: Keys and values are arbitrary bytes; hexadecimal digits pass every client unchanged.
_DEAD_LETTER = "topic, partition, offset, hex(key), if(has_value, hex(value), NULL), reason, error"
_DEAD_LETTER_COLUMNS = 7
#: A condition on positions, which are three parallel arrays.
_LISTED = (
    f"{_KEY} IN (SELECT t, p, o FROM (SELECT {{topics:Array(String)}} AS ts, {{partitions:Array(Int32)}} AS ps, "  # noqa: S608
    "{offsets:Array(Int64)} AS os) ARRAY JOIN ts AS t, ps AS p, os AS o)"
)


class ClickHouseDeadLetters:
    """A ``DeadLetterStore``. Several threads may use it at once."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse

    def counts(self, criteria: DeadLetterFilter) -> Mapping[str, int]:
        """Dead letters by reason; see the contract."""
        where, parameters = _where(criteria)
        rows = self._clickhouse.counted_rows(
            "list_dead_letters",
            f"SELECT reason, count(), count() OVER () FROM {DEAD_LETTERS} FINAL WHERE {where} GROUP BY reason ORDER BY reason",  # noqa: S608
            parameters,
        )
        return {str(reason): int(count) for reason, count in rows}

    def entries(self, criteria: DeadLetterFilter, *, limit: int, after: Position | None = None) -> Sequence[DeadLetterEntry]:
        """A page without bytes; see the contract."""
        where, parameters = _where(criteria, after)
        rows = self._clickhouse.rows(
            "list_dead_letters",
            f"SELECT {_ENTRY} FROM {DEAD_LETTERS} FINAL WHERE {where} ORDER BY {_KEY} LIMIT {limit:d}",  # noqa: S608
            parameters,
        )
        return self._with_marks(rows)

    def dead_letters(self, criteria: DeadLetterFilter, *, limit: int, after: Position | None = None) -> Sequence[DeadLetter]:
        """A page of complete dead letters; see the contract."""
        where, parameters = _where(criteria, after)
        rows = self._clickhouse.rows(
            "read_dead_letters",
            f"SELECT {_DEAD_LETTER} FROM {DEAD_LETTERS} FINAL WHERE {where} ORDER BY {_KEY} LIMIT {limit:d}",  # noqa: S608
            parameters,
        )
        return [_dead_letter(row) for row in rows]

    def find(self, position: Position) -> tuple[DeadLetter, DeadLetterEntry] | None:
        """One dead letter; see the contract."""
        topic, partition, offset = position
        rows = self._clickhouse.rows(
            "read_dead_letters",
            f"SELECT {_DEAD_LETTER}, {_ENTRY} FROM {DEAD_LETTERS} FINAL "  # noqa: S608
            "WHERE topic = {topic:String} AND partition = {partition:Int32} AND offset = {offset:Int64} "
            f"AND {_KEY} NOT IN ({_DROPPED})",
            {"topic": topic, "partition": partition, "offset": offset},
        )
        if not rows:
            return None
        return _dead_letter(rows[0][:_DEAD_LETTER_COLUMNS]), self._with_marks([rows[0][_DEAD_LETTER_COLUMNS:]])[0]

    def latest_offset(self, topic: str, partition: int) -> int:
        """Offset of the latest dead letter; see the contract."""
        rows = self._clickhouse.rows(
            "read_dead_letters",
            f"SELECT offset FROM {DEAD_LETTERS} WHERE topic = {{topic:String}} AND partition = {{partition:Int32}} "  # noqa: S608
            "ORDER BY offset DESC LIMIT 1",  # in the order of the table, so reading stops at the first row
            {"topic": topic, "partition": partition},
        )
        return int(rows[0][0]) if rows else -1

    def mark_replayed(self, dead_letters: Sequence[DeadLetter]) -> None:
        """Record what was sent again; see the contract."""
        if dead_letters:
            self._clickhouse.command(
                "mark_dead_letters",
                f"INSERT INTO {DEAD_LETTER_MARKS} (topic, partition, offset, state, reason) "  # noqa: S608
                f"SELECT topic, partition, offset, 'replayed', reason FROM {DEAD_LETTERS} FINAL WHERE {_LISTED}",
                _listed([(letter.topic, letter.partition, letter.offset) for letter in dead_letters]),
            )

    def drop(self, criteria: DeadLetterFilter) -> int:
        """Drop dead letters; see the contract.

        They are marked first and deleted afterwards. A mark alone hides a dead letter, also one that is redelivered.
        """
        where, parameters = _where(criteria)
        count = sum(self.counts(criteria).values())
        self._clickhouse.command(
            "mark_dead_letters",
            f"INSERT INTO {DEAD_LETTER_MARKS} (topic, partition, offset, state, reason) "  # noqa: S608
            f"SELECT topic, partition, offset, 'dropped', reason FROM {DEAD_LETTERS} FINAL WHERE {where}",
            parameters,
        )
        # This also deletes rows that were dropped earlier and redelivered since.
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
            marked = {(str(topic), int(partition), int(offset)): aware(at) for topic, partition, offset, at in found}
        return [
            DeadLetterEntry(
                *position,
                reason=str(reason),
                error=str(error),
                first_seen=aware(first_seen),
                size=None if size is None else int(size),
                replayed_at=marked.get(position),
            )
            for position, (_, _, _, reason, error, first_seen, size) in zip(positions, rows, strict=True)
        ]


def _where(criteria: DeadLetterFilter, after: Position | None = None) -> tuple[str, dict[str, Any]]:
    conditions = [f"{_KEY} NOT IN ({_DROPPED})"]
    parameters: dict[str, Any] = {}
    if not criteria.replayed:
        conditions.append(f"{_KEY} NOT IN ({_REPLAYED})")
    if criteria.reasons:
        conditions.append("reason IN {reasons:Array(String)}")
        parameters["reasons"] = list(criteria.reasons)
    if criteria.topics:
        conditions.append("topic IN {topics:Array(String)}")
        parameters["topics"] = list(criteria.topics)
    for name, sign, instant in (("since", ">=", criteria.since), ("until", "<", criteria.until)):
        if instant is not None:
            conditions.append(f"first_seen {sign} toDateTime64({{{name}:String}}, 3, 'UTC')")
            parameters[name] = to_milliseconds(clamped(instant))
    if after is not None:
        conditions.append(f"{_KEY} > ({{topic:String}}, {{partition:Int32}}, {{offset:Int64}})")
        parameters |= {"topic": after[0], "partition": after[1], "offset": after[2]}
    return " AND ".join(conditions), parameters


def _listed(positions: Sequence[Position]) -> dict[str, Any]:
    topics, partitions, offsets = zip(*positions, strict=True)
    return {"topics": list(topics), "partitions": list(partitions), "offsets": list(offsets)}


def _dead_letter(row: Sequence[Any]) -> DeadLetter:
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
