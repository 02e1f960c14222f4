"""The steps of the ingest, run one by one without a thread."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry

from domain.clock import ManualClock
from pipeline.decode.decoder import Decoder
from pipeline.ingest.fetch import Fetch
from pipeline.ingest.steps import IngestSteps
from pipeline.metrics import WorkerMetrics
from pipeline.settings import IngestSettings
from tests.factories import LATEST, TOPIC, a_message
from tests.fakes import MemoryBatch, MemoryStore


class Rig:
    """Steps over a store in memory, and what they acknowledged."""

    def __init__(self, registry):
        self.store, self.acknowledged = MemoryStore(), []
        self.steps = IngestSteps(
            decoder=Decoder(registry),
            store=self.store,
            settings=IngestSettings(),
            metrics=WorkerMetrics(CollectorRegistry()),
            clock=ManualClock(LATEST),
            acknowledge=lambda fetches: self.acknowledged.extend(fetch.receipt for fetch in fetches),
            checkpoints=self.store,
        )

    def store_fetch(self, receipt, *messages):
        fetch = Fetch(TOPIC, 0, [MemoryBatch(0, messages)], len(messages), sum(map(len, messages)), receipt)
        self.steps.offer(fetch)
        self.steps.store(self.steps.decode([fetch]))


@pytest.fixture
def rig(registry):
    """Steps over the packaged registry."""
    return Rig(registry)


def test_a_fetch_is_acknowledged_when_every_tier_has_counted_it(rig):
    """A stored fetch is visible after the minutes, and acknowledged after minutes, days and procedures, not earlier."""
    rig.store_fetch("one", a_message(), b"{")
    acknowledger, recounter = rig.steps.acknowledger, rig.steps.recounter
    assert (acknowledger.stored, acknowledger.visible, acknowledger.unacknowledged) == (1, 0, 2)
    assert (rig.steps.budget.rows, rig.steps.budget.size) == (0, 0), "a stored fetch takes no memory"
    recounter.minutes_round()
    assert (acknowledger.visible, rig.acknowledged) == (1, [])
    recounter.days_round()
    assert rig.acknowledged == []
    recounter.procedures_round()
    assert (rig.acknowledged, acknowledger.unacknowledged) == (["one"], 0)


def test_a_fetch_without_events_needs_no_recount(rig):
    """A fetch that makes no tally dirty is acknowledged as soon as its dead letters are stored."""
    rig.store_fetch("bad", b"{", b"[")
    assert rig.acknowledged == ["bad"]
    assert len(rig.store.letters) == 2


def test_an_offered_fetch_takes_memory_until_it_is_stored(rig):
    """The memory budget counts a fetch from the offer to the end of the store step."""
    fetch = Fetch(TOPIC, 0, [MemoryBatch(0, (a_message(),))], 1, 300, "one")
    rig.steps.offer(fetch)
    batch = rig.steps.decode([fetch])
    assert (rig.steps.budget.rows, rig.steps.budget.size) == (1, 300)
    rig.steps.store(batch)
    assert (rig.steps.budget.rows, rig.steps.budget.size) == (0, 0)
