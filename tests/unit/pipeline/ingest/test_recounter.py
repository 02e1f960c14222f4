"""How recounting rests."""

from __future__ import annotations

import itertools
import types
from contextlib import suppress

import pytest

from pipeline.ingest.dirty_buckets import DirtyBuckets
from pipeline.ingest.minute_spans import DirtyHour
from pipeline.ingest.pace import RestPolicy
from pipeline.ingest.recounter import Recounter

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
        (0, 0.06, 0.19),  # cheap: until the interval has passed since the round began
        (0, 1.0, 3.0),  # a quarter of the time
        (100, 1.0, 9.0),  # a tenth of the time
        (2, 1.0, 2.05),  # the flood ends: so does the rest
    ],
)
def test_a_rest_is_in_proportion_and_ends_with_the_flood(flood_until, cost, expected):
    """A rest is a multiple of the round's duration, longer in a flood, and ends with the flood."""
    assert rested(flood_until, cost) == pytest.approx(expected, abs=0.051 if flood_until else 1e-9)


class ProceduresStore:
    """Records which agencies are recounted; each takes 0.07 seconds."""

    def __init__(self, hours):
        self.hours, self.groups = hours, []

    def recount_procedures(self, days):
        self.groups.append(days.agencies)
        self.hours.now += 0.07 * len(days.agencies)


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
    assert len(store.groups) == 1 + 7  # 6.3 s in groups of about 1 s
    assert tuple(code for group in store.groups[1:] for code in group) == codes
    assert counted == [1, 8]
    assert hours.now == pytest.approx(2 * (6.3 + 5.0))  # three times as long as each group, but no more than 5 s a round


class SteadyStore:
    """Records what is recounted; each query takes a fixed time, and more for each day."""

    def __init__(self, hours, query, day=0.0):
        self.hours, self.query, self.day, self.pieces = hours, query, day, []

    def recount_minutes(self, span):
        self.pieces.append(span)
        self.hours.now += self.query + self.day * span.minutes / 1440

    def recount_procedures(self, days):
        self.pieces.append(days)
        self.hours.now += self.query + self.day * len(days.days)


def recounting(store, buckets, hours, agencies=("H01", "H02")):
    """A recounter of a worker that is busy and not flooded."""
    return Recounter(
        dirty_buckets=buckets,
        store=store,
        retrying=lambda call: call(),
        agencies=agencies,
        minutes=PACE,
        days=PACE,
        procedures=PACE,
        on_counted=lambda: None,
        busy=lambda: True,
        flooded=lambda: False,
        stopping=hours,
        monotonic=lambda: hours.now,
    )


def test_procedures_of_many_days_are_recounted_in_pieces_of_days():
    """The time of a query grows with its days, so pieces are made of whole days, and no day is counted twice."""
    hours, buckets = Hours(flood_until=0), DirtyBuckets()
    store = SteadyStore(hours, query=0.1, day=0.2)
    recounter = recounting(store, buckets, hours)
    for _ in range(2):
        buckets.batch_stored({480_000 + 24 * day: DirtyHour(1, None) for day in range(30)})
        store.pieces.clear()
        recounter.procedures_round()
    assert len(store.pieces) == 6  # 6.1 s in pieces of about 1 s, in chunks of equal size
    assert {piece.agencies for piece in store.pieces} == {("H01", "H02")}
    assert len({day for piece in store.pieces for day in piece.days}) == sum(len(piece.days) for piece in store.pieces) == 30


def test_pieces_do_not_multiply_while_the_machine_is_busy():
    """A piece costs what the shortest one took: statements that wait for the machine are not split further and further."""
    hours, buckets = Hours(flood_until=0), DirtyBuckets()
    seconds = itertools.cycle([0.3, 4.0, 2.0, 3.0, 1.0])
    recounted = []
    store = types.SimpleNamespace(recount_procedures=lambda days: (recounted.append(days), hours.wait(next(seconds))))
    recounter = recounting(store, buckets, hours, agencies=tuple(f"H{number:02d}" for number in range(90)))
    rounds = []
    for _ in range(20):
        buckets.batch_stored({480_000: DirtyHour(1, None)})
        recounted.clear()
        recounter.procedures_round()
        rounds.append(len(recounted))
    assert max(rounds) <= 6


def test_rests_between_pieces_are_bounded_unless_messages_flood_in():
    """What was taken over is acknowledged after the round, so its rests are short; in a flood storing is more urgent."""
    hours, buckets = Hours(flood_until=0.0), DirtyBuckets()
    store = SteadyStore(hours, query=1.8)
    recounter = recounting(store, buckets, hours, agencies=tuple(f"H{number:02d}" for number in range(6)))
    recounter.flooded = hours.flooded
    rests = []
    for turn in range(6):
        if turn == 5:
            hours.flood_until = 1e9
        began = hours.now
        buckets.batch_stored({480_000: DirtyHour(1, None)})
        store.pieces.clear()
        recounter.procedures_round()
        rests.append(hours.now - began - 1.8 * len(store.pieces))
    assert len(store.pieces) == 6
    assert rests == pytest.approx([5.0] * 5 + [6 * 1.8 * PACE.flood_factor])


def test_backfill_is_swept_in_few_pieces_where_every_query_takes_long():
    """Pieces grow although each takes longer than the target, when a query of one minute takes as long: others gain nothing."""
    hours, buckets = Hours(flood_until=0), DirtyBuckets()
    store = SteadyStore(hours, query=0.4)
    recounter = recounting(store, buckets, hours)
    buckets.batch_stored({480_000 + hour: DirtyHour(1, frozenset({1})) for hour in range(24 * 28)})
    rounds = 0
    while buckets.due()[0]:
        recounter.minutes_round()
        rounds += 1
    assert rounds < 20


def test_backfill_shrinks_where_its_own_size_costs_the_time():
    """A day that takes seconds is recounted in smaller pieces, because live minutes wait for each."""
    hours, buckets = Hours(flood_until=0), DirtyBuckets()
    store = SteadyStore(hours, query=0.02, day=3.0)
    recounter = recounting(store, buckets, hours)
    buckets.batch_stored({480_000 + hour: DirtyHour((1 << 60) - 1, frozenset({1})) for hour in range(24 * 14)})
    while buckets.due()[0]:
        recounter.minutes_round()
    assert max(span.end - span.start for span in store.pieces[-20:]).total_seconds() <= 6 * 3600


def test_a_round_recounts_a_live_hour_once():
    """A live hour that becomes due again during a round waits for the next one; another due hour does not."""
    hours, buckets = Hours(flood_until=0), DirtyBuckets()
    store = SteadyStore(hours, query=0.01)
    recount = store.recount_minutes

    def recount_while_messages_arrive(span):
        recount(span)
        buckets.batch_stored({480_001: DirtyHour(1, None)})

    store.recount_minutes = recount_while_messages_arrive
    recounter = recounting(store, buckets, hours)
    buckets.batch_stored({480_001: DirtyHour((1 << 60) - 1, None), 470_000: DirtyHour(1, None)})
    recounter.minutes_round()
    assert [int(span.start.timestamp()) // 3600 for span in store.pieces] == [480_001, 470_000]


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
