"""Stores the checkpoints of the dead-letter limit and the offsets up to which a person accepted dead letters.

Checkpoints and acceptances are read by topic, partition and offset, the order of the tables, so reading stays cheap as they grow.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa

from sinks.clickhouse.arrow import arrow_stream
from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.row_policies import refuse_hidden_rows
from sinks.contract.dead_letters import DeadLetterCheckpoint, DeadLetterLimitState
from sinks.tables import DEAD_LETTER_ACCEPTANCES, DEAD_LETTER_CHECKPOINTS

_OF_PARTITION = (
    "topic = {topic:String} AND partition = {partition:Int32} AND (topic_id IN ('', {topic_id:String}) OR {topic_id:String} = '')"
)


class ClickHouseDeadLetterLimits:
    """Implements ``DeadLetterLimitStore`` with one ClickHouse. Several threads may use an object at once.

    A topic that was deleted and created again has another id; checkpoints and acceptances of the old topic do not apply to it.

    Args:
        clickhouse: the database.
        topic_id: returns the present id of a topic, or "" while Kafka does not tell it: then the checkpoints and acceptances of
            every topic of this name apply.
    """

    def __init__(self, clickhouse: ClickHouse, *, topic_id: Callable[[str], str] = lambda _topic: "") -> None:
        self._clickhouse, self._topic_id = clickhouse, topic_id

    def limit_state(self, topic: str, partition: int, *, before: int) -> DeadLetterLimitState:
        """The state below an offset; see ``DeadLetterLimitStore.limit_state``."""
        where: dict[str, Any] = {"topic": topic, "partition": partition, "topic_id": self._topic_id(topic)}
        table = f"FROM {DEAD_LETTER_CHECKPOINTS} WHERE {_OF_PARTITION}"
        last = "ORDER BY offset DESC LIMIT 1"  # in the order of the table, so reading stops at the first row
        found = self._clickhouse.rows(
            "read_checkpoints",
            f"SELECT offset, run, messages, refused {table} "
            f"AND offset = (SELECT offset {table} AND offset < {{before:Int64}} {last}) "
            "ORDER BY written_at DESC LIMIT 1",  # the newest of several unmerged rows at one offset
            where | {"before": before},
        )
        newest = self._clickhouse.rows(
            "read_checkpoints",
            f"SELECT offset, run {table} AND offset = (SELECT offset {table} {last}) ORDER BY written_at DESC LIMIT 1",
            where,
        )
        accepted = self._clickhouse.rows(
            "read_checkpoints",
            f"SELECT max(until) FROM {DEAD_LETTER_ACCEPTANCES} WHERE {_OF_PARTITION}",  # noqa: S608 - names are constants
            where,
        )
        refuse_hidden_rows(self._clickhouse, (DEAD_LETTER_CHECKPOINTS, DEAD_LETTER_ACCEPTANCES))
        checkpoint = None
        if found:
            offset, run, messages, refused = found[0]
            groups = tuple((int(count), int(bad)) for count, bad in zip(messages, refused, strict=True))
            checkpoint = DeadLetterCheckpoint(topic, partition, int(offset), int(run), groups)
        newest_offset, newest_run = map(int, newest[0]) if newest else (-1, 0)
        return DeadLetterLimitState(checkpoint, newest_offset, int(accepted[0][0]) if accepted else 0, newest_run)

    def insert_checkpoints(self, checkpoints: Sequence[DeadLetterCheckpoint]) -> None:
        """Store checkpoints; see ``DeadLetterLimitStore.insert_checkpoints``."""
        if not checkpoints:
            return
        groups = [list(zip(*checkpoint.groups, strict=True)) or [(), ()] for checkpoint in checkpoints]
        table = pa.table(
            {
                "topic": pa.array([checkpoint.topic for checkpoint in checkpoints], pa.string()),
                "partition": pa.array([checkpoint.partition for checkpoint in checkpoints], pa.int32()),
                "offset": pa.array([checkpoint.offset for checkpoint in checkpoints], pa.int64()),
                "run": pa.array([checkpoint.run for checkpoint in checkpoints], pa.uint64()),
                "messages": pa.array([messages for messages, _ in groups], pa.list_(pa.uint64())),
                "refused": pa.array([refused for _, refused in groups], pa.list_(pa.uint64())),
                "topic_id": pa.array([self._topic_id(checkpoint.topic) for checkpoint in checkpoints], pa.string()),
            }
        )
        self._clickhouse.insert(
            "insert_checkpoints", DEAD_LETTER_CHECKPOINTS, table.column_names, arrow_stream(table), "ArrowStream"
        )

    def accept(self, topic: str, partition: int, until: int) -> None:
        """Record an acceptance; see ``DeadLetterLimitStore.accept``."""
        refuse_hidden_rows(self._clickhouse, (DEAD_LETTER_CHECKPOINTS,))  # it would be stored for any topic of the name
        self._clickhouse.command(
            "accept_dead_letters",
            # Without Kafka the messages are those that a worker counted last.
            f"INSERT INTO {DEAD_LETTER_ACCEPTANCES} (topic, partition, until, topic_id) "  # noqa: S608
            "SELECT {topic:String}, {partition:Int32}, {until:Int64}, if({topic_id:String} != '', {topic_id:String}, "
            f"(SELECT argMax(topic_id, written_at) FROM {DEAD_LETTER_CHECKPOINTS} WHERE {_OF_PARTITION}))",
            {"topic": topic, "partition": partition, "until": until, "topic_id": self._topic_id(topic)},
        )
