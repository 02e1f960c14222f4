"""The ledger against a model that remembers, for every batch and every thing it touched, whether it was recounted since."""

from __future__ import annotations

import datetime as dt
import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from domain.periods import civil_day
from pipeline.ingest.dirty_buckets import DirtyBuckets, MinuteSpan, dirty_hours
from tests.budget import examples

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
#: Minutes near the edges of hours, UTC days and civil days, and far apart.
BASES = (0, 60, 17 * 60, 24 * 60, 28_401_000, 28_401_060, 28_401_600, 29_000_000, -600)
minutes = st.builds(lambda base, offset: base + offset, st.sampled_from(BASES), st.integers(-8, 70))
agencies = st.one_of(st.integers(0, 5), st.integers(0, 90))
touches = st.lists(st.tuples(agencies, minutes), min_size=0, max_size=12)
crowds = st.builds(lambda minute, count: [(agency, minute) for agency in range(count)], minutes, st.integers(60, 70))


def civil_day_of(minute: int) -> dt.date:
    """The local day of a minute since the epoch."""
    return civil_day(EPOCH + dt.timedelta(minutes=minute))


def touched(pairs):
    """What a batch of (agency, minute) pairs touches."""
    codes = np.array([agency for agency, _ in pairs], dtype=np.int32)
    instants = np.array([minute * 60_000 + 1 for _, minute in pairs], dtype=np.int64)
    return dirty_hours(codes, instants)


def covers(span: MinuteSpan, agency: int, minute: int) -> bool:
    """Whether a span recounts this minute of this agency."""
    return span.start <= minute < span.end and (span.agencies is None or agency in span.agencies)


class LedgerMachine(RuleBasedStateMachine):
    """Batches are stored while work of three tiers is taken, finished in any order, or lost with a crash."""

    @initialize()
    def begin(self):
        self.ledger = DirtyBuckets()
        self.step = 0
        self.batches = []  # the (agency, minute) pairs of each batch
        self.stored_at = []
        self.begun = {"minute": {}, "day": {}, "procedure": {}}  # key -> step at which the newest finished recount began
        self.under_way = []  # (tier, work, step at which it was taken, the minutes as they were then)
        self.crashed = False

    def tick(self):
        self.step += 1
        return self.step

    @rule(pairs=st.one_of(touches, crowds))
    def store(self, pairs):
        """A batch becomes durable; its number is the next one."""
        number = self.ledger.batch_stored(touched(pairs))
        self.batches.append(set(pairs))
        self.stored_at.append(self.tick())
        assert number == len(self.batches)

    def take(self, tier, work):
        """Work is taken out; what it will see is what is stored and recounted now."""
        if work is not None:
            self.under_way.append((tier, work, self.tick(), dict(self.begun["minute"])))

    @precondition(lambda self: self.ledger.due()[0])
    @rule(hot=st.booleans(), most=st.sampled_from([1, 15, 60, 1440, 1440 * 400]))
    def take_minutes(self, hot, most):
        work = self.ledger.take_live_minutes(most) if hot else self.ledger.take_backfill_minutes(most)
        assert work is not None, "something due is something to take"
        assert 1 <= len(work.spans) <= 3, "a piece of work is a few ranges at most"
        assert all(span.start < span.end for span in work.spans)
        assert all(one.end <= two.start for one, two in itertools.pairwise(work.spans)), "spans do not overlap"
        self.take("minute", work)

    @precondition(lambda self: self.ledger.due()[1])
    @rule(most=st.sampled_from([1, 2, 400]))
    def take_days(self, most):
        self.take("day", self.ledger.take_days(most))

    @precondition(lambda self: self.ledger.due()[2])
    @rule(most=st.sampled_from([1, 2, 400]))
    def take_procedures(self, most):
        self.take("procedure", self.ledger.take_procedures(most))

    @precondition(lambda self: self.under_way)
    @rule(data=st.data())
    def finish(self, data):
        """Any piece of work is done: what it covers is as true as the moment it was taken, a day as true as its minutes then."""
        self.done(*self.under_way.pop(data.draw(st.integers(0, len(self.under_way) - 1))))

    def done(self, tier, work, began, minutes_then):
        for pairs in self.batches:
            for agency, minute in pairs:
                key = (agency, minute)
                if tier == "minute":
                    covered = any(covers(span, agency, minute) for span in work.spans)
                else:
                    covered = civil_day_of(minute) in work.days and (work.agencies is None or agency in work.agencies)
                if covered:
                    seen = minutes_then.get(key, 0) if tier == "day" else began
                    self.begun[tier][key] = max(seen, self.begun[tier].get(key, 0))
        if tier == "minute":
            self.ledger.minutes_recounted(work)
        else:
            self.ledger.days_recounted(work)

    @precondition(lambda self: self.under_way)
    @rule(data=st.data())
    def crash(self, data):
        """Work is lost on the way and never given back."""
        self.under_way.pop(data.draw(st.integers(0, len(self.under_way) - 1)))
        self.crashed = True

    @invariant()
    def never_ahead(self):
        """No batch counts as counted, or as visible, of which anything is not recounted since it was stored."""
        counted, visible = self.ledger.counted_through(), self.ledger.minutes_through()
        assert 0 <= counted <= visible <= len(self.batches)
        for number in range(visible):
            for key in self.batches[number]:
                for tier in ("minute", "day", "procedure") if number < counted else ("minute",):
                    assert self.begun[tier].get(key, 0) > self.stored_at[number], f"batch {number + 1}: {tier} of {key}"

    def teardown(self):
        """Once everything taken and due is worked off, every batch is counted, unless work was lost."""
        if not hasattr(self, "ledger"):
            return
        for _ in range(10_000):
            for piece in self.under_way:
                self.done(*piece)
            self.under_way.clear()
            if self.ledger.due() == (0, 0, 0):
                break
            self.take("minute", self.ledger.take_live_minutes(15))
            self.take("minute", self.ledger.take_backfill_minutes(1440))
            self.take("day", self.ledger.take_days(400))
            self.take("procedure", self.ledger.take_procedures(400))
        assert self.ledger.due() == (0, 0, 0)
        self.never_ahead()
        if not self.crashed:
            assert self.ledger.counted_through() == self.ledger.minutes_through() == len(self.batches)


TestLedger = LedgerMachine.TestCase
TestLedger.settings = settings(max_examples=examples(300), stateful_step_count=25)


@settings(max_examples=examples(300))
@given(st.lists(st.one_of(touches, crowds), min_size=1, max_size=5), st.sampled_from([1, 15, 1440 * 400]), st.booleans())
def test_every_touched_minute_lies_in_a_span(batches, most, hot):
    """Working off all that is due covers every touched minute of every agency, and little else."""
    ledger = DirtyBuckets()
    for pairs in batches:
        ledger.batch_stored(touched(pairs))
    spans = []
    while (work := ledger.take_live_minutes(most) if hot else ledger.take_backfill_minutes(most)) is not None:
        spans.extend(work.spans)
        ledger.minutes_recounted(work)
    for pairs in batches:
        for agency, minute in pairs:
            assert any(covers(span, agency, minute) for span in spans)
    wanted = {minute for pairs in batches for _, minute in pairs}
    for span in spans:
        assert span.start in wanted, "a span begins with a touched minute"
        assert span.end - 1 in wanted, "and ends with one"


@settings(max_examples=examples(200))
@given(st.lists(st.one_of(touches, crowds), min_size=1, max_size=6))
def test_the_last_batch_is_reached(batches):
    """When all that is due is worked off, in rounds as the recounter takes it, the last batch is counted."""
    ledger = DirtyBuckets()
    for pairs in batches:
        ledger.batch_stored(touched(pairs))
    if any(batches):
        assert ledger.counted_through() < len(batches)
    rounds = 0
    while ledger.due() != (0, 0, 0):
        rounds += 1
        assert rounds < 1_000
        for take in (lambda: ledger.take_live_minutes(15), lambda: ledger.take_backfill_minutes(60)):
            if (minutes_due := take()) is not None:
                ledger.minutes_recounted(minutes_due)
        for days_due in (ledger.take_days(1), ledger.take_procedures(1)):
            if days_due is not None:
                ledger.days_recounted(days_due)
    assert ledger.counted_through() == len(batches)


def test_a_crash_holds_back_only_what_it_lost():
    """Work that is never given back keeps its batch and all later ones unacknowledged; earlier ones go on."""
    ledger = DirtyBuckets()
    ledger.batch_stored(touched([(1, 28_401_000)]))
    first = ledger.take_live_minutes(15)
    ledger.batch_stored(touched([(1, 28_403_000)]))
    assert ledger.take_live_minutes(15) is not None, "this one is lost"
    assert first is not None
    ledger.minutes_recounted(first)
    while (work := ledger.take_days(400)) is not None or (work := ledger.take_procedures(400)) is not None:
        ledger.days_recounted(work)
    assert ledger.counted_through() == 1


def test_touching_while_under_recount_makes_it_due_again():
    """A batch stored while its minute is being recounted may have been missed: the minute is due again."""
    ledger = DirtyBuckets()
    ledger.batch_stored(touched([(1, 28_401_000)]))
    work = ledger.take_live_minutes(15)
    ledger.batch_stored(touched([(1, 28_401_000)]))
    assert work is not None
    ledger.minutes_recounted(work)
    assert ledger.due()[0] == 1
    assert ledger.counted_through() == 0


@settings(max_examples=examples(300))
@given(st.one_of(touches, crowds))
def test_touched_hours_name_every_minute_and_agency(pairs):
    """An hour's bits are its touched minutes, its agencies those of its events, or None when they are too many."""
    found = touched(pairs)
    assert set(found) == {minute // 60 for _, minute in pairs}
    for hour, touch in found.items():
        assert {hour * 60 + bit for bit in range(60) if touch.minutes >> bit & 1} == {m for _, m in pairs if m // 60 == hour}
        members = {agency for agency, minute in pairs if minute // 60 == hour}
        assert touch.agencies == (members if len(members) <= 64 else None)
