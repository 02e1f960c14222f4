"""Record batches are what Kafka's own clients would send: same partitions, same records, a valid checksum."""

from __future__ import annotations

import socket
import threading

import pytest
from aiokafka.partitioner import murmur2 as murmur2_of_one
from aiokafka.record.memory_records import MemoryRecords
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import ConfigurationError, UnavailableError
from producers.messages import Kind, Message
from producers.sending import batch_file, batch_sender
from producers.sending.batch_sender import BatchSender
from producers.sending.partitions import murmur2, partitions_of
from producers.sending.record_batches import Distinct, Packer, split_in_half, with_timestamp


def packed(messages, **options):
    """All batches of the messages."""
    packer = Packer(4, **options)
    batches = list(packer.add(messages, indexes=range(len(messages)), distinct=Distinct().new(messages)))
    return batches + list(packer.flush())


def event(number, size=20):
    """A message whose id is its number."""
    return Message(f"k{number % 9}".encode(), b'{"event_id":"%036d","x":"%s"}' % (number, b"x" * size), 0, Kind.EVENT)


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=30))
def test_the_hash_is_the_one_of_kafka_s_clients(keys):
    """Murmur2 for many keys at once gives what it gives for each."""
    assert murmur2(keys).tolist() == [murmur2_of_one(key) & 0xFFFFFFFF for key in keys]


def test_messages_without_a_key_take_turns():
    """They are spread evenly, and depend on their place alone."""
    assert partitions_of([None] * 6, 4, start=3) == [3, 0, 1, 2, 3, 0]


def test_batches_hold_every_message_in_order_and_stay_below_their_size(unpack):
    """A full batch is handed out before it grows too large; a message larger than a batch gets one of its own."""
    messages = [event(number, size=2_000 if number == 7 else 20) for number in range(300)]
    batches = packed(messages, batch_bytes=1_000)
    assert sorted(pair for batch in batches for pair in unpack(batch)) == sorted((m.key, m.value) for m in messages)
    assert all(batch.records == len(unpack(batch)) for batch in batches)
    assert max(batch.records for batch in batches) < 20
    assert min(batch.first_index for batch in batches) == 0


def test_empty_keys_and_values_survive(unpack):
    """No key, an empty key and no value stay different."""
    messages = [Message(None, b"v", 0, Kind.RAW), Message(b"", b"v", 0, Kind.RAW), Message(b"k", None, 0, Kind.RAW)]
    pairs = [pair for batch in packed(messages) for pair in unpack(batch)]
    assert sorted(pairs, key=repr) == sorted([(None, b"v"), (b"", b"v"), (b"k", None)], key=repr)


def test_a_dated_batch_carries_the_time_and_a_valid_checksum():
    """Packed long ago, its records are of today."""
    batch = packed([event(number) for number in range(50)])[0]
    again = MemoryRecords(bytes(with_timestamp(batch.data, 1_714_613_400_000))).next_batch()
    assert again.validate_crc()
    assert {record.timestamp for record in again} == {1_714_613_400_000}


def test_distinct_counts_ids_and_gives_up_counting_when_there_are_too_many():
    """The same id is old the second time, whatever else the message says; beyond the bound everything is new."""
    distinct = Distinct(limit=2)
    assert distinct.new([event(1), event(1, size=3), event(2), Message(None, b"", 0, Kind.RAW)]) == [True, False, True, False]
    assert distinct.new([event(3), event(3)]) == [True, True]


def test_a_file_of_batches_gives_back_what_was_written(tmp_path):
    """Batches and their counts survive; a file that is cut off or no such file is refused."""
    batches = packed([event(number) for number in range(200)], batch_bytes=2_000)
    path = tmp_path / "x.batches"
    contents = batch_file.write(path, batches, origin="söurce", partitions=4)
    assert list(batch_file.read(path)) == [batch._replace(indexes=()) for batch in batches]
    assert batch_file.read_contents(path) == contents
    assert (contents.records, contents.distinct) == (200, 200)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(ConfigurationError, match="cut off"):
        list(batch_file.read(path))
    path.write_bytes(b"something else")
    assert batch_file.read_contents(path) is None
    with pytest.raises(ConfigurationError):
        list(batch_file.read(path))


def test_another_size_or_variant_is_another_origin(tmp_path):
    """A changed source, or other loops, are packed again."""
    path = tmp_path / "e.ndjson"
    path.write_bytes(b"1")
    before = batch_file.origin_of([str(path)], variant="loops 1")
    assert before == batch_file.origin_of([str(path)], variant="loops 1")
    assert before != batch_file.origin_of([str(path)], variant="loops 2")
    path.write_bytes(b"12")
    assert before != batch_file.origin_of([str(path)], variant="loops 1")


def test_an_unreachable_broker_is_one_sentence(monkeypatch):
    """An unreachable broker is reported within the metadata timeout, with its address and what to do."""
    monkeypatch.setattr(batch_sender, "_REQUEST_SECONDS", 0.5)
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{bound.getsockname()[1]}"
        with pytest.raises(UnavailableError, match=address) as caught:
            BatchSender(bootstrap=[address], topic="t")
    assert "portalpulse up" in caught.value.remedy
    assert "portalpulse doctor" in caught.value.remedy


#: An event, the same one again, a message without a key, and a tombstone.
KINDS = ["event", "repeat", "raw", "tombstone"]


@given(st.lists(st.sampled_from(KINDS), min_size=2, max_size=20))
def test_halves_of_a_batch_are_the_batch(unpack, kinds):
    """A batch that was refused as too large is sent as two: the same messages in their order, with their places and counts."""
    others = {"repeat": event(0), "raw": Message(None, b"x", 0, Kind.RAW), "tombstone": Message(b"k", None, 0, Kind.RAW)}
    messages = [others.get(kind) or event(number) for number, kind in enumerate(kinds)]
    packer = Packer(1)
    assert list(packer.add(messages, indexes=range(10, 10 + len(messages)), distinct=Distinct().new(messages))) == []
    (whole,) = packer.flush()
    first, second = split_in_half(whole)
    assert unpack(first) + unpack(second) == unpack(whole) == [(message.key, message.value) for message in messages]
    assert [*first.indexes, *second.indexes] == list(range(10, 10 + len(messages)))
    assert (first.first_index, second.first_index) == (10, 10 + len(messages) // 2)
    for name in ("records", "events", "distinct"):
        assert getattr(first, name) + getattr(second, name) == getattr(whole, name)


def test_leaving_a_sender_does_not_wait(monkeypatch):
    """The wait after Ctrl-C is bounded: closing gives up what was not acknowledged by then instead of waiting again."""
    closed = object.__new__(BatchSender)
    closed._thread = threading.Thread()
    monkeypatch.setattr(BatchSender, "flush", lambda *_, **__: pytest.fail("it waited again"))
    closed.__exit__(None, None, None)


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=40))
def test_fast_compression_changes_no_record(unpack, values):
    """A batch at the fast level has a valid checksum and the records of the other level, whether compression helps or not."""
    messages = [Message(b"k", value, 0, Kind.RAW) for value in values]
    made = []
    for fast in (False, True):
        packer = Packer(1, fast=fast)
        assert list(packer.add(messages, indexes=range(len(messages)), distinct=[False] * len(messages))) == []
        made += packer.flush()
    assert unpack(made[0]) == unpack(made[1]) == [(b"k", value) for value in values]
    for data in (made[1].data, with_timestamp(made[1].data, 1_714_613_400_000)):
        again = MemoryRecords(bytes(data))
        assert again.size_in_bytes() == len(data)
        batch = again.next_batch()
        assert batch.validate_crc()
        assert batch.next_offset == len(values)
        assert not again.has_next()
