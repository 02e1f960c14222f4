"""Compressed records are read as far as a broker reads them: to the last record, whatever follows."""

from __future__ import annotations

import gzip
import random

import pytest
from aiokafka.codec import gzip_encode, lz4_encode, snappy_encode, zstd_encode
from aiokafka.errors import CorruptRecordException
from hypothesis import given
from hypothesis import strategies as st

from pipeline.kafka.decompression import GZIP, LZ4, SNAPPY, ZSTD, decompressed
from tests.raw_batches import codec_oddities

ENCODE = {GZIP: gzip_encode, SNAPPY: snappy_encode, LZ4: lz4_encode, ZSTD: zstd_encode}
#: Several blocks of LZ4 and of Snappy, some of which cannot be compressed.
LARGE = b"portal" * 900_000 + random.Random(1).randbytes(5_000_000)


def whole(codec, data):
    """All chunks together."""
    return b"".join(decompressed(codec, data))


@pytest.mark.parametrize("codec", ENCODE)
@pytest.mark.parametrize("data", [b"x", LARGE], ids=["small", "large"])
def test_what_a_codec_packs_is_unpacked(codec, data):
    """Every codec gives back what went in, in one block or many."""
    assert whole(codec, bytes(ENCODE[codec](data))) == data


@pytest.mark.parametrize("name", codec_oddities(b"x" * 1_000))
def test_what_follows_the_records_is_left_out(name):
    """Further bytes, members and frames change nothing in what the broker has read."""
    codec, payload = codec_oddities(b"0123456789" * 100)[name]
    assert whole(codec, payload) == b"0123456789" * 100


def test_the_checksum_behind_an_lz4_frame_is_not_read():
    """Kafka's reader of LZ4 ignores the checksum of the content, so a wrong one refuses nothing."""
    head = bytes.fromhex("04224d186440a7")  # independent blocks of at most 64 KiB, content checksum
    block = (5 | 0x8000_0000).to_bytes(4, "little") + b"hello"
    assert whole(LZ4, head + block + bytes(4) + b"\x01\x02\x03\x04") == b"hello"


@pytest.mark.parametrize("codec", [*ENCODE, 5, 7])
@given(noise=st.binary(max_size=200), cut=st.integers(0, 60))
def test_broken_records_are_one_kind_of_error(codec, noise, cut):
    """Garbage and records that are cut raise the one error that names a batch, and nothing else."""
    for data in (noise, gzip.compress(b"y" * 50)[:cut], bytes(ENCODE.get(codec, gzip_encode)(b"y" * 50))[:cut] + noise):
        try:
            whole(codec, data)
        except CorruptRecordException:
            continue
