"""The steps of the audit over a store in memory."""

from __future__ import annotations

from sinks.contract.events import UnreadCause, UnreadRange
from tests.factories import TOPIC, an_event
from tests.fakes import MemoryStore
from tests.unit.pipeline.audit.helpers import TODAY, take


def test_every_unread_range_is_listed(service):
    """Every range of unread offsets is listed."""
    store = MemoryStore()
    store.insert_unread([UnreadRange(TOPIC, n % 64, n * 10, n * 10 + 1, "workers", UnreadCause.DELETED) for n in range(700)])
    assert len(service(store).unread().ranges) == 700


def test_a_repair_leaves_time_for_recounts_under_way(service, store):
    """Between a raised epoch and the recount there is a pause, in which running recounts of the old epoch read their events."""
    take(store, an_event())
    steps = []
    store.fault = steps.append
    service(store, wait=lambda seconds: steps.append(("wait", seconds >= 0.5))).repair(TODAY, None, raise_epoch=True)
    assert steps[:3] == ["raise_epoch: repair of 2024-01-02", ("wait", True), "recount_minutes"]
    steps.clear()
    service(store).repair(TODAY, None, raise_epoch=False)
    assert steps[0] == "recount_minutes"
