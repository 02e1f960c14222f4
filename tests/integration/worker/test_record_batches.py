"""Record batches that no client library makes: what Kafka accepts is counted, and a damaged log is named."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path

import cramjam
import pytest
from confluent_kafka import Producer

from deploy.native.processes import wait_until
from pipeline.kafka.topic_reader import KafkaTopicReader
from pipeline.settings import KafkaSettings
from tests.factories import a_message
from tests.raw_batches import ZSTD, codec_oddities, packed_records, raw_batch, record_oddities, send_raw, varint

#: Base offset and length of a batch; a byte of its records, from its end.
_BASE_AND_LENGTH = struct.Struct(">qi")
_DAMAGED = -20


def test_every_batch_that_kafka_accepts_is_read(chain):
    """However a batch is packed and its records are numbered, it stops no worker, audit or replay; nothing of it is missing."""
    worker = chain.worker()
    names = [*codec_oddities(packed_records([b"x"])), *record_oddities([b"x"])]
    for name in names:
        values = [a_message(), a_message(), name.encode()]
        odd = codec_oddities(packed_records(values)) | {key: (0, made) for key, made in record_oddities(values).items()}
        codec, payload = odd[name]
        assert send_raw(chain.kafka.bootstrap, chain.topic, 0, raw_batch(payload, 3, codec)) == 0, name
    wait_until(
        lambda: chain.tallied() == 2 * len(names) and chain.dead_letters() == len(names),
        timeout=150,
        what="every batch to be counted",
        children=[worker.process],
    )
    kept = chain.server.query(f"SELECT value, offset FROM {chain.database}.dead_letters FINAL ORDER BY offset FORMAT TSV")
    assert kept.splitlines() == [f"{name}\t{3 * number + 2}" for number, name in enumerate(names)]
    wait_until(chain.acknowledged, timeout=60, what="every message to be acknowledged")
    done = chain.command("audit", "--kafka", "deep", "--format", "json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["kafka"]["deep"] == {"messages": 3 * len(names), "missing": 0, "examples": []}
    copy = other_topic(chain)
    done = chain.command("replay", "--from-topic", chain.topic, "--json", PORTALPULSE_KAFKA__TOPIC=copy)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["acknowledged"] == 3 * len(names)


def other_topic(chain):
    """A new topic for the messages of the chain's."""
    chain.kafka.create_topic(f"{chain.topic}-copy", partitions=1)
    return f"{chain.topic}-copy"


def test_a_damaged_log_is_named(chain):
    """A batch whose checksum is wrong on the broker's disk ends the worker with its offsets and the way on."""
    producer = Producer({"bootstrap.servers": chain.kafka.bootstrap, "linger.ms": 0})
    for _ in range(3):
        producer.produce(chain.topic, a_message(), partition=0)
        assert producer.flush(60) == 0
    (segment,) = (chain.kafka.topic_folders / f"{chain.topic}-0").glob("*.log")
    with segment.open("r+b") as log:
        data, at = log.read(), 0
        while _BASE_AND_LENGTH.unpack_from(data, at)[0] != 1:
            at += _BASE_AND_LENGTH.size + _BASE_AND_LENGTH.unpack_from(data, at)[1]
        place = at + _BASE_AND_LENGTH.size + _BASE_AND_LENGTH.unpack_from(data, at)[1] + _DAMAGED
        log.seek(place)
        log.write(bytes([data[place] ^ 1]))
        log.flush()
        os.fsync(log.fileno())
    worker = chain.launch()
    wait_until(lambda: not worker.process.running, timeout=150, what="the worker to end")
    said = [line for line in worker.process.log.read_text().splitlines() if line.startswith("portalpulse:")]
    assert len(said) == 1
    assert f"the checksum of the record batch at the offsets 1 to 1 of partition 0 of '{chain.topic}' is wrong" in said[0]
    assert "--to-offset 2" in said[0]
    assert chain.stored() <= 1


@pytest.mark.long
def test_records_that_unpack_to_gigabytes_are_read_in_pieces(chain):
    """A megabyte that unpacks to gigabytes costs a worker bounded memory, in one record or in many; all are counted."""
    worker = chain.worker()
    process = Path(f"/proc/{worker.process.pid}/status")
    before = _peak_rss(process)
    one_value = _zeros(1 << 30, key=b"one", value=True)
    one_header = _zeros(1 << 30, key=b"header", value=False)
    many = packed_records([bytes(70_000)] * 6_000)  # 420 MB
    for records, count in ((one_value, 1), (one_header, 1), ((many,), 6_000)):
        packer = cramjam.zstd.Compressor()
        for part in records:
            packer.compress(part)
        payload = bytes(packer.finish())
        assert send_raw(chain.kafka.bootstrap, chain.topic, 0, raw_batch(payload, count, ZSTD)) == 0
    wait_until(
        lambda: chain.tallied() == 1 and chain.dead_letters() == 6_001,
        timeout=200,
        what="every message to be counted",
        children=[worker.process],
    )
    assert (_peak_rss(process) - before) >> 20 < 1_200
    found = chain.server.query(f"SELECT length(value), error FROM {chain.database}.dead_letters FINAL WHERE offset = 0")
    assert found == f"{64 << 20}\t1073741824 bytes; the limit is 65536; the first 67108864 bytes are kept"
    audited = KafkaTopicReader(KafkaSettings(bootstrap=chain.kafka.bootstrap, topic=chain.topic))
    ((offset, value),) = next(iter(audited.messages(0, 0, 1)))
    assert (offset, len(value)) == (0, 64 << 20)  # as the worker kept it
    done = chain.command("replay", "--from-topic", chain.topic, PORTALPULSE_KAFKA__TOPIC=other_topic(chain))
    assert done.returncode == 2
    assert "The message at offset 0 of partition 0" in done.stderr
    assert "--from-offset 1" in done.stderr


def _peak_rss(status):
    """The largest resident memory of a process so far (bytes)."""
    return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM:")) << 10


def _zeros(size, *, key, value):
    """The parts of one record: ``size`` zeros as its value, or as the value of a header beside a good event."""
    fixed = b"\x00\x00\x00" + varint(len(key)) + key
    if value:
        head, behind = fixed + varint(size), b"\x00"
    else:
        event = a_message()
        head, behind = fixed + varint(len(event)) + event + varint(1) + varint(1) + b"h" + varint(size), b""
    yield varint(len(head) + size + len(behind)) + head
    for _ in range(size >> 20):
        yield bytes(1 << 20)
    yield behind
