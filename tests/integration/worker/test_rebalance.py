"""Members that come and go: what a worker that keeps a partition took over is not read again."""

from __future__ import annotations

import pytest

from deploy.native.processes import wait_until
from tests.exposition import samples
from tests.factories import a_message, an_event
from tests.sending import send

pytestmark = pytest.mark.timeout(400)

#: Procedures are recounted so rarely that nothing is acknowledged during the test.
UNACKNOWLEDGED = {"PORTALPULSE_INGEST__PROCEDURE_INTERVAL_MS": "20000", "PORTALPULSE_KAFKA__LEAVE_ON_STOP": "true"}
EVENTS = 4_000


def metric(worker, name, **labels):
    """The sum of a metric's series with these labels; 0 while the worker does not answer."""
    return sum(sample.value for sample in samples(worker.url, name) if labels.items() <= sample.labels.items())


def stored(worker):
    """Messages that a worker stored as events, repeated ones included."""
    return metric(worker, "portalpulse_worker_events_total", outcome="stored")


@pytest.mark.long
def test_only_partitions_that_move_are_read_again(chain):
    """A worker that joins, and leaves, makes the other one read only those partitions again that it had not; all is exact."""
    # One recount at the start makes the next ones wait; so messages of before a rebalance are not acknowledged when it comes.
    first = chain.worker(**UNACKNOWLEDGED, PORTALPULSE_KAFKA__INSTANCE_ID="first")
    send(chain.kafka.bootstrap, chain.topic, [(b"early", a_message(an_event()))])
    wait_until(lambda: chain.acknowledged() and chain.stored() == 1, timeout=150, what="the first event to be acknowledged")
    events = [an_event() for _ in range(EVENTS)]
    send(chain.kafka.bootstrap, chain.topic, [(each.dossier_code.encode(), a_message(each)) for each in events])
    wait_until(lambda: stored(first) == EVENTS + 1, timeout=150, what="the first worker to store every event")
    before = chain.offsets()

    second = chain.worker(**UNACKNOWLEDGED, PORTALPULSE_KAFKA__INSTANCE_ID="second")
    for worker in (first, second):
        wait_until(
            lambda worker=worker: metric(worker, "portalpulse_worker_assigned_partitions") == 2,
            timeout=150,
            what="each worker to have two partitions",
        )
    wait_until(lambda: stored(second) > 0, timeout=150, what="the second worker to read what moved")
    assert before == chain.offsets(), "the test needs messages that are not acknowledged"
    wait_until(chain.acknowledged, timeout=150, what="everything to be acknowledged")
    moved = stored(second)
    assert stored(first) == EVENTS + 1, "what it took over of its own partitions was not read again"
    assert EVENTS / 4 < moved < EVENTS * 3 / 4

    second.process.stop()
    wait_until(
        lambda: metric(first, "portalpulse_worker_assigned_partitions") == 4, timeout=150, what="the first worker to have all"
    )
    more = [an_event() for _ in range(EVENTS)]
    send(chain.kafka.bootstrap, chain.topic, [(each.dossier_code.encode(), a_message(each)) for each in more])
    wait_until(
        lambda: chain.tallied() == chain.rolled_up() == chain.stored() == 2 * EVENTS + 1 and chain.acknowledged(),
        timeout=150,
        what="every event to be counted once",
    )
    assert stored(first) == 2 * EVENTS + 1
