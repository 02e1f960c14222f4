"""What a worker counts and records of offsets that left the log before it read them, without brokers."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
from aiokafka import TopicPartition
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from domain.clock import SystemClock
from pipeline.decode.decoder import Decoder
from pipeline.kafka import unread_tracker as module
from pipeline.kafka.topic_identity import TopicGoneError, TopicSnapshot
from pipeline.kafka.worker import Worker
from pipeline.metrics import WorkerMetrics
from pipeline.settings import load_settings
from pipeline.wiring.worker import worker_health
from sinks.contract.events import UnreadCause, UnreadRange
from sinks.errors import Fatal
from tests.factories import TOPIC
from tests.fakes import MemoryStore

TP = TopicPartition(TOPIC, 0)
GROUP = "portalpulse"


@pytest.fixture
def store():
    """Where ranges are recorded."""
    return MemoryStore()


@pytest.fixture
def worker(registry, store):
    """A worker over a consumer whose position a test sets (``worker.at``)."""
    made = Worker(
        load_settings(),
        decoder=Decoder(registry),
        store=store,
        index=store,
        checkpoints=store,
        metrics=WorkerMetrics(CollectorRegistry()),
        clock=SystemClock(),
    )
    made.at = {TP: 100}
    consumer = SimpleNamespace(vitals=lambda: True, read_through=lambda: dict(made.at), committed=lambda: {TP: 60})
    made._app = SimpleNamespace(consumer=consumer)
    return made


def counted(worker):
    """The value of the counter."""
    return worker._unread._metrics.registry.get_sample_value(
        "portalpulse_worker_unread_offsets_total", {"topic": TOPIC, "partition": "0"}
    )


def snapshot(begin, committed=60):
    """What brokers say of partition 0."""
    return {TOPIC: TopicSnapshot("one", {0: committed}, {0: begin}, {0: 1_000})}


def test_two_checks_at_one_position_are_certain(worker):
    """A fetch may be in progress at the first check; what the second finds at the same position is counted, and grows."""
    worker._compare(snapshot(400))
    assert worker.unread.total == 0
    with capture_logs() as logs:
        worker._compare(snapshot(400))
        worker._compare(snapshot(500))
    assert worker.unread.total == counted(worker) == 400
    words = [entry["reason"] for entry in logs if entry["event"] == "offsets_left_the_log_unread"]
    assert words == [
        f"Partition 0: offsets 100 to {last} left the log before they were read: their messages may be lost."
        for last in (399, 499)
    ]
    assert worker_health(worker, 60).unread_offsets == 400


def test_what_was_read_meanwhile_is_not_counted(worker):
    """A position that moved, a group that has acknowledged more, and a log that still holds the position say nothing."""
    worker._compare(snapshot(400))
    worker.at = {TP: 450}
    worker._compare(snapshot(400))
    worker._compare(snapshot(450))
    worker._compare(snapshot(500, committed=500))  # another worker has read them
    assert worker.unread.total == 0


def test_checks_far_apart_prove_nothing(worker, monkeypatch):
    """A worker that was suspended between two checks does not count what others read as unread."""
    now = [1_000.0]
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    worker._compare(snapshot(50))
    now[0] += 60
    worker._compare(snapshot(400))
    assert worker.unread.total == 0


async def test_a_jump_is_recorded_before_it_is_made(worker, store):
    """What was counted early counts once; the record holds the whole range."""
    worker._compare(snapshot(400))
    worker._compare(snapshot(400))
    await worker._unread.record(TP, 100, 450, UnreadCause.DELETED)
    assert counted(worker) == 350
    assert store.unread_ranges == [UnreadRange(TOPIC, 0, 100, 450, GROUP, UnreadCause.DELETED)]


async def test_a_record_that_cannot_be_stored_ends_the_worker(worker, store):
    """Nothing after the gap is read when it cannot be recorded."""

    def fault(_):
        raise Fatal("read-only")

    store.fault = fault
    worker._failed = asyncio.get_running_loop().create_future()
    with pytest.raises(Fatal):
        await worker._unread.record(TP, 100, 450, UnreadCause.DELETED)
    assert isinstance(worker._failed.exception(), Fatal)


async def test_a_topic_that_is_gone_leaves_what_was_not_acknowledged(worker, store):
    """From the acknowledged offset to the last known end, as far as the storage takes it; the cause ends the worker."""
    other = TopicPartition("other", 0)
    worker._unread.update({TP: 130, other: 900}, {TP: 60, other: 5})
    worker._unread.update({other: 901}, {other: 6})  # its partitions are revoked first

    async def watch():
        raise TopicGoneError(TOPIC, "The topic was deleted.", remedy="")

    with pytest.raises(TopicGoneError):
        await worker._until_gone(watch())
    assert store.unread_ranges == [UnreadRange(TOPIC, 0, 60, 130, GROUP, UnreadCause.RECREATED)]


async def test_a_truncated_log_is_said(worker, store):
    """Brokers that lost messages are named also when nothing unread was among them."""
    with capture_logs() as logs:
        await worker._unread.record(TP, 100, 100, UnreadCause.TRUNCATED)
    assert [entry["event"] for entry in logs] == ["log_truncated"]
    assert store.unread_ranges == []
