"""Record batches are what Kafka's own clients would send: same partitions, same records, a valid checksum."""

from __future__ import annotations

import socket

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
from producers.sending.record_batches import Distinct, Packer, dated, halved


def packed(messages, **options):
    """All batches of the messages."""
    packer = Packer(4, **options)
    batches = list(packer.add(messages, places=range(len(messages)), distinct=Distinct().new(messages)))
    return batches + list(packer.rest())


def event(number, size=20):
    """A message whose id is its number."""
    return Message(f"k{number % 9}".encode(), b'{"event_id":"%036d","x":"%s"}' % (number, b"x" * size), 0, Kind.EVENT)


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=30))
def test_the_hash_is_the_one_of_kafka_s_clients(keys):
    """Murmur2 for many keys at once gives what it gives for each."""
    assert murmur2(keys).tolist() == [murmur2_of_one(key) & 0xFFFFFFFF for key in keys]


def test_messages_without_a_key_take_turns():
    """They are spread evenly, and depend on their place alone."""
    assert partitions_of([None] * 6, 4, turn=3) == [3, 0, 1, 2, 3, 0]


def test_batches_hold_every_message_in_order_and_stay_below_their_size(unpack):
    """A full batch is handed out before it grows too large; a message larger than a batch gets one of its own."""
    messages = [event(number, size=2_000 if number == 7 else 20) for number in range(300)]
    batches = packed(messages, batch_bytes=1_000)
    assert sorted(pair for batch in batches for pair in unpack(batch)) == sorted((m.key, m.value) for m in messages)
    assert all(batch.records == len(unpack(batch)) for batch in batches)
    assert max(batch.records for batch in batches) < 20
    assert min(batch.first for batch in batches) == 0


def test_empty_keys_and_values_survive(unpack):
    """No key, an empty key and no value are told apart."""
    messages = [Message(None, b"v", 0, Kind.RAW), Message(b"", b"v", 0, Kind.RAW), Message(b"k", None, 0, Kind.RAW)]
    pairs = [pair for batch in packed(messages) for pair in unpack(batch)]
    assert sorted(pairs, key=repr) == sorted([(None, b"v"), (b"", b"v"), (b"k", None)], key=repr)


def test_a_dated_batch_carries_the_time_and_a_valid_checksum():
    """Packed long ago, its records are of today."""
    batch = packed([event(number) for number in range(50)])[0]
    again = MemoryRecords(bytes(dated(batch.data, 1_714_613_400_000))).next_batch()
    assert again.validate_crc()
    assert {record.timestamp for record in again} == {1_714_613_400_000}


def test_distinct_counts_ids_and_gives_up_counting_when_there_are_too_many():
    """The same id is old the second time, whatever else the message says; beyond the bound everything is new."""
    distinct = Distinct(most=2)
    assert distinct.new([event(1), event(1, size=3), event(2), Message(None, b"", 0, Kind.RAW)]) == [True, False, True, False]
    assert not distinct.exact
    assert distinct.new([event(3), event(3)]) == [True, True]


def test_a_file_of_batches_gives_back_what_was_written(tmp_path):
    """Batches and their counts survive; a file that is cut off or no such file is refused."""
    batches = packed([event(number) for number in range(200)], batch_bytes=2_000)
    path = tmp_path / "x.batches"
    contents = batch_file.write(path, batches, origin="söurce", partitions=4)
    assert list(batch_file.read(path)) == [batch._replace(places=()) for batch in batches]
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
    """A changed source, or other loops, are packed anew."""
    path = tmp_path / "e.ndjson"
    path.write_bytes(b"1")
    before = batch_file.origin_of([str(path)], variant="loops 1")
    assert before == batch_file.origin_of([str(path)], variant="loops 1")
    assert before != batch_file.origin_of([str(path)], variant="loops 2")
    path.write_bytes(b"12")
    assert before != batch_file.origin_of([str(path)], variant="loops 1")


def test_an_unreachable_broker_is_one_sentence(monkeypatch):
    """The sender of batches answers as the writer of messages does."""
    monkeypatch.setattr(batch_sender, "_REQUEST_SECONDS", 0.5)
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{bound.getsockname()[1]}"
        with pytest.raises(UnavailableError, match=address):
            BatchSender(bootstrap=[address], topic="t")


#: An event, the same one again, a message without a key, and a tombstone.
KINDS = ["event", "repeat", "raw", "tombstone"]


@given(st.lists(st.sampled_from(KINDS), min_size=2, max_size=20))
def test_halves_of_a_batch_are_the_batch(unpack, kinds):
    """A batch that was refused as too large is sent as two: the same messages in their order, with their places and counts."""
    others = {"repeat": event(0), "raw": Message(None, b"x", 0, Kind.RAW), "tombstone": Message(b"k", None, 0, Kind.RAW)}
    messages = [others.get(kind) or event(number) for number, kind in enumerate(kinds)]
    packer = Packer(1)
    assert list(packer.add(messages, places=range(10, 10 + len(messages)), distinct=Distinct().new(messages))) == []
    (whole,) = packer.rest()
    first, second = halved(whole)
    assert unpack(first) + unpack(second) == unpack(whole) == [(message.key, message.value) for message in messages]
    assert [*first.places, *second.places] == list(range(10, 10 + len(messages)))
    assert (first.first, second.first) == (10, 10 + len(messages) // 2)
    for name in ("records", "events", "distinct"):
        assert getattr(first, name) + getattr(second, name) == getattr(whole, name)
