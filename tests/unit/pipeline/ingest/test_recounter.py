"""How recounting rests."""

from __future__ import annotations

from contextlib import suppress

import pytest

from pipeline.ingest.dirty_buckets import DirtyBuckets, DirtyHour
from pipeline.ingest.recounter import Recounter, RestPolicy

PACE = RestPolicy(0.25, 3.0, 9.0)


class Hours:
    """A clock that moves only during a wait, and the flood at that time."""

    def __init__(self, flood_until):
        self.now = 0.0
        self.flood_until = flood_until

    def is_set(self):
        return False

    def wait(self, seconds):
        self.now += seconds
        return False

    def flooded(self):
        return self.now < self.flood_until


def rested(flood_until, cost):
    """Seconds that a recounter rests after a round of this duration, in a flood that ends at a given time."""
    hours = Hours(flood_until)
    recounter = Recounter(
        dirty_buckets=DirtyBuckets(),
        store=None,
        retrying=None,
        agencies=(),
        minutes=PACE,
        days=PACE,
        procedures=PACE,
        on_counted=None,
        busy=hours.flooded,
        flooded=hours.flooded,
        stopping=hours,
        monotonic=lambda: hours.now,
    )
    recounter.rest(PACE, cost)
    return hours.now


@pytest.mark.parametrize(
    ("flood_until", "cost", "expected"),
    [
        (0, 0.01, 0.25),  # cheap: the interval
        (0, 1.0, 3.0),  # a quarter of the time
        (100, 1.0, 9.0),  # a tenth of the time
        (2, 1.0, 2.05),  # the flood ends: so does the rest
    ],
)
def test_a_rest_is_in_proportion_and_ends_with_the_flood(flood_until, cost, expected):
    """A rest is a multiple of the round's duration, longer in a flood, and ends with the flood."""
    assert rested(flood_until, cost) == pytest.approx(expected, abs=0.051)


class ProceduresStore:
    """Records which agencies are recounted; each takes a hundredth of a second."""

    def __init__(self, hours):
        self.hours, self.groups = hours, []

    def recount_procedures(self, days):
        self.groups.append(days.agencies)
        self.hours.now += 0.01 * len(days.agencies)


def test_procedures_are_recounted_in_groups_with_rests():
    """A day of many agencies is recounted in groups, every agency once, and counts only when all groups are done."""
    hours, codes, counted = Hours(flood_until=1e9), tuple(f"H{number:02d}" for number in range(90)), []
    hours.flooded = lambda: False
    store, buckets = ProceduresStore(hours), DirtyBuckets()
    recounter = Recounter(
        dirty_buckets=buckets,
        store=store,
        retrying=lambda call: call(),
        agencies=codes,
        minutes=PACE,
        days=PACE,
        procedures=PACE,
        on_counted=lambda: counted.append(len(store.groups)),
        busy=lambda: True,
        flooded=hours.flooded,
        stopping=hours,
        monotonic=lambda: hours.now,
    )
    for _ in range(2):
        buckets.batch_stored({480_000: DirtyHour(1, None)})
        recounter.procedures_round()
    assert store.groups[0] == codes  # the cost is not known yet
    assert len(store.groups) == 1 + 7  # 0.9 s in groups of about 0.15 s
    assert tuple(code for group in store.groups[1:] for code in group) == codes
    assert counted == [1, 8]
    assert hours.now == pytest.approx(2 * 0.9 * 4)  # a quarter of the time


class ReturningStore:
    """Unavailable for a minute of the clock, then it answers at once."""

    def __init__(self, hours):
        self.hours = hours

    def answer(self, _wanted):
        if self.hours.now < 60:
            self.hours.now += 20
            raise TimeoutError
        self.hours.now += 0.01

    recount_minutes = roll_up_days = recount_procedures = answer


def repeated(call):
    """Repeats a call until it succeeds, as while the storage is unavailable."""
    while True:
        with suppress(TimeoutError):
            return call()


@pytest.mark.parametrize("tier", ["minutes", "days", "procedures"])
def test_an_outage_lengthens_no_rest(tier):
    """The duration of a round excludes the wait for the storage, so the rest after it is as short as usual."""
    hours, buckets = Hours(flood_until=0), DirtyBuckets()
    recounter = Recounter(
        dirty_buckets=buckets,
        store=ReturningStore(hours),
        retrying=repeated,
        agencies=("H01",),
        minutes=PACE,
        days=PACE,
        procedures=PACE,
        on_counted=lambda: None,
        busy=lambda: True,
        flooded=lambda: False,
        stopping=hours,
        monotonic=lambda: hours.now,
    )
    buckets.batch_stored({480_000: DirtyHour(1, None)})
    if tier != "minutes":
        hours.now = 60.0
        recounter.minutes_round()
        hours.now = 0.0
    _, cost = getattr(recounter, f"{tier}_round")()
    assert cost == pytest.approx(0.01)
    assert hours.now < 60.1
