"""The loop of the keeper of dossiers: its share of the time, its end, and an unavailable storage. No storage is real here."""

from __future__ import annotations

import datetime as dt
import heapq
import random
import threading
from dataclasses import replace
from itertools import pairwise

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from domain.clock import SystemClock
from pipeline.dossiers.keeper import DossierKeeper, parts_of
from pipeline.ingest.storage_retry import StorageRetry
from pipeline.metrics import WorkerMetrics
from sinks.contract.dossier_table import CheckedPage, WaitingPage, WaitingTotal
from sinks.errors import Fatal, Retryable
from tests.factories import MORNING

NOTHING = pa.table({"dossier": pa.array([], pa.binary(16)), "seen": pa.array([], pa.uint64())})
NO_HISTORIES = pa.table(
    {
        "dossier": pa.array([], pa.binary(16)),
        "occurred_at": pa.array([], pa.timestamp("ms", "UTC")),
        "event_id": pa.array([], pa.binary(16)),
        "id": pa.array([], pa.binary(16)),
        "agency": pa.array([], pa.string()),
        "procedure_code": pa.array([], pa.string()),
        "due_at": pa.array([], pa.timestamp("ms", "UTC")),
        "facts": pa.array([], pa.uint16()),
    }
)


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


class Judging:
    """A table of dossiers in memory whose histories are empty, and what every keeper read and wrote."""

    def __init__(self, source, dossiers, *, noted_at=MORNING - dt.timedelta(hours=1), page=1000):
        # As real numbers: few different first parts, and so far from evenly spread.
        numbers = {source.choice((1, 2, 90)) << 96 | source.getrandbits(90) for _ in range(dossiers)}
        self.left = {number.to_bytes(16, "little") for number in numbers}
        self.noted_at, self.page, self.ticks = noted_at, page, 0
        self.read, self.written = [], []

    def now(self):
        self.ticks += 1
        return MORNING + dt.timedelta(milliseconds=self.ticks)

    def _numbers(self, noted):
        within = (noted.since or self.noted_at) <= self.noted_at <= (noted.until or self.noted_at)
        return sorted(self.left, key=_number) if within else []

    def waiting_total(self, noted):
        found = self._numbers(noted)
        return WaitingTotal(len(found), MORNING if found else None, found[9::10])

    def waiting(self, noted, *, after=None, until=None):
        low, high = -1 if after is None else _number(after), 1 << 128 if until is None else _number(until)
        found = [number for number in self._numbers(noted) if low < _number(number) <= high]
        page = found[: self.page]
        columns = {
            "dossier": pa.array(page, pa.binary(16)),
            "dossier_code": ["H17.1-240102-0001"] * len(page),
            "seen": [0] * len(page),
        }
        return WaitingPage(pa.table(columns), page[-1] if len(found) > len(page) else None)

    def histories(self, dossiers):
        self.read += dossiers.column("dossier").to_pylist()
        return NO_HISTORIES

    def write(self, rows):
        written = rows.column("dossier").to_pylist()
        self.written += written
        self.left -= set(written)

    def periods_of_changes(self, _before):
        return []

    def compare_with_index(self, *, after=None):
        return CheckedPage(NOTHING, NOTHING, after)


def _number(dossier):
    return int.from_bytes(dossier, "little")


def keepers_of(table, source, count, **options):
    """Keepers of several workers over one table."""
    return [
        replace(a_keeper(Clock(0), table), histories=table, choose=source.randrange, piece=50, **options) for _ in range(count)
    ]


#: The time that a step takes from what comes before it, and how long a worker rests after it.
_TAKES = {"judged": 1.0, "written": 0.1, "passed": 0.05}
_RESTS = {"written": 2.2, "passed": 0.1}


def run_together(table, source, keepers):
    """Run one round of each, at the pace of their work, starting at about the same time."""
    due = [(source.random(), number, keeper.steps(), "") for number, keeper in enumerate(keepers)]
    heapq.heapify(due)
    while due:
        at, number, steps, _ = heapq.heappop(due)
        if step := next(steps, None):
            heapq.heappush(due, (at + _TAKES.get(step, 0.0) + _RESTS.get(step, 0.0), number, steps, step))


@pytest.mark.parametrize(("count", "pieces"), [(1, 0.0), (2, 2.0), (4, 5.0)])
@pytest.mark.parametrize("fresh", [True, False])
def test_several_keepers_share_what_waits(count, pieces, fresh):
    """Several keepers judge all that waits, each about as much, and together about a piece more for each further keeper."""
    twice = []
    for seed in range(20):
        source = random.Random(seed)
        table = Judging(source, 640, **({"noted_at": MORNING} if fresh else {}))
        waiting = set(table.left)
        keepers = keepers_of(table, source, count, backlog=1000)
        run_together(table, source, keepers)
        assert set(table.written) == waiting
        twice.append(len(table.written) - len(waiting))
        largest = max(keeper.metrics.dossier_rows._value.get() for keeper in keepers)
        assert largest <= len(table.written) / count * 1.35
    assert sum(twice) / len(twice) <= pieces * 40  # there are 16 parts of 40 dossiers


@given(
    seed=st.integers(0, 2**32),
    waiting=st.integers(0, 300),
    order=st.lists(st.integers(0, 2), max_size=80),
    ends=st.lists(st.integers(0, 60), min_size=2, max_size=2),
)
def test_keepers_in_any_order_judge_everything_once(seed, waiting, order, ends):
    """Whatever the order of steps and wherever others end: none judges what was written when it looked, and the last one ends."""
    source = random.Random(seed)
    table = Judging(source, waiting, page=7)
    expected = set(table.left)
    rounds = [keeper.steps() for keeper in keepers_of(table, source, 3, backlog=1000)]
    left = [*ends, 10_000]  # steps until each of them ends; the last one finishes its round
    for number in [*order, *([2] * 10_000)]:
        if not left[number]:
            continue
        left[number] -= 1
        written, read = set(table.written), len(table.read)
        step = next(rounds[number], None)
        assert written.isdisjoint(table.read[read:])
        if step is None:
            left[number] = 0
            if number == 2:
                break
    assert set(table.written) == expected
    assert not table.left


def test_what_a_keeper_judged_is_written_before_it_rests():
    """It does not rest with dossiers in hand, which others judge as well until they are written."""
    table = Judging(random.Random(1), 100)
    (keeper,) = keepers_of(table, random.Random(1), 1)
    unwritten = []

    def rest(_seconds):
        unwritten.append(set(table.read) - set(table.written))
        if len(unwritten) == 6:
            keeper.stopping.set()

    keeper.rest = rest
    keeper.run()
    assert len(table.written) > 50
    assert not any(unwritten)


def test_the_backlog_is_judged_over_several_rounds():
    """A round judges some pieces of what waited when the worker started; parts that others judged since are passed over."""
    source = random.Random(3)
    table = Judging(source, 640)
    (keeper,) = keepers_of(table, source, 1, backlog=2)
    list(keeper.steps())
    assert len(table.written) == 120  # the parts of 40 that are needed for two pieces of 50
    list(keeper.steps())
    assert keeper.metrics.dossiers_waiting._value.get() == pytest.approx(510, abs=30)
    table.left.clear()
    assert set(keeper.steps()) == {"looked", "passed"}
    assert list(keeper.steps()) == ["looked", "compared"]
    assert keeper.metrics.dossiers_waiting._value.get() == 0


def test_parts_are_neither_tiny_nor_larger_than_a_piece():
    """Everything is in one part while little waits; more parts, then larger ones, then more of the largest."""
    marks = [number.to_bytes(16, "little") for number in range(1, 10_001)]
    sizes = []
    for count in (0, 1, 2, 31, 32, 64, 128, 256):
        parts = parts_of(WaitingTotal(count * 1000 + 1, MORNING, marks[:count]))
        assert parts[0][0] is parts[-1][1] is None
        assert all(before[1] == after[0] is not None for before, after in pairwise(parts))
        sizes.append(len(parts))
    assert sizes == [1, 1, 2, 16, 17, 17, 17, 33]
    assert parts_of(WaitingTotal(0, None)) == []
