"""Record batches made byte by byte, and sent as they are: no client library makes them, and Kafka accepts them."""

from __future__ import annotations

import asyncio
import struct
import time

from aiokafka import TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.codec import gzip_encode, lz4_encode, snappy_encode, zstd_encode
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c, encode_varint

_HEAD = 61
GZIP, SNAPPY, LZ4, ZSTD = 1, 2, 3, 4


def packed_records(values):
    """Records without keys, as they stand in a batch before compression."""
    made = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 1 << 30)
    now = int(time.time() * 1000)
    for number, value in enumerate(values):
        made.append(number, timestamp=now, key=None, value=value, headers=[])
    return bytes(made.build()[_HEAD:])


def raw_batch(payload, count, codec):
    """A batch of ``count`` records whose (compressed) records are ``payload``, checksum included."""
    now = int(time.time() * 1000)
    body = struct.pack(">hiqqqhii", codec, count - 1, now, now, -1, -1, -1, count) + payload
    rest = struct.pack(">ibI", -1, 2, calc_crc32c(body)) + body
    return struct.pack(">qi", 0, len(rest)) + rest


def record(delta, value, *, key=b"\x01", attributes=b"\x00", headers=b"\x00"):
    """One record with its fields as given; ``key`` and ``headers`` with their lengths. The default has neither."""
    body = attributes + b"\x00" + varint(delta) + key + varint(len(value)) + value + headers
    return varint(len(body)) + body


def varint(number):
    """A number as it stands in a record."""
    made = bytearray()
    encode_varint(number, made.append)
    return bytes(made)


def record_oddities(values):
    """Name -> records that are no client's, and that Kafka accepts in a batch without compression."""
    name = varint(1) + varint(2) + b"\xff\xfe" + varint(-1)
    return {
        "the same number for all": b"".join(record(0, value) for value in values),
        "before the batch": b"".join(record(at - 9, value) for at, value in enumerate(values)),
        "behind the batch": b"".join(record(at + 9, value) for at, value in enumerate(values)),
        "backwards": b"".join(record(len(values) - 1 - at, value) for at, value in enumerate(values)),
        "far away": b"".join(record((-1) ** at * (2**31 - 1), value) for at, value in enumerate(values)),
        "before the batch, odd headers": b"".join(record(at - 9, value, headers=name) for at, value in enumerate(values)),
        "attributes": b"".join(record(at, value, attributes=b"\xff") for at, value in enumerate(values)),
        "attributes and a key": b"".join(
            record(at, value, key=varint(9) + b"\x00\x80\xff key 1", attributes=b"\x80") for at, value in enumerate(values)
        ),
    }


def codec_oddities(packed):
    """Name -> (codec, compressed ``packed``) that Kafka accepts: it reads no further than the last record."""
    lz4, half = lz4_encode(packed), len(packed) // 2
    gzip, again = bytearray(gzip_encode(packed)), bytearray(gzip_encode(packed[half:]))
    gzip[3], again[3] = 0xE0, 0x80  # flags that have no meaning
    fields = b"\x04\x00\x00\x00ab" + b"name\x00" + b"comment\x00"
    xerial = snappy_encode(packed, xerial_blocksize=100)
    versions, head = struct.Struct(">ii"), 8
    return {
        "gzip, bytes behind": (GZIP, gzip_encode(packed) + b"\x00\x01xx"),
        "gzip, two members": (GZIP, gzip_encode(packed[:half]) + gzip_encode(packed[half:])),
        "snappy, bytes behind": (SNAPPY, snappy_encode(packed, xerial_blocksize=100) + b"xx"),
        "gzip, unknown flags": (GZIP, bytes(gzip)),
        "gzip, unknown flags in the second member": (GZIP, gzip_encode(packed[:half]) + bytes(again)),
        "gzip, every field of a head": (GZIP, bytes([*gzip[:3], 0x1C, *gzip[4:10]]) + fields + bytes(gzip[10:])),
        "snappy, two streams": (SNAPPY, snappy_encode(packed[:half]) + snappy_encode(packed[half:])),
        "snappy, another head behind": (SNAPPY, xerial + xerial[:16]),
        "snappy, a later version": (SNAPPY, xerial[:head] + versions.pack(2, 2) + xerial[16:]),
        "snappy, no version": (SNAPPY, xerial[:head] + versions.pack(0, 0) + xerial[16:]),
        "lz4, an empty block at the end": (LZ4, lz4[:-4] + struct.pack("<I", 0x8000_0000)),
        "lz4, bytes behind": (LZ4, lz4 + b"xx"),
        "lz4, another frame behind": (LZ4, lz4 + lz4_encode(b"zz")),
        "zstd, two frames": (ZSTD, zstd_encode(packed[:half]) + zstd_encode(packed[half:])),
    }


def send_raw(bootstrap, topic, partition, batch):
    """Send a batch as it is; returns the error code of Kafka, 0 when it accepts it."""

    async def sent():
        client = AIOKafkaClient(bootstrap_servers=bootstrap, request_timeout_ms=60_000)
        await client.bootstrap()
        try:
            client.add_topic(topic)
            await client.force_metadata_update()
            leader = client.cluster.leader_for_partition(TopicPartition(topic, partition))
            request = ProduceRequest(
                transactional_id=None, required_acks=-1, timeout=30_000, topics=[(topic, [(partition, batch)])]
            )
            answer = await client.send(leader, request)
        finally:
            await client.close()
        return answer.topics[0][1][0][1]

    return asyncio.run(sent())
