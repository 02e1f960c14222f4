"""Reads, marks and drops dead letters.

Marks are in a table of their own, because a dead letter's row is written again whenever its message is redelivered. The new row
must neither lose its mark nor reappear after it was dropped.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.dead_letter_marks import is_marked
from sinks.clickhouse.row_policies import refuse_hidden_rows
from sinks.clickhouse.times import aware, clamped, to_milliseconds
from sinks.contract.dead_letters import DeadLetter, DeadLetterEntry, DeadLetterFilter, Kept, Position
from sinks.tables import DEAD_LETTER_IDENTITY, DEAD_LETTER_MARKS, DEAD_LETTERS

#: Topic, partition, offset and hash of the content.
_Identity = tuple[str, int, int, int]

#: What every call reads.
_TABLES = (DEAD_LETTERS, DEAD_LETTER_MARKS)
_POSITION = "(topic, partition, offset)"
_ENTRY = (
    "topic, partition, offset, content_hash, reason, error, first_seen, if(has_value, length(value), NULL), toString(kept), "
    "removed_at"
)
#: Keys and values are arbitrary bytes; hexadecimal digits pass every client unchanged.
DEAD_LETTER = "topic, partition, offset, hex(key), if(has_value, hex(value), NULL), reason, error, toString(kept), content_hash"
_DEAD_LETTER_COLUMNS = 9
#: The identities of dead letters as a table, from four parallel arrays.
LISTED = (
    "(SELECT t, p, o, h FROM (SELECT {topics:Array(String)} AS ts, {partitions:Array(Int32)} AS ps, "
    "{offsets:Array(Int64)} AS os, {hashes:Array(UInt64)} AS hs) ARRAY JOIN ts AS t, ps AS p, os AS o, hs AS h)"
)


class ClickHouseDeadLetters:
    """Implements ``DeadLetterStore`` with one ClickHouse. Several threads may use an object at once."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse

    def counts(self, criteria: DeadLetterFilter) -> Mapping[str, int]:
        """Dead letters by reason; see ``DeadLetterStore.counts``."""
        where, parameters = _where(criteria)
        rows = self._clickhouse.counted_rows(
            "list_dead_letters",
            f"SELECT reason, count(), count() OVER () FROM {DEAD_LETTERS} FINAL WHERE {where} GROUP BY reason ORDER BY reason",  # noqa: S608
            parameters,
        )
        refuse_hidden_rows(self._clickhouse, _TABLES)
        return {str(reason): int(count) for reason, count in rows}

    def entries(self, criteria: DeadLetterFilter, *, limit: int, after: Position | None = None) -> Sequence[DeadLetterEntry]:
        """A page without bytes; see ``DeadLetterStore.entries``."""
        where, parameters = _where(criteria, after)
        rows = self._clickhouse.rows(
            "list_dead_letters",
            page(_ENTRY, where, limit),
            parameters,
        )
        return self._with_marks(rows)

    def dead_letters(self, criteria: DeadLetterFilter, *, limit: int, after: Position | None = None) -> Sequence[DeadLetter]:
        """A page of complete dead letters; see ``DeadLetterStore.dead_letters``."""
        where, parameters = _where(criteria, after)
        rows = self._clickhouse.rows(
            "read_dead_letters",
            page(DEAD_LETTER, where, limit),
            parameters,
        )
        refuse_hidden_rows(self._clickhouse, _TABLES)
        return [dead_letter(row) for row in rows]

    def find(self, position: Position) -> Sequence[tuple[DeadLetter, DeadLetterEntry]]:
        """The dead letters at a position; see ``DeadLetterStore.find``."""
        topic, partition, offset = position
        rows = self._clickhouse.rows(
            "read_dead_letters",
            f"SELECT {DEAD_LETTER}, {_ENTRY} FROM {DEAD_LETTERS} FINAL "  # noqa: S608
            "WHERE topic = {topic:String} AND partition = {partition:Int32} AND offset = {offset:Int64} "
            f"AND NOT {is_marked('dropped')} ORDER BY first_seen DESC",
            {"topic": topic, "partition": partition, "offset": offset},
        )
        entries = self._with_marks([row[_DEAD_LETTER_COLUMNS:] for row in rows])
        return [(dead_letter(row[:_DEAD_LETTER_COLUMNS]), entry) for row, entry in zip(rows, entries, strict=True)]

    def latest_offset(self, topic: str, partition: int) -> int:
        """Offset of the latest dead letter; see ``DeadLetterStore.latest_offset``."""
        rows = self._clickhouse.rows(
            "read_dead_letters",
            f"SELECT offset FROM {DEAD_LETTERS} WHERE topic = {{topic:String}} AND partition = {{partition:Int32}} "  # noqa: S608
            "ORDER BY offset DESC LIMIT 1",  # in the order of the table, so reading stops at the first row
            {"topic": topic, "partition": partition},
        )
        refuse_hidden_rows(self._clickhouse, _TABLES)
        return int(rows[0][0]) if rows else -1

    def now(self) -> dt.datetime:
        """The server's clock; see ``DeadLetterStore.now``."""
        return aware(self._clickhouse.rows("read_dead_letters", "SELECT now64(3, 'UTC')")[0][0])

    def mark_replayed(self, dead_letters: Sequence[DeadLetter]) -> None:
        """Mark dead letters as replayed; see ``DeadLetterStore.mark_replayed``."""
        if dead_letters:
            self._clickhouse.command(
                "mark_dead_letters",
                f"INSERT INTO {DEAD_LETTER_MARKS} ({DEAD_LETTER_IDENTITY}, state, reason) "  # noqa: S608
                f"SELECT {DEAD_LETTER_IDENTITY}, 'replayed', reason FROM {DEAD_LETTERS} FINAL "
                f"WHERE ({DEAD_LETTER_IDENTITY}) IN {LISTED}",
                listed([(*letter.position, letter.content_hash) for letter in dead_letters]),
            )
            refuse_hidden_rows(self._clickhouse, _TABLES)

    def drop(self, criteria: DeadLetterFilter) -> int:
        """Drop dead letters; see ``DeadLetterStore.drop``.

        They are marked as dropped first and deleted afterwards. The mark alone hides a dead letter, also when it is delivered
        again.
        """
        where, parameters = _where(criteria)
        count = sum(self.counts(criteria).values())
        self._clickhouse.command(
            "mark_dead_letters",
            f"INSERT INTO {DEAD_LETTER_MARKS} ({DEAD_LETTER_IDENTITY}, state, reason) "  # noqa: S608
            f"SELECT {DEAD_LETTER_IDENTITY}, 'dropped', reason FROM {DEAD_LETTERS} FINAL WHERE {where}",
            parameters,
        )
        # This also deletes rows that were dropped earlier and redelivered since.
        self._clickhouse.command("drop_dead_letters", f"DELETE FROM {DEAD_LETTERS} WHERE {is_marked('dropped')}")  # noqa: S608
        refuse_hidden_rows(self._clickhouse, _TABLES)
        return count

    def _with_marks(self, rows: Sequence[Sequence[Any]]) -> list[DeadLetterEntry]:
        identities = [_identity(row) for row in rows]
        marked: dict[_Identity, dt.datetime] = {}
        if identities:
            # A mark without a hash holds for every message at its offset; see ``is_marked``.
            found = self._clickhouse.rows(
                "list_dead_letters",
                f"SELECT {DEAD_LETTER_IDENTITY}, max(marked_at) FROM {DEAD_LETTER_MARKS} WHERE state = 'replayed' "  # noqa: S608
                f"AND (({DEAD_LETTER_IDENTITY}) IN {LISTED} "
                f"OR content_hash = 0 AND {_POSITION} IN (SELECT t, p, o FROM {LISTED})) GROUP BY {DEAD_LETTER_IDENTITY}",
                listed(identities),
            )
            marked = {
                (str(topic), int(partition), int(offset), int(content)): aware(at)
                for topic, partition, offset, content, at in found
            }
        refuse_hidden_rows(self._clickhouse, _TABLES)
        return [
            DeadLetterEntry(
                *identity[:3],
                reason=str(reason),
                error=str(error),
                first_seen=aware(first_seen),
                size=None if size is None or kept == Kept.REMOVED else int(size),
                replayed_at=marked.get(identity) or marked.get((*identity[:3], 0)),
                kept=Kept(kept),
                removed_at=aware(removed_at) if kept == Kept.REMOVED else None,
            )
            for identity, (*_, reason, error, first_seen, size, kept, removed_at) in zip(identities, rows, strict=True)
        ]


def _identity(row: Sequence[Any]) -> _Identity:
    """The identity in the first columns of a row."""
    topic, partition, offset, content, *_ = row
    return str(topic), int(partition), int(offset), int(content)


def page(columns: str, where: str, limit: int) -> str:
    """The statement that reads a page of dead letters; a page never ends between two of one position.

    The first seen comes first.
    """
    return (
        f"SELECT {columns} FROM (SELECT * FROM {DEAD_LETTERS} FINAL WHERE {where} "  # noqa: S608 - names are constants
        f"ORDER BY topic, partition, offset LIMIT {limit:d} WITH TIES) ORDER BY topic, partition, offset, first_seen"
    )


def _where(criteria: DeadLetterFilter, after: Position | None = None) -> tuple[str, dict[str, Any]]:
    conditions = [f"NOT {is_marked('dropped')}"]
    parameters: dict[str, Any] = {}
    if not criteria.replayed:
        conditions.append(f"NOT {is_marked('replayed')}")
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
        conditions.append(f"{_POSITION} > ({{topic:String}}, {{partition:Int32}}, {{offset:Int64}})")
        parameters |= {"topic": after[0], "partition": after[1], "offset": after[2]}
    return " AND ".join(conditions), parameters


def listed(identities: Sequence[_Identity]) -> dict[str, Any]:
    """The parameters of the condition ``LISTED`` for these identities."""
    topics, partitions, offsets, hashes = zip(*identities, strict=True)
    return {"topics": list(topics), "partitions": list(partitions), "offsets": list(offsets), "hashes": list(hashes)}


def dead_letter(row: Sequence[Any]) -> DeadLetter:
    """The dead letter in a row of the columns ``DEAD_LETTER``."""
    topic, partition, offset, key, value, reason, error, kept, content_hash = row
    return DeadLetter(
        topic=str(topic),
        partition=int(partition),
        offset=int(offset),
        key=bytes.fromhex(key) or None,
        value=None if value is None else bytes.fromhex(value),
        reason=str(reason),
        error=str(error),
        kept=Kept(kept),
        received_hash=int(content_hash),
    )
