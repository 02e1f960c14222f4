"""What pipeline/kafka relies on inside faust-streaming 0.15.3 and aiokafka 0.14.0.

A release that changes any of it turns a test red here, by name, instead of losing an acknowledgement at night. After an update
read the new source, adapt the stream and only then the pin.
"""

from __future__ import annotations

import asyncio
import hashlib
import inspect
from collections import defaultdict
from importlib import metadata
from types import SimpleNamespace

import faust
import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.consumer import fetcher, group_coordinator, subscription_state
from aiokafka.errors import (
    CorruptRecordException,
    IllegalStateError,
    KafkaConnectionError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
)
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from faust.assignor.partition_assignor import PartitionAssignor
from faust.transport import consumer as faust_consumer
from faust.transport.drivers import aiokafka as driver
from faust.types.tuples import ConsumerMessage
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.errors import ConfigurationError
from pipeline.kafka import batch_consumer, record_batches
from pipeline.kafka.batch_consumer import BatchConsumer
from pipeline.kafka.consumer_thread import BatchConsumerThread
from pipeline.kafka.reading_progress import ReadingProgress
from pipeline.kafka.record_batches import BatchPartitionRecords, KeptRecords, RecordBatch, check_versions, install
from pipeline.kafka.transport import BatchTransport
from tests.budget import examples

TOPIC = "pinned"
TP = TopicPartition(TOPIC, 3)
CHECK_CRCS = True


def fingerprint(thing) -> str:
    """What the source of a method hashes to."""
    return hashlib.sha256(inspect.getsource(thing).encode()).hexdigest()[:16]


@pytest.mark.parametrize(
    ("thing", "expected"),
    [
        # replaced here
        (fetcher.PartitionRecords._unpack_records, "b803e6d46480732c"),
        (faust_consumer.Consumer.getmany, "4b168d84882a70d6"),
        (faust_consumer.Consumer._new_offset, "1d2c7ea89a7ad4f1"),
        (faust_consumer.Consumer._add_gap, "4df2573ded7c1c2c"),
        # called or built upon
        (fetcher.PartitionRecords.__init__, "8ec1c2ae6ea1af87"),
        (fetcher.PartitionRecords._consume_aborted_up_to, "56876530cd6412f3"),
        (fetcher.PartitionRecords._contains_abort_marker, "17e9ad2322ef4e0a"),
        (faust_consumer.Consumer.ack, "5fcf41cf45153475"),
        (driver.AIOKafkaConsumerThread._fetch_records, "39a2c6c79fc1455a"),
        (driver.AIOKafkaConsumerThread._seek_wait, "9d221e816d940467"),
        (driver.AIOKafkaConsumerThread._commit, "932852ce7a23f658"),
        (group_coordinator.GroupCoordinator.fetch_committed_offsets, "6c049c7379165952"),
        (group_coordinator.GroupCoordinator._do_fetch_commit_offsets, "b0f3598132715552"),
        (AIOKafkaConsumer.commit, "79b057d88220e5a2"),
        (faust_consumer.Consumer.force_commit, "cc094614d22c70fb"),
        (faust_consumer.Consumer._should_commit, "5ce941793947ad42"),
        (fetcher.Fetcher.fetched_records, "be4348896b9b66af"),
        (fetcher.Fetcher._update_fetch_positions, "d7774d8241dc6a7e"),
        (faust_consumer.Consumer._wait_next_records, "6218e1969a636b3f"),
        (faust_consumer.Consumer._filter_committable_offsets, "dc5e9baf5d994485"),
        (faust_consumer.Consumer.on_partitions_revoked, "d04b7ae72c6fc206"),
        (faust_consumer.Consumer.on_partitions_assigned, "29ce96596f05a18c"),
        (faust_consumer.Consumer.perform_seek, "0e8c130ff4b0afd8"),
        (driver.AIOKafkaConsumerThread._create_worker_consumer, "c2701bfc3e6f6cad"),
        (driver.AIOKafkaConsumerThread.on_start, "38b4e8bd1e10723a"),
        (group_coordinator.GroupCoordinator._do_heartbeat, "dc1d6632aaa68e96"),
        (group_coordinator.GroupCoordinator._heartbeat_routine, "61d01028952239d0"),
        (group_coordinator.GroupCoordinator._push_error_to_user, "743ff515bd7e2e38"),
        # a static member
        (faust.App._on_rebalance_when_stopped, "1b172d9af8ff4eb6"),
        (driver.AIOKafkaConsumerThread.on_thread_stop, "8dfc004e258b6c25"),
        (group_coordinator.GroupCoordinator._send_req, "fa4b12e914ce9fcf"),
        (group_coordinator.GroupCoordinator._do_commit_offsets, "c3a3ea5613f39cac"),
        (group_coordinator.GroupCoordinator._maybe_leave_group, "016cd88a16e6c4b5"),
        (group_coordinator.GroupCoordinator.close, "f30d831089456312"),
        (group_coordinator.GroupCoordinator.reset_generation, "537aa37c531b4de9"),
        (group_coordinator.CoordinatorGroupRebalance, "20ed95eaf623513c"),
        (PartitionAssignor.assign, "25f1cbbba9d46748"),
        (PartitionAssignor._get_copartitioned_groups, "82b7a3764ad596f6"),
        (PartitionAssignor.on_assignment, "72f34bf053d696b5"),
        (faust.Stream.noack, "921a6f5c674d32d4"),
    ],
    ids=lambda value: getattr(value, "__qualname__", ""),
)
def test_the_source_is_the_one_we_read(thing, expected):
    """A method that we replace or build upon is word for word the one that was read and tested."""
    assert fingerprint(thing) == expected


def test_a_rebalance_during_the_stop_closes_no_connection():
    """Faust closes the consumer then, and the member would not leave: the group would wait for it until its session ends."""
    thread = object.__new__(BatchConsumerThread)
    thread._consumer = SimpleNamespace(_closed=False)  # any use of its connections would raise
    app = SimpleNamespace(consumer=SimpleNamespace(close=thread.close))
    faust.App._on_rebalance_when_stopped(app)
    assert not thread._consumer._closed


def test_the_tested_releases_are_installed():
    """The pins belong to the releases that the worker starts on."""
    for package, releases in record_batches.TESTED.items():
        assert metadata.version(package) in releases


@pytest.mark.parametrize("package", ["aiokafka", "faust-streaming"])
def test_other_releases_are_refused(monkeypatch, package):
    """The worker does not start on a release it was not tested with, and says which one to install."""
    real = metadata.version
    monkeypatch.setattr(record_batches.metadata, "version", lambda name: "99.0" if name == package else real(name))
    with pytest.raises(ConfigurationError, match=f"{package} 99.0 was not tested.*Install {package} "):
        check_versions()
    with pytest.raises(ConfigurationError):
        install(TOPIC)
    assert TOPIC not in record_batches.BATCH_TOPICS


def test_attributes_that_the_consumer_reads():
    """Faust's consumer has the books that we keep in its place, under these names."""
    made = inspect.getsource(faust_consumer.Consumer.__init__)
    for name in (
        "_acked = defaultdict(list)",
        "_acked_index = defaultdict(set)",
        "_read_offset = defaultdict(",
        "_committed_offset",
    ):
        assert f"self.{name}" in made
    for name in ("assignment", "highwater", "ack", "perform_seek", "_wait_next_records", "flow_active", "_new_consumer_thread"):
        assert hasattr(driver.Consumer, name), name


def test_fetch_sizes_are_read_when_the_consumer_starts():
    """Aiokafka keeps the two fetch settings in these attributes and hands them to the fetcher in ``start``."""
    started = inspect.getsource(AIOKafkaConsumer.start)
    for name in ("_fetch_min_bytes", "_fetch_max_wait_ms"):
        assert f"self.{name}" in inspect.getsource(AIOKafkaConsumer.__init__)
        assert f"self.{name}" in started


def test_the_fetcher_looks_its_records_classes_up_by_name():
    """The class is taken from the module at call time, so that replacing the names is enough."""
    assert "PartitionRecords(" in inspect.getsource(fetcher.Fetcher)
    assert "MemoryRecords(" in inspect.getsource(fetcher.Fetcher)


def test_messages_take_our_attributes():
    """A Faust message has room for the assignment it belongs to."""
    arguments = list(inspect.signature(ConsumerMessage.__init__).parameters)
    assert arguments[1:9] == ["topic", "partition", "offset", "timestamp", "timestamp_type", "headers", "key", "value"]
    message = ConsumerMessage(TOPIC, 3, 9, 0.0, 0, (), None, [], None, 0, 0, TP, generation_id=1)
    message.epoch = 4
    assert (message.epoch, message.tp, message.acked) == (4, TP, False)


def test_the_transport_uses_our_parts():
    """Faust asks the transport for its consumer class and the consumer for its thread."""
    assert BatchTransport.Consumer is BatchConsumer
    assert issubclass(BatchConsumerThread, driver.AIOKafkaConsumerThread)
    assert "self._new_consumer_thread()" in inspect.getsource(driver.Consumer.__init__) + inspect.getsource(
        faust_consumer.ThreadDelegateConsumer.__init__
    )
    assert "transport.Consumer(" in inspect.getsource(faust.App) or "Consumer(" in inspect.getsource(driver.Transport.__mro__[1])


def test_a_stream_without_acks_leaves_its_messages_alone():
    """``noack()`` is the stream that acknowledges nothing by itself."""
    app = faust.App("pin", broker="kafka://127.0.0.1:1", web_enabled=False)
    stream = app.stream(app.topic("t", value_type=bytes))
    assert stream.enable_acks is True
    assert stream.noack().enable_acks is False


# ---- record batches, on bytes as Kafka stores them


def packed(first, values, *, keys=None) -> bytes:
    """One record batch, format 2, gzip."""
    builder = DefaultRecordBatchBuilder(
        magic=2, compression_type=1, is_transactional=0, producer_id=-1, producer_epoch=-1, base_sequence=-1, batch_size=1 << 20
    )
    for number, value in enumerate(values):
        key = b"k%d" % (first + number) if keys is None else keys[number]
        builder.append(number, timestamp=1_700_000_000_000 + number, key=key, value=value, headers=[])
    body = bytearray(builder.build())
    body[:8] = first.to_bytes(8, "big")  # the broker writes the base offset; it is outside the checksum
    return bytes(body)


def unpacked(body, fetch_offset, *, topic=TOPIC):
    """A response read from an offset: aiokafka's records object and what came out of it."""
    records = BatchPartitionRecords(
        TopicPartition(topic, 3), KeptRecords(body), [], fetch_offset, None, None, CHECK_CRCS, fetcher.READ_UNCOMMITTED
    )
    return records, list(records._unpack_records())


def values(batch):
    """The values of a record batch."""
    return [value for piece in batch.pieces() for value in piece.values()]


def origins(batch):
    """The keys and offsets of a record batch."""
    return [origin for piece in batch.pieces() for origin in piece.keys_and_offsets()]


@pytest.fixture
def _batch_topic(monkeypatch):
    monkeypatch.setattr(record_batches, "BATCH_TOPICS", {TOPIC})


@pytest.mark.usefixtures("_batch_topic")
def test_whole_batches_come_out():
    """Every batch of a response comes as one object, with exact offsets, keys, tombstones and empty values."""
    body = packed(100, [b"a", None, b""]) + packed(103, [b"d"])
    records, (one, two) = unpacked(body, 100)
    assert isinstance(one, RecordBatch)
    assert (one.first_offset, one.end, one.messages, one.timestamp) == (100, 103, 3, 1_700_000_000_002)
    assert values(one) == [b"a", None, b""]
    assert origins(one) == [(b"k100", 100), (b"k101", 101), (b"k102", 102)]
    assert origins(two) == [(b"k103", 103)]
    assert (two.first_offset, two.end, values(two)) == (103, 104, [b"d"])
    assert (one.size, two.size) == (len(body), 0)
    assert records.next_fetch_offset == 104


@pytest.mark.usefixtures("_batch_topic")
def test_a_fetch_may_begin_in_the_middle_of_a_batch():
    """What is before the offset asked for is omitted from values, keys and offsets."""
    _, (batch,) = unpacked(packed(100, [b"a", b"b", b"c", b"d"]), 102)
    assert (batch.first_offset, batch.messages, values(batch)) == (102, 2, [b"c", b"d"])
    assert origins(batch) == [(b"k102", 102), (b"k103", 103)]


@pytest.mark.usefixtures("_batch_topic")
def test_a_damaged_batch_is_found():
    """A batch whose checksum is wrong is never handed out."""
    body = bytearray(packed(100, [b"a" * 100]))
    body[-1] ^= 1
    with pytest.raises(CorruptRecordException):
        unpacked(bytes(body), 100)


@pytest.mark.usefixtures("_batch_topic")
def test_other_topics_are_left_to_aiokafka():
    """A topic that is not registered comes as aiokafka's own records."""
    records = BatchPartitionRecords(
        TopicPartition("other", 0),
        MemoryRecords(packed(7, [b"x", b"y"])),
        [],
        7,
        lambda key: key,
        lambda value: value,
        CHECK_CRCS,
        0,
    )
    records._key_deserializer = records._value_deserializer = None
    assert [(record.offset, record.value) for record in records._unpack_records()] == [(7, b"x"), (8, b"y")]


def transactional(first, values, *, producer=9, control=False):
    """One batch of a producer's transaction; ``control``: its end, whose key says that it is aborted."""
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=0,
        is_transactional=1,
        producer_id=producer,
        producer_epoch=0,
        base_sequence=0,
        batch_size=1 << 20,
    )
    for number, value in enumerate(values):
        builder.append(number, timestamp=1_700_000_000_000, key=bytes(4) if control else b"k", value=value, headers=[])
    body = bytearray(builder.build())
    body[:8] = first.to_bytes(8, "big")
    if control:
        body[22] |= 0x20  # the attribute that makes it a control batch
    return bytes(body)


@pytest.mark.usefixtures("_batch_topic")
def test_an_aborted_transaction_is_left_out():
    """Messages that their sender took back are not handed out; others between them, and its next transaction, are."""
    body = (
        transactional(10, [b"taken back", b"this too"])
        + transactional(12, [b"another's"], producer=5)
        + packed(13, [b"nobody's"])
        + transactional(14, [b"\0\0\0\0\0\0"], control=True)
        + transactional(15, [b"kept"])
    )
    aborted = [(9, 10)]
    records = BatchPartitionRecords(TP, KeptRecords(body), aborted, 10, None, None, not CHECK_CRCS, fetcher.READ_COMMITTED)
    assert [values(batch) for batch in records._unpack_records()] == [[b"another's"], [b"nobody's"], [b"kept"]]
    assert records.next_fetch_offset == 16


def test_whole_transactions_are_asked_for(monkeypatch):
    """The consumer that Faust makes is set to skip aborted transactions before it starts, where aiokafka reads it."""
    made = SimpleNamespace()
    monkeypatch.setattr(driver.AIOKafkaConsumerThread, "_create_worker_consumer", lambda *_: made)
    settings = SimpleNamespace(fetch_min_bytes=1, fetch_max_wait_ms=2, group_storage=None)
    BatchConsumerThread.__new__(BatchConsumerThread)._create_worker_consumer(settings)
    assert made._auto_offset_reset == "none", "it would jump over deleted messages without a word"
    assert "auto_offset_reset=self._auto_offset_reset" in inspect.getsource(AIOKafkaConsumer.start)
    assert made._isolation_level == "read_committed"
    assert "isolation_level=self._isolation_level" in inspect.getsource(AIOKafkaConsumer.start)


def test_where_the_signs_of_life_are_read():
    """The watchdog's signs stand in aiokafka under these names."""
    state = inspect.getsource(subscription_state.TopicPartitionState)
    for name in ("_position", "highwater", "lso", "timestamp"):
        assert f"self.{name}" in state, name
    assert "tp_state.timestamp = now_ms" in inspect.getsource(fetcher.Fetcher._proc_fetch_request), "set by every answered fetch"
    group = inspect.getsource(group_coordinator.GroupCoordinator)
    assert "self._pending_exception = exc" in group
    assert "success = await self._do_heartbeat()" in group
    assert "self._coordination_task = create_task(" in group
    assert "self._fetch_task = create_task(" in inspect.getsource(fetcher.Fetcher.__init__)


@pytest.mark.parametrize("made", [None, SimpleNamespace(_coordinator=None, _fetcher=None)])
def test_before_aiokafka_has_its_parts_there_are_no_vitals(made):
    """Faust calls its app started before anything runs: until a first broker has answered there are no vitals."""
    consumer = a_consumer()
    consumer._thread, consumer.joined = SimpleNamespace(_consumer=made, heartbeats=0, static_member=None), False
    assert consumer.vitals() is None
    source = inspect.getsource(AIOKafkaConsumer.__init__)
    assert "self._coordinator = None" in source
    assert "self._fetcher = None" in source


@pytest.mark.parametrize(
    ("position", "highwater", "lso", "lag", "readable"), [(7, 7, 7, 0, 0), (5, 9, 7, 4, 2), (None, 9, 9, 0, 0)]
)
def test_the_lag_is_measured_from_the_position_of_the_fetcher(position, highwater, lso, lag, readable):
    """The end of a transaction takes an offset, is skipped by the fetcher, and is not a message that waits."""
    state = SimpleNamespace(_position=position, highwater=highwater, lso=lso, timestamp=None)
    assignment = SimpleNamespace(tps={TP}, state_value=lambda _: state)
    consumer = a_consumer()
    subscription = SimpleNamespace(subscription=SimpleNamespace(assignment=assignment))
    consumer._thread = SimpleNamespace(_consumer=SimpleNamespace(_subscription=subscription))
    assert (consumer.lag(), consumer.readable()) == (lag, readable)


# ---- which offset is committed


def a_consumer() -> BatchConsumer:
    """A consumer's books without its threads."""
    consumer = BatchConsumer.__new__(BatchConsumer)
    consumer._acked, consumer._acked_index = defaultdict(list), defaultdict(set)
    consumer._beyond = defaultdict(int)
    consumer._seeking, consumer.progress = asyncio.Lock(), ReadingProgress()
    return consumer


def handed_out(consumer, *lasts):
    """Fetches that were handed out, as messages."""
    messages = []
    for last in lasts:
        message = ConsumerMessage(TOPIC, 3, last, 0.0, 0, (), None, [], None, 0, 0, TP, generation_id=1)
        message.epoch, message.begun = consumer.progress.epoch, consumer.progress.hand_out(TP, last)
        messages.append(message)
    return messages


@settings(max_examples=examples(300))
@given(st.lists(st.integers(1, 5), min_size=1, max_size=8), st.randoms(use_true_random=False), st.data())
def test_only_unbroken_runs_are_committed(sizes, chance, data):
    """In whatever order fetches are acknowledged, the offset to commit never passes one that is not, and reaches the end."""
    consumer = a_consumer()
    consumer.ack = lambda message: consumer._acked[TP].append(message.offset)
    lasts = [sum(sizes[: number + 1]) - 1 for number in range(len(sizes))]
    order = handed_out(consumer, *lasts)
    chance.shuffle(order)
    acked = set()
    for message in order:
        acked.add(message.offset)
        assert consumer.acknowledge(message) is False, "as Faust's own method says here"
        if message is not order[-1] and data.draw(st.booleans()):
            continue
        unbroken = 0
        for end in lasts:
            if end not in acked:
                break
            unbroken = end + 1
        assert consumer._new_offset(TP) == (unbroken or None)
        assert not consumer._acked[TP], "Faust's list does not grow"
    assert consumer._new_offset(TP) == lasts[-1] + 1


def test_an_earlier_reading_acknowledges_nothing():
    """A fetch handed out before its partition was given away is omitted, however late it is acknowledged."""
    consumer = a_consumer()
    acked = []
    consumer.ack = lambda message: acked.append(message) or True
    first, second = handed_out(consumer, 9, 19)
    assert consumer.take(first)
    assert consumer.acknowledge(first)
    consumer._interrupt(forget=True)
    assert not consumer.take(second)
    assert not consumer.acknowledge(second)
    assert acked == [first]
    assert consumer._new_offset(TP) is None


@pytest.mark.parametrize(
    ("committed", "position", "asked"),
    [(0, None, [("seek", {TP: 0})]), (None, 5, [("seek", {TP: 3})]), (None, None, []), (7, 9, [])],
)
async def test_positions_go_back_where_aiokafka_does_not_seek(monkeypatch, committed, position, asked):
    """At offset 0, and where nothing is committed, aiokafka would go on after messages that were fetched and not handed out."""
    consumer = a_seeking_consumer(monkeypatch, broker={TP: committed})
    state = SimpleNamespace(has_valid_position=position is not None)
    consumer._states = lambda: [(TP, state)]
    assert await consumer.seek_to_committed() == {TP: committed}
    assert consumer.asked == asked
    source = inspect.getsource(AIOKafkaConsumer.seek_to_committed)
    assert "if offset and offset > 0:\n                self._fetcher.seek_to(tp, offset)" in source


class Seeking(driver.Consumer):
    """Faust's part of a seek: all partitions are read as committed; something else may happen meanwhile."""

    async def perform_seek(self):
        self.asked.append("committed")
        self._committed_offset.update(self.broker)
        self.meanwhile()


async def test_a_kept_partition_is_read_on_and_one_that_was_read_by_others_is_not(monkeypatch):
    """After a rebalance a seek continues after what was taken over, where nobody else committed."""
    consumer = a_seeking_consumer(monkeypatch, broker={TP: 5, OTHER: 7})
    (message,) = handed_out(consumer, 9)
    consumer.take(message)
    consumer._interrupt()
    await consumer.perform_seek()
    assert consumer.asked == ["committed", ("seek", {TP: 10})]
    assert consumer.progress.positions_known
    assert TP in consumer._acked, "where Faust looks for partitions to commit"
    consumer.asked.clear()
    consumer.broker[TP] = 30
    await consumer.perform_seek()
    assert consumer.asked == ["committed"]


async def test_a_seek_during_which_a_rebalance_begins_counts_for_nothing(monkeypatch):
    """Nothing is handed out until a seek was completed in the newest assignment."""
    consumer = a_seeking_consumer(monkeypatch, broker={TP: 5})
    consumer.meanwhile = consumer._interrupt
    await consumer.perform_seek()
    assert not consumer.progress.positions_known
    assert await consumer._interrupted_since(consumer.progress.epoch)
    consumer.meanwhile = lambda: None
    assert await consumer._interrupted_since(consumer.progress.epoch), "what was fetched before the seek is fetched again"
    assert not await consumer._interrupted_since(consumer.progress.epoch)


async def test_what_was_fetched_during_a_seek_is_fetched_again(monkeypatch):
    """The first assignment finds messages flowing: a fetch may take messages before the seek, and return after it."""
    consumer = a_seeking_consumer(monkeypatch, broker={TP: 5})
    begun = []
    consumer.meanwhile = lambda: begun.append(consumer.progress.epoch)
    await consumer.perform_seek()
    assert await consumer._interrupted_since(begun[0])
    assert not await consumer._interrupted_since(consumer.progress.epoch)


async def test_a_seek_that_fails_leaves_nothing_to_hand_out(monkeypatch):
    """A position that may be elsewhere than the progress says is sought again before messages flow."""
    consumer = a_seeking_consumer(monkeypatch, broker={TP: 5})
    (message,) = handed_out(consumer, 9)
    consumer.take(message)

    async def fails(_):
        raise IllegalStateError

    monkeypatch.setattr(consumer._thread, "seek_wait", fails)
    with pytest.raises(IllegalStateError):
        await consumer.perform_seek()
    assert await consumer._interrupted_since(consumer.progress.epoch)
    assert not consumer.progress.positions_known


def a_seeking_consumer(monkeypatch, *, broker):
    """A consumer that owns these partitions, each with its committed offset."""
    monkeypatch.setattr(driver.Consumer, "perform_seek", Seeking.perform_seek)
    consumer = a_consumer()
    consumer.broker, consumer.asked, consumer.flow_active, consumer.meanwhile = broker, [], True, lambda: None
    consumer._committed_offset = defaultdict(lambda: None)
    consumer.assignment = lambda: set(broker)

    async def seek(offsets):
        consumer.asked.append(("seek", dict(offsets)))

    async def committed():
        return dict(broker)

    async def bounds(partitions):
        return dict.fromkeys(partitions, (3, 20))

    async def owns(_):
        return True

    consumer._thread = SimpleNamespace(seek_wait=seek, seek_to_committed=committed, bounds=bounds, owns=owns)
    return consumer


async def test_nothing_is_read_of_a_group_of_another_storage(monkeypatch):
    """While it is not known whose offsets are committed, or they are another storage's, nothing is handed out."""
    consumer = a_seeking_consumer(monkeypatch, broker={TP: 7})
    owned = [False, True]

    async def owns(partitions):
        assert set(partitions) == {TP}
        return owned.pop(0)

    consumer._thread.owns = owns
    await consumer.perform_seek()
    assert not consumer.progress.positions_known
    await consumer.perform_seek()
    assert consumer.progress.positions_known


async def test_the_storage_is_noted_beside_every_committed_offset(monkeypatch):
    """What Faust commits without a note is committed with the storage's."""
    committed = []

    async def commit(offsets):
        committed.append(offsets)

    made = SimpleNamespace(commit=commit)
    monkeypatch.setattr(driver.AIOKafkaConsumerThread, "_create_worker_consumer", lambda *_: made)
    transport = SimpleNamespace(fetch_min_bytes=1, fetch_max_wait_ms=2, group_storage=SimpleNamespace(note="storage a"))
    BatchConsumerThread.__new__(BatchConsumerThread)._create_worker_consumer(transport)
    await made.commit({TP: OffsetAndMetadata(5, "")})
    assert committed == [{TP: OffsetAndMetadata(5, "storage a")}]


# ---- offsets that are not messages, and offsets that are gone


def test_the_end_of_the_whole_batches_of_a_response():
    """The end is that of the last whole batch; a batch that is cut comes again with the next fetch."""
    body = packed(100, [b"a", None]) + packed(107, [b"d"])
    assert record_batches.end_of(b"") == 0
    assert record_batches.end_of(body) == 108
    assert record_batches.end_of(body[:-1]) == 102
    assert record_batches.end_of(body + packed(200, [b"e"])[:70]) == 108


def test_offsets_behind_the_last_message_are_committed_when_nothing_waits():
    """The end of a transaction is acknowledged with what is before it, and never while something handed out is not."""
    consumer = a_consumer()
    consumer._handed_out_through({TP: 12})
    assert TP in consumer._acked, "where Faust looks for partitions to commit"
    assert consumer._new_offset(TP) == 12
    consumer.ack = bool
    first, second = handed_out(consumer, 14, 19)
    consumer._handed_out_through({TP: 23})
    assert consumer._new_offset(TP) == 12
    consumer.acknowledge(first)
    assert consumer._new_offset(TP) == 15
    consumer.acknowledge(second)
    assert consumer._new_offset(TP) == 23
    consumer._interrupt()
    assert consumer._new_offset(TP) is None


class Thread:
    """The consumer's thread, with one log whose bounds a test sets; keeps what is asked of it."""

    def __init__(self, begin, end, committed=None):
        self.begin, self.end, self.asked = begin, end, []
        self._committed = committed
        self.positions, self.out_of_range = {}, {}
        state = SimpleNamespace(has_valid_position=True)
        assignment = SimpleNamespace(tps={TP}, state_value=lambda _: state)
        self._consumer = SimpleNamespace(_subscription=SimpleNamespace(subscription=SimpleNamespace(assignment=assignment)))

    async def bounds(self, partitions):
        return dict.fromkeys(partitions, (self.begin, self.end))

    async def seek_wait(self, offsets):
        self.asked.append(("seek", offsets[TP]))

    async def commit(self, offsets):
        self.asked.append(("commit", offsets[TP]))
        return True

    async def seek_to_committed(self):
        self.asked.append(("seek to committed", self._committed))
        return {TP: self._committed}

    def highwater(self, _):
        return 25


def a_reader(thread, monkeypatch):
    """A consumer over that thread."""
    monkeypatch.setattr(batch_consumer, "_BEYOND_PAUSE", 0.0)
    consumer = a_consumer()
    consumer._thread, consumer._committed_offset, consumer._read_offset = thread, {}, defaultdict(lambda: None)

    async def unread(tp, first, end, cause):
        thread.asked.append((str(cause), first, end))

    consumer.transport = SimpleNamespace(record_unread=unread)
    return consumer


@pytest.mark.parametrize(
    ("position", "asked"),
    [
        (4, [("deleted", 4, 10), ("seek", 10)]),
        (None, [("seek", 10), ("commit", 10)]),
        (10, []),
        (20, []),
    ],
)
async def test_where_to_read_on(monkeypatch, position, asked):
    """What left the log is recorded before the jump; a group without an offset begins at the beginning and says so at once."""
    thread = Thread(10, 20)
    consumer = a_reader(thread, monkeypatch)
    await consumer._find_positions({TP: position})
    assert thread.asked == asked
    assert not consumer._beyond


async def test_a_position_behind_the_end_is_believed_late(monkeypatch):
    """A new leader learns its end late: the log is called truncated after several looks, and is then read again."""
    thread = Thread(10, 20, committed=15)
    consumer = a_reader(thread, monkeypatch)
    handed_out(consumer, 21)
    for _ in range(batch_consumer._BEYOND_READINGS - 1):
        await consumer._find_positions({TP: 22})
        assert thread.asked == []
    epoch = consumer.progress.epoch
    await consumer._find_positions({TP: 22})
    assert thread.asked == [("truncated", 22, 25), ("seek to committed", 15)]
    assert consumer.progress.epoch > epoch, "what was handed out of the old log is not acknowledged to the new one"


async def test_a_truncated_log_without_a_committed_offset_is_read_from_its_beginning(monkeypatch):
    """Whatever was not acknowledged is read again, also before the first acknowledgement."""
    thread = Thread(10, 20)
    consumer = a_reader(thread, monkeypatch)
    for _ in range(batch_consumer._BEYOND_READINGS):
        await consumer._find_positions({TP: 22})
    assert thread.asked[-2:] == [("seek to committed", None), ("seek", 10)]


async def test_a_question_without_an_answer_is_asked_again(monkeypatch):
    """Brokers that do not answer change nothing: the next fetch meets the same position."""
    thread = Thread(10, 20)

    async def fails(_):
        raise KafkaConnectionError

    thread.bounds = fails
    await a_reader(thread, monkeypatch)._find_positions({TP: 4})
    assert thread.asked == []


@pytest.mark.parametrize(
    ("error", "outside"), [(OffsetOutOfRangeError({TP: 7}), {TP: 7}), (NoOffsetForPartitionError(TP), {TP: None})]
)
async def test_a_position_outside_of_the_log_is_met_by_the_fetch(monkeypatch, error, outside):
    """Aiokafka is told to jump nowhere, and its errors name the partition and the position as we read them."""

    async def fetched(*_, **__):
        raise error

    monkeypatch.setattr(driver.AIOKafkaConsumerThread, "_fetch_records", fetched)
    thread = BatchConsumerThread.__new__(BatchConsumerThread)
    thread.positions, thread.out_of_range = {}, {}
    assert await thread._fetch_records(None, {TP, OTHER}, timeout=1.0) == {}
    assert thread.out_of_range == outside
    source = inspect.getsource(fetcher.Fetcher)
    assert "Errors.OffsetOutOfRangeError({tp: fetch_offset})" in source
    assert "Errors.NoOffsetForPartitionError(tp)" in source
    assert fetcher.OffsetResetStrategy.from_str("none") == fetcher.OffsetResetStrategy.NONE


async def drained(consumer, *, take=None):
    """Messages of one ``getmany``, up to ``take`` of them."""
    found = []
    generator = consumer.getmany(1.0)
    async for tp, message in generator:
        found.append((tp, message.offset))
        if len(found) == take:
            break
    await generator.aclose()
    return found


def a_fetching_consumer(records, positions):
    """A consumer whose next fetch brings these record batches, and these positions behind them."""
    consumer = a_consumer()
    consumer._thread = SimpleNamespace(positions={}, out_of_range={})
    consumer._read_offset = defaultdict(lambda: None)
    consumer.transport = SimpleNamespace(budget=SimpleNamespace(full=False))
    consumer.app = SimpleNamespace(consumer_generation_id=1)
    consumer.flow_active, consumer.sought = True, 0
    consumer.assignment = lambda: set(positions)
    consumer.progress.resume({}, ())
    consumer._stopped = SimpleNamespace(is_set=lambda: False)
    consumer._crashed = SimpleNamespace(is_set=lambda: False)

    async def fetch(_):
        consumer._thread.positions = dict(positions)
        return records, set(positions)

    async def seek():
        consumer.sought += 1
        consumer._interrupt()
        consumer.progress.resume({}, ())

    consumer._wait_next_records, consumer.perform_seek = fetch, seek
    return consumer


def through(consumer):
    """What may be committed of each partition when everything handed out is acknowledged."""
    for tp, progress in consumer.progress._reading.items():
        for last in tuple(progress._waiting):
            consumer.progress.acknowledge(tp, last, begun=progress.begun)
    return {tp: offset for tp in (TP, OTHER) if (offset := consumer.progress.offset_to_commit(tp)) is not None}


OTHER = TopicPartition(TOPIC, 4)
FETCHED = {tp: [SimpleNamespace(end=5, timestamp=1)] for tp in (TP, OTHER)}


async def test_a_whole_fetch_moves_what_may_be_committed():
    """After everything of a fetch was handed out, the positions behind it are known as such."""
    consumer = a_fetching_consumer(FETCHED, {TP: 7, OTHER: 5})
    assert await drained(consumer) == [(TP, 4), (OTHER, 4)]
    assert through(consumer) == {TP: 7, OTHER: 5}
    assert not consumer.sought


async def test_a_fetch_that_breaks_off_is_read_again():
    """What was fetched and not handed out is fetched again, before anything later is handed out or committed."""
    consumer = a_fetching_consumer(FETCHED, {TP: 7, OTHER: 5})
    assert await drained(consumer, take=1) == [(TP, 4)]
    assert through(consumer) == {}
    assert await drained(consumer) == []
    assert consumer.sought == 1
    assert await drained(consumer) == [(TP, 4), (OTHER, 4)]
    assert through(consumer) == {TP: 7, OTHER: 5}


async def test_an_offset_that_faust_remembers_of_before_a_seek_drops_nothing():
    """Faust drops messages before the last one that it saw; what would be dropped would be passed over by a later commit."""
    consumer = a_fetching_consumer(FETCHED, {TP: 7, OTHER: 5})
    consumer._read_offset[TP] = 9
    assert await drained(consumer) == [(TP, 4), (OTHER, 4)]
    assert consumer._read_offset[TP] is None
    assert "if r_offset is None or offset >= r_offset:" in inspect.getsource(faust_consumer.Consumer._drain_messages)


async def test_a_partition_that_is_paused_meanwhile_is_read_again():
    """Messages of a partition that may not be read now are not passed over."""
    consumer = a_fetching_consumer(FETCHED, {TP: 7})
    assert await drained(consumer) == [(TP, 4)]
    assert through(consumer) == {}
    await drained(consumer)
    assert consumer.sought == 1


@pytest.mark.parametrize("error", [IllegalStateError("No current assignment for partition"), AssertionError("none assigned")])
async def test_an_assignment_that_changes_during_a_rebalance_ends_no_worker(error):
    """A partition that is revoked while the positions are sought is not an error; nothing is handed out until they are known."""
    consumer = a_fetching_consumer(FETCHED, {TP: 7, OTHER: 5})
    consumer._interrupt()

    async def perform_seek():
        raise error

    consumer.perform_seek = perform_seek
    assert await drained(consumer) == []
    assert await drained(consumer) == []
    assert through(consumer) == {}


async def test_messages_fetched_before_a_rebalance_are_dropped():
    """Another member may own their partitions now; nothing is sought before Faust has the new assignment."""
    consumer = a_fetching_consumer(FETCHED, {TP: 7, OTHER: 5})
    fetch = consumer._wait_next_records

    async def revoked(seconds):
        consumer.flow_active = False
        return await fetch(seconds)

    consumer._wait_next_records = revoked
    assert await drained(consumer) == []
    assert (through(consumer), consumer.sought) == ({}, 0)


async def test_messages_fetched_before_a_seek_are_dropped():
    """A fetch that was on the way during a whole rebalance brings messages of another position."""
    consumer = a_fetching_consumer(FETCHED, {TP: 7, OTHER: 5})
    fetch = consumer._wait_next_records

    async def rebalanced(seconds):
        await consumer.perform_seek()
        return await fetch(seconds)

    consumer._wait_next_records = rebalanced
    assert await drained(consumer) == []
    assert consumer.sought == 2


async def test_a_fetch_that_is_cancelled_is_read_again():
    """A fetch whose answer nobody took has moved aiokafka's position: it is sought again."""
    consumer = a_fetching_consumer(FETCHED, {TP: 7, OTHER: 5})
    fetch = consumer._wait_next_records

    async def cancelled(_):
        raise asyncio.CancelledError

    consumer._wait_next_records = cancelled
    with pytest.raises(asyncio.CancelledError):
        await drained(consumer)
    consumer._wait_next_records = fetch
    await drained(consumer)
    assert through(consumer) == {}
    assert consumer.sought == 1
