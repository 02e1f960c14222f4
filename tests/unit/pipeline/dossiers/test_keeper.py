"""The loop of the keeper of dossiers: its share of the time, its end, and an unavailable storage. No storage is real here."""

from __future__ import annotations

import datetime as dt
import threading

import pyarrow as pa
import pytest
from prometheus_client import CollectorRegistry

from domain.clock import SystemClock
from pipeline.dossiers.keeper import DossierKeeper
from pipeline.ingest.storage_retry import StorageRetry
from pipeline.metrics import WorkerMetrics
from sinks.contract.dossier_table import CheckedPage, WaitingPage, WaitingTotal
from sinks.errors import Fatal, Retryable
from tests.factories import MORNING

NOTHING = pa.table({"dossier": pa.array([], pa.binary(16)), "seen": pa.array([], pa.uint64())})


class Table:
    """A table in which nothing waits. Every look takes ``seconds``, and the first ones may fail."""

    def __init__(self, clock, seconds, failures=()):
        self.clock, self.seconds, self.failures = clock, seconds, list(failures)

    def now(self):
        return MORNING + dt.timedelta(seconds=self.clock.now)

    def waiting_total(self, _noted):
        self.clock.now += self.seconds
        if self.failures:
            raise self.failures.pop(0)
        return WaitingTotal(0, None)

    def waiting(self, _noted, *, after=None):
        return WaitingPage(NOTHING, after)

    def periods_of_changes(self, _before):
        return []

    def compare_with_index(self, *, after=None):
        self.clock.now += self.seconds
        return CheckedPage(NOTHING, NOTHING, after)


class Clock:
    """A monotonic clock that rests move on; after ``rests`` of them the worker stops."""

    def __init__(self, rests):
        self.now, self.rests, self.left, self.stopping = 0.0, [], rests, threading.Event()

    def rest(self, seconds):
        self.now += seconds
        self.rests.append(seconds)
        if len(self.rests) == self.left:
            self.stopping.set()


def a_keeper(clock, table, *, flooded=False):
    """A keeper that works at most a third of the time."""
    return DossierKeeper(
        table,
        None,
        retrying=StorageRetry(SystemClock()),
        metrics=WorkerMetrics(CollectorRegistry()),
        interval=30.0,
        duty=2.0,
        flooded=lambda: flooded,
        stopping=clock.stopping,
        monotonic=lambda: clock.now,
        rest=clock.rest,
    )


def test_it_rests_after_every_step_and_until_its_interval_is_over():
    """Every step is followed by a rest of twice its time; a round begins no earlier than 30 s after the one before began."""
    clock = Clock(rests=6)
    a_keeper(clock, Table(clock, 1.0)).run()
    # The first round looks at the backlog, then at what is fresh; the second looks and compares.
    assert clock.rests == [2.0, 2.0, 24.0, 2.0, 2.0, 24.0]


def test_long_rounds_follow_each_other_with_the_same_share_of_the_time():
    """Where a round takes longer than the interval, the rests after its steps are all."""
    clock = Clock(rests=6)
    a_keeper(clock, Table(clock, 20.0)).run()
    assert clock.rests == [40.0, 40.0, 0.0, 40.0, 40.0, 0.0]


def test_in_a_flood_it_rests_longer():
    """Storing is more urgent while messages arrive faster than they are stored."""
    clock = Clock(rests=1)
    a_keeper(clock, Table(clock, 1.0), flooded=True).run()
    assert clock.rests == [20.0]


def test_it_ends_within_a_round():
    """When the worker stops, the loop returns after the step that it is in."""
    clock = Clock(rests=1)
    a_keeper(clock, Table(clock, 1.0)).run()
    assert clock.rests == [2.0]
    assert clock.now == 3.0


def test_it_waits_for_the_storage_and_raises_everything_else():
    """An unavailable storage is waited for, which needs no rest; any other error ends the loop, and so the worker."""
    clock = Clock(rests=1)
    a_keeper(clock, Table(clock, 1.0, [Retryable("away", retry_after=0.001)] * 2)).run()
    assert clock.rests == [2.0]
    for error in (Fatal("broken"), ZeroDivisionError()):
        clock = Clock(rests=1)
        with pytest.raises(type(error)):
            a_keeper(clock, Table(clock, 1.0, [error])).run()
