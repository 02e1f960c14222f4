"""Finds which offsets and messages of a topic are stored, as an event or as a dead letter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import pyarrow as pa

from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.expired_sql import EVENT_OF, IN_FORCE, WITH_BOUND
from sinks.clickhouse.row_policies import refuse_hidden_rows
from sinks.clickhouse.tally_sql import BACKGROUND, BACKGROUND_SPILLING, EVENT_KEY
from sinks.clickhouse.times import UNIX_EPOCH, to_milliseconds
from sinks.contract.events import UnreadCause, UnreadRange
from sinks.tables import (
    DEAD_LETTER_MARKS,
    DEAD_LETTERS,
    DOSSIER_MESSAGES,
    EXPIRATION_RUNS,
    EXPIRED_MESSAGES,
    UNREAD_OFFSETS,
)

_POSITION: Final = "(topic, partition, offset)"
#: Tables whose rows carry the position of a message that was processed.
_TABLES: Final = (DOSSIER_MESSAGES, DEAD_LETTERS, DEAD_LETTER_MARKS)
#: Messages in one query. They are part of the URL of a request, which may be about a megabyte long.
_MESSAGES_PER_QUERY: Final = 2_000
#: Ranges of offsets in one query; a thousand would exceed max_ast_elements and max_query_size.
_RANGES_PER_QUERY: Final = 200
_MESSAGE_FIELDS: Final = ("topic", "partition", "offset", "agency", "occurred_at", "event_id", "dossier_code", "status")
#: The messages as a table; ``held``: whether a message contains an event.
_MESSAGES: Final = (
    "(SELECT t AS topic, p AS partition, o AS offset, h AS held, a AS agency, toDateTime64(at, 3, 'UTC') AS occurred_at, "
    "toUUIDOrZero(i) AS event_id, c AS dossier_code, s AS status FROM (SELECT {topics:Array(String)} AS ts, "
    "{partitions:Array(Int32)} AS ps, {offsets:Array(Int64)} AS os, {held:Array(UInt8)} AS hs, {agencies:Array(String)} AS ags, "
    "{times:Array(String)} AS ats, {ids:Array(String)} AS ids, {codes:Array(String)} AS cs, {statuses:Array(UInt8)} AS ss) "
    "ARRAY JOIN ts AS t, ps AS p, os AS o, hs AS h, ags AS a, ats AS at, ids AS i, cs AS c, ss AS s)"
)


class KeptOffsets:
    """The part of a ``TallyAudit`` that compares the storage with the topic in Kafka."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse

    def newest_positions(self, topic: str) -> Mapping[int, int]:
        """The highest kept offset of each partition; see ``TallyAudit.newest_positions``."""
        union = " UNION ALL ".join(
            f"SELECT partition, max(offset) AS highest FROM {table} WHERE topic = {{topic:String}} GROUP BY partition"  # noqa: S608
            for table in _TABLES
        )
        rows = self._clickhouse.counted_rows(
            "audit_positions",
            f"SELECT partition, max(highest), count() OVER () FROM ({union}) GROUP BY partition ORDER BY partition",  # noqa: S608
            {"topic": topic},
            **BACKGROUND,
        )
        refuse_hidden_rows(self._clickhouse, _TABLES)
        return {int(partition): int(highest) for partition, highest in rows}

    def unread(self, topic: str) -> Sequence[UnreadRange]:
        """Recorded ranges of offsets that were never read; see ``TallyAudit.unread``."""
        rows = self._clickhouse.rows(
            "audit_unread",
            f"SELECT DISTINCT partition, first_offset, end_offset, consumer_group, toString(cause) FROM {UNREAD_OFFSETS} "  # noqa: S608
            "WHERE topic = {topic:String} ORDER BY ALL",
            {"topic": topic},
            **BACKGROUND,
        )
        refuse_hidden_rows(self._clickhouse, (UNREAD_OFFSETS,))
        return [
            UnreadRange(topic, int(partition), int(first), int(end), str(group), UnreadCause(cause))
            for partition, first, end, group, cause in rows
        ]

    def kept_within(self, topic: str, ranges: Sequence[tuple[int, int, int]]) -> Sequence[int]:
        """For each range, how many distinct offsets are accounted for; see ``TallyAudit.kept_within``.

        Each query scans all positions once.
        """
        parts = (ranges[start : start + _RANGES_PER_QUERY] for start in range(0, len(ranges), _RANGES_PER_QUERY))
        counts = [count for part in parts for count in self._kept_within(topic, part)]
        refuse_hidden_rows(self._clickhouse, _TABLES)
        return counts

    def _kept_within(self, topic: str, ranges: Sequence[tuple[int, int, int]]) -> list[int]:
        within = [f"partition = {partition:d} AND offset >= {first:d} AND offset < {end:d}" for partition, first, end in ranges]
        union = " UNION ALL ".join(
            f"SELECT partition, offset FROM {table} WHERE topic = {{topic:String}} AND ({' OR '.join(within)})"  # noqa: S608
            for table in _TABLES
        )
        counts = ", ".join(f"uniqExactIf(offset, {condition})" for condition in within)
        rows = self._clickhouse.rows("audit_unread", f"SELECT {counts} FROM ({union})", {"topic": topic}, **BACKGROUND)  # noqa: S608
        return [int(count) for count in rows[0]]

    def missing(self, messages: pa.Table) -> Sequence[tuple[int, int]]:
        """Messages that are not kept in any form; see ``TallyAudit.missing``."""
        found: list[tuple[int, int]] = []
        for start in range(0, messages.num_rows, _MESSAGES_PER_QUERY):
            found += self._missing(messages.slice(start, _MESSAGES_PER_QUERY))
        refuse_hidden_rows(self._clickhouse, (*_TABLES, EXPIRED_MESSAGES, EXPIRATION_RUNS))
        return sorted(found)

    def _missing(self, messages: pa.Table) -> list[tuple[int, int]]:
        """Run one query for some messages of ``missing``. It sends them as parameters: a read-only user can create no table."""
        columns = {
            name: messages.column(name).to_pylist() if name in messages.column_names else [None] * messages.num_rows
            for name in _MESSAGE_FIELDS
        }
        times = [at for at in columns["occurred_at"] if at is not None]
        parameters: dict[str, Any] = {
            "topics": columns["topic"],
            "partitions": columns["partition"],
            "offsets": columns["offset"],
            "held": [int(event_id is not None) for event_id in columns["event_id"]],
            # The next three are not used for a message without an event.
            "agencies": [agency or "" for agency in columns["agency"]],
            "times": [to_milliseconds(at or UNIX_EPOCH) for at in columns["occurred_at"]],
            "ids": [event_id or "" for event_id in columns["event_id"]],
            "codes": [code or "" for code in columns["dossier_code"]],
            "statuses": [status or 0 for status in columns["status"]],
            "earliest": to_milliseconds(min(times, default=UNIX_EPOCH)),
            "latest": to_milliseconds(max(times, default=UNIX_EPOCH)),
        }
        event = f"({EVENT_KEY})"
        stored = (
            f"SELECT {EVENT_KEY} FROM {DOSSIER_MESSAGES} WHERE occurred_at >= toDateTime64({{earliest:String}}, 3, 'UTC') "  # noqa: S608
            f"AND occurred_at <= toDateTime64({{latest:String}}, 3, 'UTC') "
            f"AND {event} IN (SELECT {EVENT_KEY} FROM {_MESSAGES} WHERE held)"
        )
        expired = (
            f"SELECT event FROM {EXPIRED_MESSAGES} WHERE occurred_at >= toDateTime64({{earliest:String}}, 3, 'UTC') "  # noqa: S608
            f"AND occurred_at <= toDateTime64({{latest:String}}, 3, 'UTC') AND {IN_FORCE}"
        )
        in_doubt = f"SELECT partition, offset FROM {_MESSAGES} WHERE NOT held OR {event} NOT IN ({stored})"  # noqa: S608
        # Dead letters are few, and of an event whose messages expired a hash is left. Finding the positions of events is a scan,
        # made only for messages that are still in doubt.
        for kept in (
            _at_positions((DEAD_LETTERS, DEAD_LETTER_MARKS)),
            f"SELECT partition, offset FROM {_MESSAGES} WHERE held AND {EVENT_OF[DOSSIER_MESSAGES]} IN ({expired})",  # noqa: S608
            _at_positions((DOSSIER_MESSAGES,)),
        ):
            in_doubt = f"SELECT partition, offset FROM ({in_doubt}) WHERE (partition, offset) NOT IN ({kept})"  # noqa: S608
            rows = self._clickhouse.rows(
                "audit_missing", f"{WITH_BOUND} {in_doubt} ORDER BY partition, offset", parameters, **BACKGROUND_SPILLING
            )
            if not rows:
                break
        return [(int(partition), int(offset)) for partition, offset in rows]


def _at_positions(tables: Sequence[str]) -> str:
    """The SQL of the partitions and offsets that rows of these tables carry."""
    return " UNION ALL ".join(
        f"SELECT partition, offset FROM {table} WHERE {_POSITION} IN (SELECT {_POSITION} FROM {_MESSAGES})"  # noqa: S608
        for table in tables
    )
