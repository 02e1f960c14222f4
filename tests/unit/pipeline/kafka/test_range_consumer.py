"""Ranges of a topic are read whole: a batch that cannot be read is told after everything before it, and is never passed over."""

from __future__ import annotations

from concurrent.futures import Future
from types import SimpleNamespace

import pytest
from aiokafka import TopicPartition
from aiokafka import errors as aiokafka_errors
from aiokafka.record.memory_records import MemoryRecords
from confluent_kafka import KafkaError, KafkaException

from pipeline.kafka.range_consumer import RangeConsumer
from pipeline.kafka.record_batches import RecordBatch
from pipeline.settings import KafkaSettings
from tests.raw_batches import GZIP, packed_records, raw_batch


class Fetched:
    """A started consumer whose fetches bring these batches, one a fetch; the log ends behind the last one."""

    def __init__(self, *payloads):
        self._batches, self._at, self.failure = [], 0, None
        for number, payload in enumerate(payloads):
            response = bytearray(raw_batch(payload, 3, GZIP if payload == b"damaged" else 0))
            response[:8] = (3 * number).to_bytes(8, "big")
            packed = MemoryRecords(bytes(response)).next_batch()
            self._batches.append(RecordBatch(0, packed.base_offset, packed.next_offset, 0, 0, bytes(response), 0, "partition 0"))
        self._end = 3 * len(payloads)

    async def getmany(self, part, **_):
        """The next batch, or nothing."""
        if not self._batches:
            return {}
        self._at += 3
        return {part: [self._batches.pop(0)]}

    async def position(self, _part):
        """Behind what was fetched."""
        return self._at

    def last_stable_offset(self, _part):
        """The end of the log."""
        return self._end

    @property
    def _fetcher(self):
        """Its task has ended by the error that a test sets, as aiokafka raises it."""
        ended = Future()
        if self.failure:
            raised = aiokafka_errors.KafkaError("Unexpected error during data retrieval")
            raised.__cause__ = self.failure
            ended.set_exception(raised)
        return SimpleNamespace(error_future=ended)

    async def stop(self):
        """Nothing to stop."""


@pytest.fixture
def reading():
    """``reading(*payloads)``: a consumer that gets these batches."""
    made = []

    def reading(*payloads):
        consumer = RangeConsumer(KafkaSettings(), "test")
        consumer._consumer, consumer._part = Fetched(*payloads), TopicPartition("t", 0)
        made.append(consumer)
        return consumer

    yield reading
    for each in made:
        each.close()


GOOD = packed_records([b"a", None, b"c"])


@pytest.mark.parametrize("count", [1, 2, 4, 100])
def test_an_unreadable_batch_is_told_after_what_is_before_it(reading, count):
    """What comes before it is handed out, then its offsets are named; what is behind it is not."""
    consumer, found = reading(GOOD, b"damaged", GOOD), []
    with pytest.raises(KafkaException) as refused:
        _read_on(consumer, count, found)
    assert found == [0, 1, 2]
    assert refused.value.args[0].code() == KafkaError._BAD_MSG
    assert "at the offsets 3 to 5" in refused.value.args[0].str()


def _read_on(consumer, count, found):
    for _ in range(20):
        found += [message.offset() for message in consumer.consume(count, 0.1)]


def test_fetches_are_joined_up_to_the_count_and_the_end(reading):
    """One answer holds several fetches; the end of the log comes when nothing else does."""
    consumer = reading(GOOD, GOOD, GOOD)
    assert [len(consumer.consume(7, 5)), len(consumer.consume(7, 5))] == [7, 2]
    (end,) = consumer.consume(7, 0.01)
    assert (end.error().code(), end.offset()) == (KafkaError._PARTITION_EOF, 9)


@pytest.mark.parametrize(("failure", "told"), [(MemoryError(), MemoryError), (ValueError("odd"), KafkaException), (None, None)])
def test_fetching_that_has_ended_is_told(reading, failure, told):
    """When the library's task has ended no message comes any more: its error is raised, not waited for."""
    consumer = reading(GOOD)
    consumer._consumer._end = 5  # there is more to come
    assert len(consumer.consume(10, 0.01)) == 3
    consumer._consumer.failure = failure
    if told is None:
        assert consumer.consume(10, 0.01) == []
        return
    with pytest.raises(told):
        consumer.consume(10, 0.01)
