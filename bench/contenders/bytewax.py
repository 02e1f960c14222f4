"""bytewax as its guide shows it: Kafka input, whole batches parsed by ``flat_map_batch``, a custom sink.

It reads from the offsets that its consumer group has committed (``OFFSET_STORED``), so that a redelivery can be forced as
for the others; librdkafka commits what was read, not what was inserted. Its own recovery store would take time on top.
Run as a program: ``python -m bytewax.run "bench.contenders.bytewax:create_flow()"`` with BENCH_* in the environment.
"""

from __future__ import annotations

import os
from typing import Any

import bytewax.operators as op
import orjson
from bytewax.connectors.kafka import KafkaSource, KafkaSourceMessage
from bytewax.dataflow import Dataflow
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from confluent_kafka import OFFSET_STORED

from bench.contenders.tables import Writer, valid

_BATCH = 20_000


class ClickHousePartition(StatelessSinkPartition[dict[str, Any]]):
    """Writes the batches of one worker."""

    def __init__(self) -> None:
        self._writer = Writer()

    def write_batch(self, items: list[dict[str, Any]]) -> None:
        """Insert; an error ends the dataflow."""
        self._writer.write(items)


class ClickHouseSink(DynamicSink[dict[str, Any]]):
    """Every worker writes for itself."""

    def build(self, step_id: str, worker_index: int, worker_count: int) -> ClickHousePartition:
        """The part of one worker."""
        del step_id, worker_index, worker_count
        return ClickHousePartition()


def decode(messages: list[KafkaSourceMessage[bytes, bytes]]) -> list[dict[str, Any]]:
    """The valid events of a batch."""
    return [event for event in (orjson.loads(message.value) for message in messages) if valid(event)]


def create_flow() -> Dataflow:
    """Kafka -> parse -> ClickHouse."""
    flow = Dataflow("bench")
    source = KafkaSource(
        [os.environ["BENCH_KAFKA"]],
        [os.environ["BENCH_TOPIC"]],
        starting_offset=OFFSET_STORED,
        batch_size=_BATCH,
        add_config={
            "group.id": os.environ["BENCH_GROUP"],
            "auto.offset.reset": "earliest",
            "enable.auto.commit": "true",
            "auto.commit.interval.ms": "1000",
        },
    )
    messages = op.input("kafka", flow, source)
    events = op.flat_map_batch("decode", messages, decode)
    op.output("clickhouse", events, ClickHouseSink())
    return flow
