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
from aiokafka.record.util import calc_crc32c

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


def codec_oddities(packed):
    """Name -> (codec, compressed ``packed``) that Kafka accepts: it reads no further than the last record."""
    lz4, half = lz4_encode(packed), len(packed) // 2
    return {
        "gzip, bytes behind": (GZIP, gzip_encode(packed) + b"\x00\x01xx"),
        "gzip, two members": (GZIP, gzip_encode(packed[:half]) + gzip_encode(packed[half:])),
        "snappy, bytes behind": (SNAPPY, snappy_encode(packed, xerial_blocksize=100) + b"xx"),
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
