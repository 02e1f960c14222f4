"""Record batches whose headers and timestamps hold anything: their messages are read all the same."""

from __future__ import annotations

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer import fetcher
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords

from pipeline.kafka import record_batches
from pipeline.kafka.headerless import records_without_headers
from pipeline.kafka.record_batches import BatchPartitionRecords, KeptRecords
from pipeline.kafka.record_pieces import pieces_of

TOPIC, CHECK_CRCS = "headers", False
NAME, ODD = b"a-name-of-a-header", b"\xff\xfe\xed\xa0\x80\x00\xc0\xaf name of h"
VALUES = [(b"k0", b"v0"), (None, b"v1"), (b"", None), (b"k3", b""), (b"k4", b"x" * 300)]


def builder(codec=0):
    """Makes one record batch."""
    fields = {"is_transactional": 0, "producer_id": -1, "producer_epoch": -1, "base_sequence": -1, "batch_size": 1 << 20}
    return DefaultRecordBatchBuilder(magic=2, compression_type=codec, **fields)


def batch(first, *, timestamp=1_700_000_000_000, name=NAME):
    """An uncompressed record batch whose headers have ``name`` (as long as NAME)."""
    made = builder()
    for number, (key, value) in enumerate(VALUES):
        headers = [(NAME.decode(), b"\xff"), (NAME.decode(), None)] if number % 2 else []
        made.append(number, timestamp=timestamp, key=key, value=value, headers=headers)
    body = bytearray(made.build())
    body[:8] = first.to_bytes(8, "big")
    return bytes(body).replace(NAME, name)


def read(response, fetch_offset, monkeypatch):
    """The record batches of a response, as the worker gets them."""
    monkeypatch.setattr(record_batches, "BATCH_TOPICS", {TOPIC})
    records = BatchPartitionRecords(
        TopicPartition(TOPIC, 0), KeptRecords(response), [], fetch_offset, None, None, CHECK_CRCS, fetcher.READ_UNCOMMITTED
    )
    return list(records._unpack_records())


@pytest.mark.parametrize("name", [NAME, ODD])
@pytest.mark.parametrize("fetch_offset", [0, 12, 14, 17])
def test_names_of_headers_may_be_any_bytes(monkeypatch, name, fetch_offset):
    """A header whose name is not UTF-8 does not hide a message: values, keys and offsets are read from the first one wanted."""
    starts = [start for start in (7, 12, 17) if start + len(VALUES) > fetch_offset]  # a broker sends no earlier ones
    response = b"".join(batch(start, name=name if start == 12 else NAME) for start in starts)
    wanted = [(number % 5, 7 + number) for number in range(15) if 7 + number >= fetch_offset]
    found = read(response, fetch_offset, monkeypatch)
    assert [value for batch in found for piece in batch.pieces() for value in piece.values()] == [
        VALUES[at][1] for at, _ in wanted
    ]
    origins = [origin for batch in found for piece in batch.pieces() for origin in piece.keys_and_offsets()]
    assert origins == [(VALUES[at][0], offset) for at, offset in wanted]


@pytest.mark.parametrize("timestamp", [-1, 0, 1, -(2**63), 2**63 - 1, 253_402_300_800_000, -62_135_596_800_001])
def test_timestamps_may_be_any_number(monkeypatch, timestamp):
    """The timestamp of a Kafka message is not the time of its event: the least and the largest change nothing."""
    [found] = read(batch(7, timestamp=timestamp), 0, monkeypatch)
    assert [value for piece in found.pieces() for value in piece.values()] == [value for _, value in VALUES]
    assert isinstance(found.timestamp / 1000, float)


@pytest.mark.parametrize("codec", [0, 1, 2, 3, 4], ids=["none", "gzip", "snappy", "lz4", "zstd"])
def test_without_headers_reads_what_aiokafka_reads(codec):
    """The reader for odd headers and aiokafka's own agree on key, value, offset and timestamp in every compression."""
    made = builder(codec)
    for number in range(200):
        made.append(number, timestamp=number, key=b"k%d" % number, value=b"v" * number, headers=[("h", b"x")] * (number % 3))
    response = bytes(made.build())
    expected = [(record.key, record.value, record.offset, record.timestamp) for record in MemoryRecords(response).next_batch()]
    [piece] = pieces_of(response, 0, AssertionError)
    assert list(records_without_headers(piece.data)) == expected
