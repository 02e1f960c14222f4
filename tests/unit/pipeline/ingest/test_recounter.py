"""How the recounting rests."""

from __future__ import annotations

from contextlib import suppress

import pytest

from pipeline.ingest.dirty_buckets import DirtyBuckets, DirtyHour
from pipeline.ingest.recounter import Recounter, RestPolicy

PACE = RestPolicy(0.25, 3.0, 9.0)


class Hours:
    """A clock that moves only while somebody waits for the end, and what is told at that time."""

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
    """Seconds that a recounter rests after a round of this cost, in a flood that ends at a moment."""
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
    """In a flood nobody waits for the newest minute; once it is over everybody does."""
    assert rested(flood_until, cost) == pytest.approx(expected, abs=0.051)


class ProceduresStore:
    """Notes which agencies are recounted; each costs a hundredth of a second."""

    def __init__(self, hours):
        self.hours, self.pieces = hours, []

    def recount_procedures(self, days):
        self.pieces.append(days.agencies)
        self.hours.now += 0.01 * len(days.agencies)


def test_procedures_are_recounted_in_pieces_with_rests():
    """A day of many agencies is recounted piece by piece, every agency once, and counts only when all pieces are done."""
    hours, codes, counted = Hours(flood_until=1e9), tuple(f"H{number:02d}" for number in range(90)), []
    hours.flooded = lambda: False
    store, ledger = ProceduresStore(hours), DirtyBuckets()
    recounter = Recounter(
        dirty_buckets=ledger,
        store=store,
        retrying=lambda call: call(),
        agencies=codes,
        minutes=PACE,
        days=PACE,
        procedures=PACE,
        on_counted=lambda: counted.append(len(store.pieces)),
        busy=lambda: True,
        flooded=hours.flooded,
        stopping=hours,
        monotonic=lambda: hours.now,
    )
    for _ in range(2):
        ledger.batch_stored({480_000: DirtyHour(1, None)})
        recounter.procedures_round()
    assert store.pieces[0] == codes  # the cost is not known yet
    assert len(store.pieces) == 1 + 7  # 0.9 s in pieces of about 0.15 s
    assert tuple(code for piece in store.pieces[1:] for code in piece) == codes
    assert counted == [1, 8]
    assert hours.now == pytest.approx(2 * 0.9 * 4)  # a quarter of the time


class ReturningStore:
    """Away for a minute of the clock, then it answers at once."""

    def __init__(self, hours):
        self.hours = hours

    def answer(self, _wanted):
        if self.hours.now < 60:
            self.hours.now += 20
            raise TimeoutError
        self.hours.now += 0.01

    recount_minutes = roll_up_days = recount_procedures = answer


def patiently(call):
    """Again until it succeeds, as while the storage is away."""
    while True:
        with suppress(TimeoutError):
            return call()


@pytest.mark.parametrize("tier", ["minutes", "days", "procedures"])
def test_waiting_for_the_storage_lengthens_no_rest(tier):
    """A round that waited a minute for its storage cost only what it did in the end: the rest after it is as short as ever."""
    hours, ledger = Hours(flood_until=0), DirtyBuckets()
    recounter = Recounter(
        dirty_buckets=ledger,
        store=ReturningStore(hours),
        retrying=patiently,
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
    ledger.batch_stored({480_000: DirtyHour(1, None)})
    if tier != "minutes":
        hours.now = 60.0
        recounter.minutes_round()
        hours.now = 0.0
    _, cost = getattr(recounter, f"{tier}_round")()
    assert cost == pytest.approx(0.01)
    assert hours.now < 60.1
