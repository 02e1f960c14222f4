"""The guard of the dead-letter limit: in which order batches are checked."""

from __future__ import annotations

import threading

import pytest

from domain.clock import ManualClock
from pipeline.ingest.dead_letter_guard import AssignedPart, DeadLetterGuard, StoppedError
from pipeline.ingest.dead_letter_limit import DeadLetterLimit
from pipeline.ingest.storage_retry import StorageRetry
from sinks.contract.dead_letters import DeadLetterCheckpoint
from tests.factories import LATEST, TOPIC
from tests.fakes import MemoryStore


def test_a_batch_waits_until_all_before_it_are_finished():
    """Whichever batch is stored first, each is checked after the earlier ones; a stop ends the wait."""
    store, stopping = MemoryStore(), threading.Event()
    guard = DeadLetterGuard(DeadLetterLimit(0, 0, 0), store, retrying=StorageRetry(ManualClock(LATEST)), stopping=stopping)
    first, second = (guard.batch(number, [AssignedPart((TOPIC, 0), 2 * number, 2, 1)], [0, 1], []) for number in range(2))
    stopping.set()  # a batch that must wait raises at once
    with pytest.raises(StoppedError):
        second.begin()
    first.begin()
    with pytest.raises(StoppedError):
        second.check()
    first.finish()
    second.finish()
    assert store.checkpoints[TOPIC, 0] == {
        1: DeadLetterCheckpoint(TOPIC, 0, 1, 2, ()),
        3: DeadLetterCheckpoint(TOPIC, 0, 3, 4, ()),
    }
