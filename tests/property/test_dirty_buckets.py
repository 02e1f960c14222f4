"""``DirtyBuckets`` against a model that records, for everything that a batch made dirty, whether it was recounted since."""

from __future__ import annotations

import datetime as dt
import itertools

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from domain.periods import civil_day
from pipeline.ingest.dirty_buckets import DirtyBuckets
from pipeline.ingest.dossier_resolver import TouchedDossiers
from pipeline.ingest.minute_spans import MinuteSpan, dirty_hours
from tests.budget import examples

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
#: Minutes near the edges of hours, UTC days and civil days, and far apart.
BASES = (0, 60, 17 * 60, 24 * 60, 28_401_000, 28_401_060, 28_401_600, 29_000_000, -600)
minutes = st.builds(lambda base, offset: base + offset, st.sampled_from(BASES), st.integers(-8, 70))
agencies = st.one_of(st.integers(0, 5), st.integers(0, 90))
small_batches = st.lists(st.tuples(agencies, minutes), min_size=0, max_size=12)
large_batches = st.builds(lambda minute, count: [(agency, minute) for agency in range(count)], minutes, st.integers(60, 70))


def civil_day_of(minute: int) -> dt.date:
    """The local day of a minute since the epoch."""
    return civil_day(EPOCH + dt.timedelta(minutes=minute))


def dirtied(pairs):
    """The dirty hours of a batch of (agency, minute) pairs."""
    codes = np.array([agency for agency, _ in pairs], dtype=np.int32)
    instants = np.array([minute * 60_000 + 1 for _, minute in pairs], dtype=np.int64)
    return dirty_hours(codes, instants)


def covers(span: MinuteSpan, agency: int, minute: int) -> bool:
    """Whether a span recounts this minute of this agency."""
    return span.start <= minute < span.end and (span.agencies is None or agency in span.agencies)


class DirtyBucketsMachine(RuleBasedStateMachine):
    """Batches are stored; dossiers are resolved, and work of three tiers is taken, finished in any order, or lost in a crash."""

    @initialize()
    def begin(self):
        self.buckets = DirtyBuckets()
        self.step = 0
        self.batches = []  # the (agency, minute) pairs of each batch
        self.stored_at = []
        self.corrected = []  # the pairs that corrections of each batch's dossiers changed, None until they are resolved
        self.corrected_at = []  # the step at which each batch was resolved, or stored if it has no dossiers
        self.resolving = []
        self.begun = {"minute": {}, "day": {}, "procedure": {}}  # key -> step at which the newest finished recount began
        self.under_way = []  # (tier, work, step at which it was taken, the minutes as they were then)
        self.crashed = False

    def tick(self):
        self.step += 1
        return self.step

    @rule(pairs=st.one_of(small_batches, large_batches), dossiers=st.booleans(), defer=st.booleans())
    def store(self, pairs, dossiers, defer):
        """A batch becomes durable; its number is the next one."""
        indexed = TouchedDossiers(pa.array(["A"]), 1) if dossiers and pairs else None
        number = self.buckets.batch_stored(dirtied(pairs), indexed, defer=defer)
        self.batches.append(set(pairs))
        self.stored_at.append(self.tick())
        self.corrected.append(None if indexed else set())
        self.corrected_at.append(self.step)
        assert number == len(self.batches)

    @precondition(lambda self: any(pairs is None and not self.is_resolving(n) for n, pairs in enumerate(self.corrected, 1)))
    @rule(limit=st.sampled_from([1, 2, 100]))
    def take_dossiers(self, limit):
        """The oldest unresolved batches are taken, in their order."""
        work = self.buckets.take_dossiers(limit)
        numbers = [each.batch for each in work.batches]
        waiting = [n for n, pairs in enumerate(self.corrected, 1) if pairs is None and not self.is_resolving(n)]
        assert numbers == waiting[: len(numbers)]
        self.resolving.append(work)

    def is_resolving(self, number):
        return any(number == each.batch for work in self.resolving for each in work.batches)

    @precondition(lambda self: self.resolving)
    @rule(pairs=small_batches, data=st.data())
    def resolve(self, pairs, data):
        """Corrections of taken batches are stored; they changed any minutes."""
        self.resolved(self.resolving[data.draw(st.integers(0, len(self.resolving) - 1))], pairs)

    def resolved(self, work, pairs):
        self.resolving = [other for other in self.resolving if other is not work]
        self.buckets.dossiers_resolved(work, dirtied(pairs))
        now = self.tick()
        for each in work.batches:
            self.corrected[each.batch - 1], self.corrected_at[each.batch - 1] = set(pairs), now

    def take(self, tier, work):
        """Work is taken. It will see what is stored and recounted now."""
        if work is not None:
            self.under_way.append((tier, work, self.tick(), dict(self.begun["minute"])))

    @precondition(lambda self: self.buckets.due()[0])
    @rule(live=st.booleans(), limit=st.sampled_from([1, 15, 60, 1440, 1440 * 400]))
    def take_minutes(self, live, limit):
        work = self.buckets.take_live_minutes(limit) if live else self.buckets.take_backfill_minutes(limit)
        assert work is not None, "when something is due, there is work"
        assert 1 <= len(work.spans) <= 3, "a piece of work is a few ranges at most"
        assert all(span.start < span.end for span in work.spans)
        assert all(one.end <= two.start for one, two in itertools.pairwise(work.spans)), "spans do not overlap"
        self.take("minute", work)

    @precondition(lambda self: self.buckets.due()[1])
    @rule(limit=st.sampled_from([1, 2, 400]))
    def take_days(self, limit):
        self.take("day", self.buckets.take_days(limit))

    @precondition(lambda self: self.buckets.due()[2])
    @rule(limit=st.sampled_from([1, 2, 400]))
    def take_procedures(self, limit):
        self.take("procedure", self.buckets.take_procedures(limit))

    @precondition(lambda self: self.under_way)
    @rule(data=st.data())
    def finish(self, data):
        """Any piece of work is finished: it covers what was stored when it was taken; a day, what its minutes held then."""
        self.done(*self.under_way.pop(data.draw(st.integers(0, len(self.under_way) - 1))))

    def done(self, tier, work, began, minutes_then):
        for pairs in (*self.batches, *self.corrected):
            for agency, minute in pairs or ():
                key = (agency, minute)
                if tier == "minute":
                    covered = any(covers(span, agency, minute) for span in work.spans)
                else:
                    covered = civil_day_of(minute) in work.days and (work.agencies is None or agency in work.agencies)
                if covered:
                    seen = minutes_then.get(key, 0) if tier == "day" else began
                    self.begun[tier][key] = max(seen, self.begun[tier].get(key, 0))
        finished = {
            "minute": self.buckets.minutes_recounted,
            "day": self.buckets.days_recounted,
            "procedure": self.buckets.procedures_recounted,
        }
        finished[tier](work)

    @precondition(lambda self: self.under_way)
    @rule(data=st.data())
    def crash(self, data):
        """Work is lost and never finished."""
        self.under_way.pop(data.draw(st.integers(0, len(self.under_way) - 1)))
        self.crashed = True

    @invariant()
    def never_ahead(self):
        """A batch is visible only when its minutes were recounted since it was stored.

        It is counted only when every tier of it was, and of what its dossiers corrected, since they were resolved.
        """
        counted, visible = self.buckets.counted_through(), self.buckets.minutes_through()
        assert 0 <= counted <= visible <= len(self.batches)
        for number in range(visible):
            for key in self.batches[number]:
                for tier in ("minute", "day", "procedure") if number < counted else ("minute",):
                    assert self.begun[tier].get(key, 0) > self.stored_at[number], f"batch {number + 1}: {tier} of {key}"
        for number in range(counted):
            assert self.corrected[number] is not None, f"batch {number + 1}: its dossiers are not resolved"
            for key in self.corrected[number]:
                for tier in ("minute", "day", "procedure"):
                    assert self.begun[tier].get(key, 0) > self.corrected_at[number], (
                        f"batch {number + 1}: correction, {tier} of {key}"
                    )

    def teardown(self):
        """When all work is finished, every batch is counted, unless work was lost."""
        if not hasattr(self, "buckets"):
            return
        for _ in range(10_000):
            for piece in self.under_way:
                self.done(*piece)
            self.under_way.clear()
            if (work := self.buckets.take_dossiers(100)) is not None:
                self.resolving.append(work)
            for work in tuple(self.resolving):
                self.resolved(work, [(1, 28_401_000)])
            if self.buckets.due() == (0, 0, 0):
                break
            self.take("minute", self.buckets.take_live_minutes(15))
            self.take("minute", self.buckets.take_backfill_minutes(1440))
            self.take("day", self.buckets.take_days(400))
            self.take("procedure", self.buckets.take_procedures(400))
        assert self.buckets.due() == (0, 0, 0)
        self.never_ahead()
        if not self.crashed:
            assert self.buckets.counted_through() == self.buckets.minutes_through() == len(self.batches)


TestDirtyBuckets = DirtyBucketsMachine.TestCase
TestDirtyBuckets.settings = settings(max_examples=examples(300), stateful_step_count=25)


@settings(max_examples=examples(300))
@given(
    st.lists(st.one_of(small_batches, large_batches), min_size=1, max_size=5), st.sampled_from([1, 15, 1440 * 400]), st.booleans()
)
def test_every_dirty_minute_lies_in_a_span(batches, limit, live):
    """Doing all due work covers every dirty minute of every agency, and spans begin and end with dirty minutes."""
    buckets = DirtyBuckets()
    for pairs in batches:
        buckets.batch_stored(dirtied(pairs))
    spans = []
    while (work := buckets.take_live_minutes(limit) if live else buckets.take_backfill_minutes(limit)) is not None:
        spans.extend(work.spans)
        buckets.minutes_recounted(work)
    for pairs in batches:
        for agency, minute in pairs:
            assert any(covers(span, agency, minute) for span in spans)
    wanted = {minute for pairs in batches for _, minute in pairs}
    for span in spans:
        assert span.start in wanted, "a span begins with a dirty minute"
        assert span.end - 1 in wanted, "and ends with one"


@settings(max_examples=examples(200))
@given(st.lists(st.one_of(small_batches, large_batches), min_size=1, max_size=6))
def test_the_last_batch_is_reached(batches):
    """When all due work is done, in rounds as the recounter does it, the last batch is counted."""
    buckets = DirtyBuckets()
    for pairs in batches:
        buckets.batch_stored(dirtied(pairs))
    if any(batches):
        assert buckets.counted_through() < len(batches)
    rounds = 0
    while buckets.due() != (0, 0, 0):
        rounds += 1
        assert rounds < 1_000
        for take in (lambda: buckets.take_live_minutes(15), lambda: buckets.take_backfill_minutes(60)):
            if (minutes_due := take()) is not None:
                buckets.minutes_recounted(minutes_due)
        if (days_due := buckets.take_days(1)) is not None:
            buckets.days_recounted(days_due)
        if (procedures_due := buckets.take_procedures(1)) is not None:
            buckets.procedures_recounted(procedures_due)
    assert buckets.counted_through() == len(batches)


def test_a_crash_holds_back_only_what_it_lost():
    """Unfinished work keeps its batch and all later ones unacknowledged, and no earlier one."""
    buckets = DirtyBuckets()
    buckets.batch_stored(dirtied([(1, 28_401_000)]))
    first = buckets.take_live_minutes(15)
    buckets.batch_stored(dirtied([(1, 28_403_000)]))
    assert buckets.take_live_minutes(15) is not None, "this one is lost"
    assert first is not None
    buckets.minutes_recounted(first)
    while (work := buckets.take_days(400)) is not None:
        buckets.days_recounted(work)
    while (work := buckets.take_procedures(400)) is not None:
        buckets.procedures_recounted(work)
    assert buckets.counted_through() == 1


def test_a_minute_dirtied_during_its_recount_is_due_again():
    """A batch stored while its minute is being recounted may have been missed: the minute is due again."""
    buckets = DirtyBuckets()
    buckets.batch_stored(dirtied([(1, 28_401_000)]))
    work = buckets.take_live_minutes(15)
    buckets.batch_stored(dirtied([(1, 28_401_000)]))
    assert work is not None
    buckets.minutes_recounted(work)
    assert buckets.due()[0] == 1
    assert buckets.counted_through() == 0


@settings(max_examples=examples(300))
@given(st.one_of(small_batches, large_batches))
def test_dirty_hours_hold_every_minute_and_agency(pairs):
    """The bits of an hour are its dirty minutes; its agencies are those of its events, or None when there are too many."""
    found = dirtied(pairs)
    assert set(found) == {minute // 60 for _, minute in pairs}
    for hour, content in found.items():
        assert {hour * 60 + bit for bit in range(60) if content.minutes >> bit & 1} == {m for _, m in pairs if m // 60 == hour}
        members = {agency for agency, minute in pairs if minute // 60 == hour}
        assert content.agencies == (members if len(members) <= 64 else None)
