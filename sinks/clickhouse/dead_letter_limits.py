"""Keeps what the dead-letter limit counted, and what a person accepted.

Both are looked up by topic, partition and offset, which is the order of the tables: a look costs the same however many there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sinks.clickhouse.client import ClickHouse
from sinks.contract import DeadLetterCheckpoint, DeadLetterLimitState
from sinks.tables import DEAD_LETTER_ACCEPTANCES, DEAD_LETTER_CHECKPOINTS

_OF_PARTITION = "topic = {topic:String} AND partition = {partition:Int32}"


class ClickHouseDeadLetterLimits:
    """A ``DeadLetterLimitStore``. Several threads may use it at once."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse

    def limit_state(self, topic: str, partition: int, *, before: int) -> DeadLetterLimitState:
        """What is known below an offset; see the contract."""
        where: dict[str, Any] = {"topic": topic, "partition": partition}
        table = f"FROM {DEAD_LETTER_CHECKPOINTS} WHERE {_OF_PARTITION}"
        last = "ORDER BY offset DESC LIMIT 1"  # read in the order of the table: it stops at the first
        found = self._clickhouse.rows(
            "read_checkpoints",
            f"SELECT offset, run, messages, refused {table} "
            f"AND offset = (SELECT offset {table} AND offset < {{before:Int64}} {last}) "
            "ORDER BY written_at DESC LIMIT 1",  # of rows at one offset, merged or not, the one written last
            where | {"before": before},
        )
        newest = self._clickhouse.rows("read_checkpoints", f"SELECT offset {table} {last}", where)
        accepted = self._clickhouse.rows(
            "read_checkpoints",
            f"SELECT max(until) FROM {DEAD_LETTER_ACCEPTANCES} WHERE {_OF_PARTITION}",  # noqa: S608 - names are constants
            where,
        )
        checkpoint = None
        if found:
            offset, run, messages, refused = found[0]
            groups = tuple((int(count), int(bad)) for count, bad in zip(messages, refused, strict=True))
            checkpoint = DeadLetterCheckpoint(topic, partition, int(offset), int(run), groups)
        return DeadLetterLimitState(checkpoint, int(newest[0][0]) if newest else -1, int(accepted[0][0]) if accepted else 0)

    def insert_checkpoints(self, checkpoints: Sequence[DeadLetterCheckpoint]) -> None:
        """Keep checkpoints; see the contract."""
        rows: list[str] = []
        parameters: dict[str, Any] = {}
        for number, kept in enumerate(checkpoints):
            names = ("topic", "partition", "offset", "run", "messages", "refused")
            types = ("String", "Int32", "Int64", "UInt64", "Array(UInt64)", "Array(UInt64)")
            values = (
                kept.topic,
                kept.partition,
                kept.offset,
                kept.run,
                [messages for messages, _ in kept.groups],
                [refused for _, refused in kept.groups],
            )
            parameters |= {f"{name}{number}": value for name, value in zip(names, values, strict=True)}
            rows.append("(" + ", ".join(f"{{{name}{number}:{kind}}}" for name, kind in zip(names, types, strict=True)) + ")")
        if rows:
            self._clickhouse.command(
                "insert_checkpoints",
                f"INSERT INTO {DEAD_LETTER_CHECKPOINTS} (topic, partition, offset, run, messages, refused) "  # noqa: S608
                f"VALUES {', '.join(rows)}",
                parameters,
            )

    def accept(self, topic: str, partition: int, until: int) -> None:
        """Remember what was accepted; see the contract."""
        self._clickhouse.command(
            "accept_dead_letters",
            f"INSERT INTO {DEAD_LETTER_ACCEPTANCES} (topic, partition, until) "  # noqa: S608
            "VALUES ({topic:String}, {partition:Int32}, {until:Int64})",
            {"topic": topic, "partition": partition, "until": until},
        )
