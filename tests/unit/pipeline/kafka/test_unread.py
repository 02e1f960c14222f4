"""What a worker notes of offsets that left the log before it read them, without brokers."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
from aiokafka import TopicPartition
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from domain.clock import SystemClock
from pipeline.decode.decoder import Decoder
from pipeline.kafka import worker as module
from pipeline.kafka.topic_identity import Look, TopicGoneError
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
        checkpoints=store,
        metrics=WorkerMetrics(CollectorRegistry()),
        clock=SystemClock(),
    )
    made.at = {TP: 100}
    consumer = SimpleNamespace(signs=lambda: True, read_through=lambda: dict(made.at), committed=lambda: {TP: 60})
    made._app = SimpleNamespace(consumer=consumer)
    return made


def counted(worker):
    """The value of the counter."""
    return worker._metrics.registry.get_sample_value(
        "portalpulse_worker_unread_offsets_total", {"topic": TOPIC, "partition": "0"}
    )


def look(begin, committed=60):
    """What brokers say of partition 0."""
    return Look("one", {0: committed}, {0: begin}, {0: 1_000})


def test_two_looks_at_one_position_are_certain(worker):
    """A fetch may be on its way at the first look; what the second finds behind the same position is noted, and grows."""
    worker._looked(look(400))
    assert worker.unread.total == 0
    with capture_logs() as logs:
        worker._looked(look(400))
        worker._looked(look(500))
    assert worker.unread.total == counted(worker) == 400
    words = [entry["reason"] for entry in logs if entry["event"] == "offsets_left_the_log_unread"]
    assert words == [
        f"Partition 0: offsets 100 to {last} left the log before they were read: their messages may be lost."
        for last in (399, 499)
    ]
    assert worker_health(worker, 60).unread_offsets == 400


def test_what_was_read_meanwhile_is_not_noted(worker):
    """A position that moved, a group that has acknowledged more, and a log that still holds the position say nothing."""
    worker._looked(look(400))
    worker.at = {TP: 450}
    worker._looked(look(400))
    worker._looked(look(450))
    worker._looked(look(500, committed=500))  # another worker has read on
    assert worker.unread.total == 0


def test_looks_far_apart_prove_nothing(worker, monkeypatch):
    """A worker that stood still between two looks does not take what others read for unread."""
    now = [1_000.0]
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    worker._looked(look(50))
    now[0] += 60
    worker._looked(look(400))
    assert worker.unread.total == 0


async def test_a_jump_is_recorded_before_it_is_made(worker, store):
    """What was noted early counts once; the record holds the range whole."""
    worker._looked(look(400))
    worker._looked(look(400))
    await worker._left_unread(TP, 100, 450, UnreadCause.DELETED)
    assert counted(worker) == 350
    assert store.unread_ranges == [UnreadRange(TOPIC, 0, 100, 450, GROUP, UnreadCause.DELETED)]


async def test_a_record_that_fails_for_good_ends_the_worker(worker, store):
    """Nothing behind the gap is read when it cannot be recorded."""

    def fault(_):
        raise Fatal("read-only")

    store.fault = fault
    worker._failed = asyncio.get_running_loop().create_future()
    with pytest.raises(Fatal):
        await worker._left_unread(TP, 100, 450, UnreadCause.DELETED)
    assert isinstance(worker._failed.exception(), Fatal)


async def test_a_topic_that_is_gone_leaves_what_was_not_acknowledged(worker, store):
    """From the acknowledged offset to the last known end, as far as the storage takes it; the cause ends the worker."""
    worker._ends, worker._committed = {TP: 130}, {TP: 60}

    async def watch():
        raise TopicGoneError("The topic was deleted.")

    with pytest.raises(TopicGoneError):
        await worker._watch_topic(SimpleNamespace(watch=watch))
    assert store.unread_ranges == [UnreadRange(TOPIC, 0, 60, 130, GROUP, UnreadCause.RECREATED)]


async def test_a_truncated_log_is_said(worker, store):
    """Brokers that lost messages are named also when nothing unread was among them."""
    with capture_logs() as logs:
        await worker._left_unread(TP, 100, 100, UnreadCause.TRUNCATED)
    assert [entry["event"] for entry in logs] == ["log_truncated"]
    assert store.unread_ranges == []
