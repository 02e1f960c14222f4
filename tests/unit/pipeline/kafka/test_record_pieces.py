"""Batches are read in pieces of bounded size: nothing is lost between two pieces, and too large values are cut."""

from __future__ import annotations

import pytest
from aiokafka.codec import gzip_encode, lz4_encode, snappy_encode, zstd_encode
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from domain.errors import InvariantError
from domain.events import MAX_MESSAGE_BYTES
from pipeline.kafka import record_pieces
from pipeline.kafka.record_pieces import pieces_of
from tests.raw_batches import GZIP, LZ4, SNAPPY, ZSTD, raw_batch, record, record_oddities

ENCODE = {0: bytes, GZIP: gzip_encode, SNAPPY: snappy_encode, LZ4: lz4_encode, ZSTD: zstd_encode}
BASE = 1_000_000


def batch(codec, records):
    """A batch at BASE of (key, value, headers)."""
    made = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 1 << 30)
    for number, (key, value, headers) in enumerate(records):
        made.append(number, timestamp=number, key=key, value=value, headers=headers)
    raw = bytearray(raw_batch(ENCODE[codec](bytes(made.build())[61:]), len(records), codec))
    raw[:8] = BASE.to_bytes(8, "big")
    return bytes(raw)


def unreadable(error):
    """The error of a batch that cannot be read."""
    return InvariantError(str(error))


@pytest.fixture
def small(monkeypatch):
    """Pieces of at most 1,000 bytes and 20 records; 900 bytes of a value are kept."""
    monkeypatch.setattr(record_pieces, "MAX_PIECE", 1_000)
    monkeypatch.setattr(record_pieces, "MAX_RECORDS", 20)
    monkeypatch.setattr(record_pieces, "MAX_KEPT", 900)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("codec", ENCODE)
@pytest.mark.parametrize("first", [0, BASE, BASE + 1, BASE + 77, BASE + 199, BASE + 205])
def test_pieces_hold_every_message_once(codec, first):
    """In every compression and from any offset on, the pieces have the keys, values and offsets of the batch, in order."""
    records = [(None if n % 3 else b"k%d" % n, None if n % 5 == 4 else b"v" * (n * n % 613), [("h", b"x")]) for n in range(200)]
    records += [(b"small", b"value", [("large", bytes(5_000))]), (None, bytes(900), [("h", bytes(200))]), (b"last", b"", [])]
    pieces = list(pieces_of(batch(codec, records), first, unreadable))
    wanted = [(key, value, BASE + n) for n, (key, value, _) in enumerate(records) if BASE + n >= first]
    found = [
        (key, value, offset)
        for piece in pieces
        for value, (key, offset) in zip(piece.values(), piece.keys_and_offsets(), strict=True)
    ]
    assert found == wanted
    assert all(piece.size <= 1_100 and len(piece.values()) <= 20 and not piece.whole_sizes for piece in pieces)
    assert [piece.first_offset for piece in pieces if piece.values()] == [
        piece.keys_and_offsets()[0][1] for piece in pieces if piece.values()
    ]


@pytest.mark.parametrize("small", [False, True])
@pytest.mark.parametrize("first", [0, BASE, BASE + 1, BASE + 29, BASE + 30])
@pytest.mark.parametrize("name", record_oddities([b"x"]))
def test_records_are_numbered_in_their_order(request, name, first, small):
    """Whatever number and attributes a record has, it is read, once, with the offset of its place in the batch."""
    if small:
        request.getfixturevalue("small")
    values = [b"%d " % n + b"v" * (40 * n) for n in range(30)]
    raw = bytearray(raw_batch(record_oddities(values)[name], len(values), 0))
    raw[:8] = BASE.to_bytes(8, "big")
    pieces = list(pieces_of(bytes(raw), first, unreadable))
    found = [
        (value, offset) for piece in pieces for value, (_, offset) in zip(piece.values(), piece.keys_and_offsets(), strict=True)
    ]
    kept = record_pieces.MAX_KEPT
    assert found == [(value[:kept], BASE + n) for n, value in enumerate(values) if BASE + n >= first]
    cut = {offset: size for piece in pieces for offset, size in piece.whole_sizes.items()}
    assert cut == {BASE + n: len(value) for n, value in enumerate(values) if len(value) > kept}


@pytest.mark.parametrize("first", [0, BASE + 6, BASE + 8])
@pytest.mark.parametrize("small", [False, True])
def test_a_compacted_batch_keeps_its_offsets(request, first, small):
    """Where compaction left holes the records say their offsets, with any attributes."""
    if small:
        request.getfixturevalue("small")
    values = {1: b"one", 6: b"six", 7: b"v" * 1_500, 9: b"nine"}
    records = b"".join(record(delta, value, attributes=b"\x81") for delta, value in values.items())
    raw = bytearray(raw_batch(records, len(values), 0))
    raw[:8] = BASE.to_bytes(8, "big")
    raw[23:27] = (9).to_bytes(4, "big")
    pieces = list(pieces_of(bytes(raw), first, unreadable))
    found = [
        (value, offset) for piece in pieces for value, (_, offset) in zip(piece.values(), piece.keys_and_offsets(), strict=True)
    ]
    kept = record_pieces.MAX_KEPT
    assert found == [(value[:kept], BASE + delta) for delta, value in values.items() if BASE + delta >= first]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("codec", ENCODE)
def test_too_large_values_and_keys_are_cut(codec):
    """Of a key or value that does not fit a piece the beginning is kept, with the whole size; its neighbours are whole."""
    records = [(b"a", b"1", []), (b"k" * 2_000, b"v" * 901, [("h", b"x")]), (None, b"w" * 40_000, []), (b"b", b"2", [])]
    pieces = list(pieces_of(batch(codec, records), 0, unreadable))
    assert [piece.values() for piece in pieces] == [[b"1"], [b"v" * 900], [b"w" * 900], [b"2"]]
    assert [piece.keys_and_offsets() for piece in pieces] == [
        [(b"a", BASE)],
        [(b"k" * 900, BASE + 1)],
        [(None, BASE + 2)],
        [(b"b", BASE + 3)],
    ]
    assert [piece.whole_sizes for piece in pieces] == [{}, {BASE + 1: 901}, {BASE + 2: 40_000}, {}]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("codec", ENCODE)
@pytest.mark.parametrize("cut", [1, 700, 4_000])
def test_records_that_end_too_early_are_named(codec, cut):
    """Records that are shorter than their lengths say are the one error that names the batch, in whatever piece they are."""
    whole = batch(0, [(None, b"v" * 100, [])] * 30 + [(None, b"w" * 3_000, [])])[61:]
    with pytest.raises(InvariantError):
        [piece.values() for piece in pieces_of(raw_batch(ENCODE[codec](whole[:-cut]), 31, codec), 0, unreadable)]


def test_kept_values_stay_too_large():
    """What is kept of a value that is cut can never be taken for an event: it is above the limit of a message."""
    assert record_pieces.MAX_KEPT > MAX_MESSAGE_BYTES
