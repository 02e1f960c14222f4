"""Record batches that no client library makes: what Kafka accepts is counted, and a damaged log is named."""

from __future__ import annotations

import os
import struct

from confluent_kafka import Producer

from deploy.native.processes import wait_until
from tests.factories import a_message
from tests.raw_batches import codec_oddities, packed_records, raw_batch, send_raw

#: Base offset and length of a batch; a byte of its records, from its end.
_BASE_AND_LENGTH = struct.Struct(">qi")
_DAMAGED = -20


def test_every_batch_that_kafka_accepts_is_read(chain):
    """Whatever follows the last record of a compressed batch stops no worker; events and dead letters are whole."""
    worker = chain.worker()
    names = list(codec_oddities(packed_records([b"x"])))
    for name in names:
        codec, payload = codec_oddities(packed_records([a_message(), a_message(), name.encode()]))[name]
        assert send_raw(chain.kafka.bootstrap, chain.topic, 0, raw_batch(payload, 3, codec)) == 0, name
    wait_until(
        lambda: chain.tallied() == 2 * len(names) and chain.dead_letters() == len(names),
        timeout=150,
        what="every batch to be counted",
        children=[worker.process],
    )
    kept = chain.server.query(f"SELECT value, offset FROM {chain.database}.dead_letters FINAL ORDER BY offset FORMAT TSV")
    assert kept.splitlines() == [f"{name}\t{3 * number + 2}" for number, name in enumerate(names)]


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
