"""The contract of the audit of a destination. ``test_audit.py`` runs this suite on each implementation."""

from __future__ import annotations

import dataclasses
import datetime as dt
import itertools
import uuid
from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa
import pytest

from domain.periods import FIRST_DAY, LAST_DAY, LAST_INSTANT, civil_day, day_start
from domain.tiers import Tier
from sinks.clickhouse.cluster.routing import shard_of_codes
from sinks.contract.audit import Acknowledged, HashShard, Repeats, TallyAudit, TallyRepair
from sinks.contract.dead_letters import DeadLetter
from sinks.contract.events import EventStore, UnreadCause, UnreadRange
from sinks.contract.tallies import Counts, Days, Span, TallyReader
from sinks.tables import EPOCH
from tests import factories
from tests.contract.breadth import cases
from tests.factories import MORNING, TOPIC, rows_of
from tests.fakes import counts_of, drift_of, fields_of, minute_of

MINUTE, DAY = dt.timedelta(minutes=1), dt.timedelta(days=1)
TODAY = civil_day(MORNING)
AT_ONCE, LONG_AGO = dt.timedelta(0), dt.timedelta(hours=1)
ALL = HashShard(0, 1)
TIERS = {str(tier): (tier,) for tier in Tier}
MESSAGE_FIELDS = [
    ("topic", pa.string()),
    ("partition", pa.int32()),
    ("offset", pa.int64()),
    ("agency", pa.string()),
    ("occurred_at", pa.timestamp("ms", "UTC")),
    ("event_id", pa.string()),
]


@dataclass
class AuditUnderTest:
    """A destination under test, empty at the start, and ways to corrupt it."""

    store: EventStore
    reader: TallyReader
    audit: TallyAudit
    repair: TallyRepair
    #: Write a tally row without a recount: (tier, (agency, bucket, procedure), counts, last event, version).
    write: Callable[[Tier, tuple[str, dt.datetime | dt.date, str], Counts, dt.datetime, int], None]
    #: Remove every row of a tier.
    clear: Callable[[Tier], None]
    #: Remove every event of an agency.
    delete_events: Callable[[str], None]
    #: Backdate the storing of every event by an hour.
    age_events: Callable[[], None]

    def store_and_recount(self, events) -> None:
        """Store the events and recount every tally they touch."""
        self.store.insert_events(rows_of(events))
        self.recount(sorted({civil_day(event.occurred_at) for event in events}))

    def recount(self, days) -> None:
        """Recount whole days in every tier, in the order of use."""
        for day in days:
            start = dt.datetime.combine(day, dt.time(), dt.UTC) - dt.timedelta(hours=7)
            self.store.recount_minutes(Span(start, start + DAY))
            self.store.roll_up_days(Days((day,)))
            self.store.recount_procedures(Days((day,)))

    def compare_tiers(self, day=TODAY, *, settle=AT_ONCE, limit=100, acknowledged=None):
        """Every tier of a day compared."""
        return {tier: self.audit.compare(tier, day, settle=settle, limit=limit, acknowledged=acknowledged) for tier in Tier}

    def drifts(self, day=TODAY, **options):
        """Drift by tier."""
        return {tier: found.drift for tier, found in self.compare_tiers(day, **options).items()}

    def repair_day(self, day=TODAY):
        """Repair a day: raise the epoch, recount, clear the tallies that have no events."""
        self.repair.raise_epoch("test")
        start = dt.datetime.combine(day, dt.time(), dt.UTC) - dt.timedelta(hours=7)
        self.store.recount_minutes(Span(start, start + DAY))
        self.repair.clear_orphans(Tier.MINUTE, day)
        self.store.roll_up_days(Days((day,)))
        self.repair.clear_orphans(Tier.DAY, day)
        self.store.recount_procedures(Days((day,)))
        self.repair.clear_orphans(Tier.PROCEDURE, day)
        for tier in Tier:
            self.repair.purge_superseded(tier, [day])


NO_DRIFT = dict.fromkeys(Tier, 0)


def an_event(**changes):
    """An event whose dossier the first of two shards has: a tally is a part in each shard, and those of the first are spoiled."""
    while True:
        event = factories.an_event(**changes)
        if "dossier_code" in changes or not shard_of_codes(pa.array([event.dossier_code]), 2)[0]:
            return event


def bucket_of(tier, event):
    """Where an event is counted."""
    bucket = minute_of(event.occurred_at) if tier is Tier.MINUTE else civil_day(event.occurred_at)
    return event.agency, bucket, event.procedure_code if tier is Tier.PROCEDURE else ""


def some_events():
    """Seven events of two agencies, two procedures and three minutes of one day."""
    return [
        *(an_event() for _ in range(3)),
        an_event(status=3),
        an_event(occurred_at=MORNING + MINUTE, procedure_code="2.000815", channel=1),
        an_event(agency="G01", status=1),
        an_event(agency="G01", occurred_at=MORNING + 5 * MINUTE, status=7),
    ]


class AuditSuite:
    """Run over a fixture ``sink``."""

    def test_right_tallies_show_no_difference(self, sink):
        """Events that were stored, repeated and recounted show no difference, and every bucket is compared."""
        events = some_events()
        sink.store_and_recount(events)
        sink.store.insert_events(rows_of(events[:4], offset=50))
        found = sink.compare_tiers()
        assert {
            tier: (comparison.buckets, comparison.differing, comparison.drift, comparison.stuck)
            for tier, comparison in found.items()
        } == {
            Tier.MINUTE: (4, 0, 0, 0),
            Tier.DAY: (2, 0, 0, 0),
            Tier.PROCEDURE: (3, 0, 0, 0),
        }
        assert all(comparison.differences == () for comparison in found.values())
        assert sink.drifts(settle=LONG_AGO) == NO_DRIFT

    @pytest.mark.long
    def test_a_day_that_no_table_can_hold_is_empty(self, sink):
        """Any day may be audited: one outside of the range of the tables has no events and no tallies, and none of other days."""
        sink.store_and_recount([an_event(occurred_at=at) for at in (day_start(FIRST_DAY), MORNING, LAST_INSTANT)])
        for text in (
            "0001-01-01",
            "1899-12-31",
            "1969-12-31",
            "1970-01-01",
            "2106-02-08",
            "2149-06-07",
            "2300-01-01",
            "9999-12-31",
        ):
            day = dt.date.fromisoformat(text)
            for tier in Tier:
                found = sink.audit.compare(tier, day, settle=AT_ONCE, limit=5)
                assert (found.buckets, found.drift) == (0, 0), (tier, day)
                sink.repair.clear_orphans(tier, day)
                sink.repair.purge_superseded(tier, [day])
            assert sink.audit.civil_days(day, day) == {}, day
            assert sink.audit.contradictions(day, limit=5) == Repeats(0, {}), day
            assert sink.audit.reused_event_ids((day, day), ALL, limit=5) == Repeats(0, {}), day
        assert sink.audit.civil_days() == {FIRST_DAY: 1, TODAY: 1, LAST_DAY: 1}

    @pytest.mark.long
    def test_the_days_at_both_ends_of_the_tables(self, sink):
        """The first and the last day of the tables are audited like any other, also when all days are audited at once."""
        sink.store_and_recount([an_event(occurred_at=at) for at in (day_start(FIRST_DAY), MORNING, LAST_INSTANT)])
        assert sink.audit.civil_days(dt.date.min, dt.date.max) == {FIRST_DAY: 1, TODAY: 1, LAST_DAY: 1}
        for tier, day in itertools.product(Tier, (FIRST_DAY, LAST_DAY)):
            found = sink.audit.compare(tier, day, settle=AT_ONCE, limit=5)
            assert (found.buckets, found.drift) == (1, 0)
            sink.repair.clear_orphans(tier, day)
        assert sink.audit.reused_event_ids((dt.date.min, dt.date.max), ALL, limit=5) == Repeats(0, {})

    def test_an_empty_destination_shows_no_difference(self, sink):
        """Without events and tallies there are no days and nothing to compare."""
        assert sink.audit.civil_days() == {}
        assert sink.audit.recently_stored_days(LONG_AGO) == []
        assert {comparison.buckets for comparison in sink.compare_tiers().values()} == {0}

    @pytest.mark.parametrize(
        ("tier", "change", "drift"),
        cases(
            {
                f"{name}-{tier}": (tier, change, drift)
                for name, change, drift in (("too high", +5, 5), ("too low", -1, 1))
                for tier in Tier
            },
            fast=(f"too high-{Tier.MINUTE}", f"too low-{Tier.DAY}"),
        ),
    )
    def test_a_wrong_number_of_events_is_found_and_repaired(self, sink, tier, change, drift):
        """A tally that counts too many or too few events is found with its amount, and a repair puts it right."""
        events = some_events()
        sink.store_and_recount(events)
        agency, bucket, procedure = bucket_of(tier, events[0])
        right = counts_of(event for event in events if bucket_of(tier, event) == (agency, bucket, procedure))
        wrong = dataclasses.replace(right, events=right.events + change)
        sink.write(tier, (agency, bucket, procedure), wrong, MORNING, EPOCH - 1)
        comparison = sink.compare_tiers()[tier]
        assert (comparison.differing, comparison.drift, comparison.stuck) == (1, drift, 1)
        difference = comparison.differences[0]
        assert (difference.tier, difference.agency, difference.bucket, difference.procedure) == (tier, agency, bucket, procedure)
        assert (difference.due, difference.stored, difference.tallied) == (right, right, wrong)
        assert difference.stored_last == max(e.occurred_at for e in events if bucket_of(tier, e) == (agency, bucket, procedure))
        assert {other: n for other, n in sink.drifts().items() if other is not tier} == {t: 0 for t in Tier if t is not tier}
        sink.recount([TODAY])
        assert sink.compare_tiers()[tier].drift == drift  # its version is higher than that of a recount
        sink.repair_day()
        assert sink.drifts() == NO_DRIFT

    @pytest.mark.parametrize("tier", cases(TIERS, fast=(str(Tier.PROCEDURE),)))
    def test_each_count_is_compared(self, sink, tier):
        """A tally with the right number of events and any one count wrong is found, and a plain recount repairs it."""
        event = an_event()
        sink.store_and_recount([event])
        right = counts_of([event])
        for name in set(Counts.__slots__) - {"events"}:
            wrong = dataclasses.replace(right, **{name: getattr(right, name) + 2})
            sink.write(tier, bucket_of(tier, event), wrong, event.occurred_at, 1)
            comparison = sink.audit.compare(tier, TODAY, settle=AT_ONCE, limit=100)
            assert (comparison.differing, comparison.drift, comparison.stuck) == (1, 2, 0), name
            assert comparison.differences[0].tallied == wrong
        sink.recount([TODAY])
        assert sink.drifts() == NO_DRIFT

    @pytest.mark.parametrize(
        ("tier", "shift"),
        cases(
            {f"{shift}-{tier}": (tier, shift) for shift in (-1, 1) for tier in Tier},
            fast=(f"-1-{Tier.MINUTE}", f"1-{Tier.DAY}"),
        ),
    )
    def test_the_time_of_the_newest_event_is_compared(self, sink, tier, shift):
        """A tally whose only error is a millisecond in the time of its newest event drifts by one."""
        event = an_event(occurred_at=MORNING + dt.timedelta(seconds=7))
        sink.store_and_recount([event])
        wrong = event.occurred_at + dt.timedelta(milliseconds=shift)
        sink.write(tier, bucket_of(tier, event), counts_of([event]), wrong, 1)
        comparison = sink.compare_tiers()[tier]
        assert comparison.drift == 1
        assert (comparison.differences[0].stored_last, comparison.differences[0].tallied_last) == (event.occurred_at, wrong)
        sink.recount([TODAY])
        assert sink.drifts() == NO_DRIFT

    def test_plus_and_minus_do_not_cancel(self, sink):
        """One tally too high and another too low by as much add up."""
        events = [an_event(), an_event(agency="G01"), an_event(agency="G01")]
        sink.store_and_recount(events)
        day, once = civil_day(MORNING), counts_of(events[:1])
        twice = counts_of(events[1:])
        sink.write(Tier.DAY, ("H17", day, ""), twice, MORNING, 2)
        sink.write(Tier.DAY, ("G01", day, ""), once, MORNING, 2)
        assert sink.drifts() == NO_DRIFT | {Tier.DAY: 2}

    @pytest.mark.parametrize("tier", cases(TIERS, fast=(str(Tier.DAY),)))
    def test_a_missing_tally_is_found_and_repaired(self, sink, tier):
        """Missing tallies drift by the events that they should count; a plain recount creates them."""
        sink.store_and_recount(some_events())
        sink.clear(tier)
        comparison = sink.compare_tiers()[tier]
        assert (comparison.differing, comparison.drift, comparison.stuck) == (comparison.buckets, 7, 0)
        assert {difference.tallied for difference in comparison.differences} == {Counts()}
        assert {difference.tallied_last for difference in comparison.differences} == {None}
        sink.recount([TODAY])
        assert sink.drifts() == NO_DRIFT

    @pytest.mark.parametrize("tier", cases(TIERS, fast=(str(Tier.MINUTE),)))
    def test_an_orphan_is_found_and_cleared(self, sink, tier):
        """A tally without any event drifts by what it counts; a repair leaves nothing of it for any reader."""
        sink.store_and_recount([an_event()])
        last = MORNING + 3 * DAY
        stray = an_event(agency="H18", occurred_at=last, procedure_code="9.9")
        day = civil_day(last)
        sink.write(tier, bucket_of(tier, stray), Counts(events=4, settled=4), last, 4)
        assert day in sink.audit.civil_days()
        assert sink.audit.civil_days()[day] == 0
        comparison = sink.compare_tiers(day)[tier]
        assert (comparison.buckets, comparison.differing, comparison.drift, comparison.stuck) == (1, 1, 4, 1)
        assert (comparison.differences[0].stored, comparison.differences[0].stored_last) == (Counts(), None)
        sink.repair_day(day)
        assert sink.drifts(day) == NO_DRIFT
        assert sink.drifts() == NO_DRIFT
        assert sink.reader.counts_of_days(day, day).get("H18", Counts()) == Counts()
        assert sink.reader.counts_between(last, last + MINUTE).get("H18", Counts()) == Counts()
        assert set(sink.reader.last_events(MORNING + 9 * DAY)) == {"H17"}

    def test_deleted_events_are_found_and_repaired(self, sink):
        """After events were deleted every tier counts too much; a repair corrects them, to zero where no event is left."""
        kept, gone = [an_event(), an_event()], [an_event(agency="G01"), an_event(agency="G01", occurred_at=MORNING + MINUTE)]
        sink.store_and_recount([*kept, *gone])
        sink.delete_events("G01")
        assert sink.drifts() == dict.fromkeys(Tier, 2)
        sink.recount([TODAY])
        assert sink.drifts() == dict.fromkeys(Tier, 2)
        sink.repair_day()
        assert sink.drifts() == NO_DRIFT
        assert sink.reader.counts_of_days(TODAY, TODAY)["H17"] == counts_of(kept)
        assert sink.reader.counts_of_days(TODAY, TODAY).get("G01", Counts()) == Counts()

    def test_after_a_repair_new_events_count(self, sink):
        """A store that existed before the epoch was raised continues to count: later recounts win over the repair."""
        sink.store_and_recount([an_event()])
        sink.write(Tier.MINUTE, ("H17", MORNING, ""), Counts(events=9), MORNING, 7 * EPOCH + 9)
        sink.repair_day()
        sink.store_and_recount([an_event(), an_event(agency="G01")])
        assert sink.drifts() == NO_DRIFT
        assert sink.reader.counts_of_days(TODAY, TODAY)["H17"].events == 2
        sink.delete_events("G01")
        sink.repair_day()
        sink.store_and_recount([an_event(agency="G01")])
        assert sink.drifts() == NO_DRIFT
        assert sink.reader.counts_of_days(TODAY, TODAY)["G01"].events == 1

    @pytest.mark.long
    def test_events_that_came_by_another_road(self, sink):
        """Events inserted into the raw table without a worker are missing in every tier until a recount."""
        sink.store_and_recount([an_event()])
        sink.store.insert_events(rows_of([an_event(), an_event(agency="G22")]))
        assert sink.drifts() == dict.fromkeys(Tier, 2)
        sink.recount([TODAY])
        assert sink.drifts() == NO_DRIFT

    @pytest.mark.long
    def test_days_end_at_local_midnight(self, sink):
        """A day's tallies are compared with the events of the same local day, to the millisecond, across a month's end."""
        midnight = dt.datetime(2024, 2, 29, 17, tzinfo=dt.UTC)
        events = [an_event(occurred_at=midnight - dt.timedelta(milliseconds=1)), an_event(occurred_at=midnight)]
        sink.store_and_recount(events)
        leap, first = dt.date(2024, 2, 29), dt.date(2024, 3, 1)
        assert sink.audit.civil_days() == {leap: 1, first: 1}
        for day in (leap, first):
            assert {tier: comparison.buckets for tier, comparison in sink.compare_tiers(day).items()} == dict.fromkeys(Tier, 1)
            assert sink.drifts(day) == NO_DRIFT

    def test_days_within_a_period(self, sink):
        """The days listed are those within the ends asked for, both included, with their rows."""
        events = [an_event(occurred_at=MORNING + number * DAY) for number in range(4)]
        sink.store_and_recount(events)
        days = [TODAY + number * DAY for number in range(4)]
        assert sink.audit.civil_days() == dict.fromkeys(days, 1)
        assert sink.audit.civil_days(days[1], days[2]) == dict.fromkeys(days[1:3], 1)
        assert list(sink.audit.civil_days(days[2])) == days[2:]
        assert list(sink.audit.civil_days(last=days[0])) == days[:1]
        assert list(sink.audit.civil_days(dt.date(1, 1, 1), dt.date(9999, 12, 31))) == days

    def test_touched_days_are_those_of_new_events(self, sink):
        """The days of recently stored events are listed, however old the events are, and no longer when the time is over."""
        sink.store_and_recount([an_event(), an_event(occurred_at=MORNING - 300 * DAY)])
        assert sink.audit.recently_stored_days(LONG_AGO) == [civil_day(MORNING - 300 * DAY), TODAY]
        assert sink.audit.recently_stored_days(AT_ONCE) == []

    def test_what_was_stored_just_now_is_not_due(self, sink):
        """Events stored within the settling time may be tallied or not; older ones that are not, and excess tallies, drift."""
        settle = dt.timedelta(minutes=30)
        sink.store_and_recount([an_event()])
        sink.age_events()
        sink.store.insert_events(rows_of([an_event(occurred_at=MORNING + dt.timedelta(seconds=1)), an_event(agency="G01")]))
        assert sink.drifts() == dict.fromkeys(Tier, 2)
        assert sink.drifts(settle=settle) == NO_DRIFT
        sink.clear(Tier.DAY)
        comparison = sink.compare_tiers(settle=settle)[Tier.DAY]
        assert (comparison.differing, comparison.drift) == (1, 1)
        assert (comparison.differences[0].due.events, comparison.differences[0].stored.events) == (1, 2)
        sink.recount([TODAY])
        assert sink.drifts(settle=settle) == NO_DRIFT
        sink.write(Tier.DAY, ("G01", TODAY, ""), Counts(events=2), MORNING, 2)
        assert sink.drifts(settle=settle)[Tier.DAY] == 1
        sink.clear(Tier.DAY)
        sink.recount([TODAY])
        sink.clear(Tier.MINUTE)
        assert sink.drifts(settle=settle) == NO_DRIFT | {Tier.MINUTE: 1}
        sink.age_events()
        assert sink.drifts(settle=settle) == NO_DRIFT | {Tier.MINUTE: 3}

    def test_what_the_workers_have_in_hand_is_not_due(self, sink):
        """Events from the committed offset to the end of the log are late, however old; acknowledged ones are due at once."""
        sink.store.insert_events(rows_of([an_event() for _ in range(5)], offset=10))
        sink.store.insert_events(rows_of([an_event()], offset=10, partition=1))
        sink.age_events()
        settle, as_of = dt.timedelta(minutes=1), sink.audit.now()

        def figures(p0, p1=(11, 11)):
            comparisons = sink.compare_tiers(settle=settle, acknowledged=Acknowledged.of_topic(TOPIC, as_of, {0: p0, 1: p1}))
            assert len({(found.drift, found.late, found.in_hand) for found in comparisons.values()}) == 1
            found = comparisons[Tier.PROCEDURE]
            return found.drift, found.late, found.in_hand

        assert figures((15, 15)) == (6, 0, 0)
        assert figures((10, 15)) == (1, 5, 5)
        assert figures((12, 15)) == (3, 3, 3)
        assert figures((0, 15), (0, 99)) == (0, 6, 6)
        assert figures((10, 13)) == (3, 3, 3)  # offsets beyond the end belong to an earlier topic, so their age decides
        sink.recount([TODAY])
        assert figures((12, 15)) == (0, 0, 3)
        sink.write(Tier.DAY, ("H17", TODAY, ""), Counts(events=9), MORNING, 9)
        comparisons = sink.compare_tiers(
            settle=settle, acknowledged=Acknowledged.of_topic(TOPIC, as_of, {0: (0, 99), 1: (0, 99)})
        )
        assert {tier: found.drift for tier, found in comparisons.items()} == NO_DRIFT | {Tier.DAY: 3}

    @pytest.mark.parametrize("reads", [(0, 3), pytest.param((1, 2, 4), marks=pytest.mark.long)], ids=str)
    def test_what_is_in_hand_of_several_topics(self, sink, reads):
        """Each partition of each topic has a committed offset of its own; what is known of one says nothing of another."""
        settle, as_of = dt.timedelta(minutes=1), sink.audit.now()
        for topic in ("portal.G01", "portal.H17"):
            for partition in (0, 1):
                rows = rows_of([an_event() for _ in range(2)], topic=topic, partition=partition)
                sink.store.insert_events(rows)
        sink.age_events()
        parts = [("portal.H17", 0), ("portal.H17", 1), ("portal.G01", 0), ("portal.G01", 1), ("portal.H30", 7)]
        for read in reads:
            known = Acknowledged(as_of, {part: (2 if number < read else 0, 2) for number, part in enumerate(parts)})
            assert sink.drifts(settle=settle, acknowledged=known) == dict.fromkeys(Tier, 2 * read)
        known = Acknowledged(as_of, {("portal.H17", 0): (0, 2), ("portal.H30", 1): (0, 2)})  # the others are due by their age
        assert sink.drifts(settle=settle, acknowledged=known) == dict.fromkeys(Tier, 6)

    @pytest.mark.long
    def test_events_that_kafka_says_nothing_of_are_judged_by_their_age(self, sink):
        """Of other topics and partitions nothing is known: their events are due when the settling time is over."""
        settle, as_of = dt.timedelta(minutes=1), sink.audit.now()
        known = Acknowledged.of_topic(TOPIC, as_of, {0: (0, 5)})
        assert sink.drifts(settle=settle, acknowledged=known) == NO_DRIFT
        sink.store.insert_events(rows_of([an_event()], topic="another"))
        sink.store.insert_events(rows_of([an_event()], partition=7))
        assert sink.drifts(settle=settle, acknowledged=known) == NO_DRIFT
        sink.age_events()
        assert sink.drifts(settle=settle, acknowledged=known) == dict.fromkeys(Tier, 2)
        assert sink.drifts(settle=settle, acknowledged=Acknowledged.of_topic(TOPIC, as_of, {})) == dict.fromkeys(Tier, 2)

    @pytest.mark.long
    def test_what_was_stored_after_kafka_was_asked_is_in_hand(self, sink):
        """An event that is younger than the answer of Kafka is not due, whatever its position and the settling time say."""
        as_of = sink.audit.now() - dt.timedelta(milliseconds=1)
        sink.store.insert_events(rows_of([an_event()], topic="another"))
        sink.store.insert_events(rows_of([an_event()]))
        known = Acknowledged.of_topic(TOPIC, as_of, {0: (5, 5)})
        assert sink.drifts(settle=dt.timedelta(milliseconds=1), acknowledged=known) == NO_DRIFT
        sink.age_events()
        assert sink.drifts(settle=dt.timedelta(milliseconds=1), acknowledged=known) == dict.fromkeys(Tier, 2)

    @pytest.mark.long
    def test_the_newest_time_of_a_late_tally(self, sink):
        """A tally whose newest event lies before one that is in hand is late by one event, not wrong."""
        first, second = an_event(), an_event(occurred_at=MORNING + dt.timedelta(seconds=1))
        sink.store.insert_events(rows_of([first, second]))
        sink.write(Tier.DAY, ("H17", TODAY, ""), counts_of([first, second]), MORNING, 2)
        for committed, drift, late in ((1, 0, 1), (2, 1, 0)):
            known = Acknowledged.of_topic(TOPIC, sink.audit.now(), {0: (committed, 2)})
            found = sink.compare_tiers(settle=MINUTE, acknowledged=known)[Tier.DAY]
            assert (found.drift, found.late) == (drift, late)

    @pytest.mark.long
    def test_a_time_before_that_of_a_due_event(self, sink):
        """The newest event's time may be any from the newest due event's to the newest of all, and no other."""
        settle = dt.timedelta(minutes=30)
        first, second, third = (an_event(occurred_at=MORNING + number * dt.timedelta(seconds=1)) for number in range(3))
        sink.store_and_recount([first, second])
        sink.age_events()
        sink.store.insert_events(rows_of([third]))
        for event, drift in ((first, 1), (second, 0), (third, 0)):
            sink.clear(Tier.DAY)
            sink.write(Tier.DAY, ("H17", TODAY, ""), counts_of([first, second]), event.occurred_at, 2)
            assert sink.drifts(settle=settle)[Tier.DAY] == drift

    def test_totals_are_exact_beyond_the_limit(self, sink):
        """Differences beyond the limit of the list are counted, too."""
        sink.store.insert_events(rows_of([an_event(occurred_at=MORNING + number * MINUTE) for number in range(30)]))
        comparison = sink.compare_tiers(limit=4)[Tier.MINUTE]
        assert (comparison.buckets, comparison.differing, comparison.drift, len(comparison.differences)) == (30, 30, 30, 4)

    def test_storage_and_core_measure_alike(self, sink):
        """The drift of every listed difference is what the audit's own rule computes from its counts."""
        events = some_events()
        sink.store_and_recount(events)
        for number, counts in enumerate((Counts(events=3, refused=1), Counts(events=4, settled=9), Counts(submitted=2))):
            sink.write(Tier.MINUTE, ("H17", MORNING + number * MINUTE, ""), counts, MORNING + number * MINUTE, EPOCH + 1)
        found = sink.compare_tiers()[Tier.MINUTE].differences
        assert len(found) == 3
        for difference in found:
            assert difference.drift == drift_of(*map(fields_of, (difference.due, difference.stored, difference.tallied)))

    def test_a_repair_leaves_right_tallies_alone(self, sink):
        """Raising the epoch, recounting and clearing where nothing is wrong changes no figure."""
        events = some_events()
        sink.store_and_recount(events)
        before = sink.reader.counts_of_days(TODAY, TODAY), sink.reader.last_events(MORNING + DAY)
        sink.repair_day()
        assert (sink.reader.counts_of_days(TODAY, TODAY), sink.reader.last_events(MORNING + DAY)) == before
        assert sink.drifts() == NO_DRIFT

    def test_epochs_ascend(self, sink):
        """Each epoch is higher than every earlier one and than that of every tally."""
        first = sink.repair.raise_epoch("test")
        assert sink.repair.raise_epoch("test") == first + 1
        sink.write(Tier.PROCEDURE, ("H17", TODAY, "1"), Counts(), MORNING, 50 * EPOCH + 3)
        assert sink.repair.raise_epoch("test") == 51

    # ---- repeats that contradict each other

    def test_ids_in_several_dossiers(self, sink):
        """An id that is used in two dossiers is reported with its events; repeats and other statuses in one dossier are not."""
        one, two = uuid.UUID(int=2**100), uuid.UUID(int=2**101)
        events = [an_event(event_id=one), an_event(event_id=one, agency="G01"), an_event()]
        events += [an_event(event_id=two), an_event(event_id=two, occurred_at=MORNING + 40 * DAY)]
        sink.store.insert_events(rows_of(events))
        same = dataclasses.replace(events[2], occurred_at=MORNING + MINUTE, status=10)
        sink.store.insert_events(rows_of([events[2], events[0], same]))
        found = self._shares(sink.audit.reused_event_ids, None)
        assert found.count == 2
        assert {name: [(s.agency, s.occurred_at, s.dossier_code) for s in refs] for name, refs in found.examples.items()} == {
            str(one): [("G01", MORNING, events[1].dossier_code), ("H17", MORNING, events[0].dossier_code)],
            str(two): [("H17", MORNING, events[3].dossier_code), ("H17", MORNING + 40 * DAY, events[4].dossier_code)],
        }
        assert set(self._shares(sink.audit.reused_event_ids, (TODAY, TODAY + DAY)).examples) == {str(one)}
        assert sink.audit.reused_event_ids(None, ALL, limit=1).count == 2
        assert len(sink.audit.reused_event_ids(None, ALL, limit=1).examples) == 1

    def test_contradicting_contents(self, sink):
        """One event stored with two contents is reported on its day; a true repeat is not."""
        event = an_event()
        sink.store.insert_events(rows_of([event, an_event()]))
        sink.store.insert_events(rows_of([event], offset=9))
        assert sink.audit.contradictions(TODAY, limit=5).count == 0
        sink.store.insert_events(rows_of([dataclasses.replace(event, service_level="mot_phan")]))
        found = sink.audit.contradictions(TODAY, limit=5)
        assert (found.count, set(found.examples)) == (1, {str(event.event_id)})
        assert sink.audit.contradictions(TODAY + DAY, limit=5).count == 0

    @staticmethod
    def _shares(search, days) -> Repeats:
        """A search in three shares, put together: the same as in one."""
        parts = [search(days, HashShard(number, 3), limit=100) for number in range(3)]
        joined = Repeats(sum(part.count for part in parts), {k: v for part in parts for k, v in part.examples.items()})
        assert joined == search(days, ALL, limit=100)
        return joined

    # ---- positions

    def test_the_newest_positions(self, sink):
        """The highest offset of each partition is taken from events and dead letters of that topic."""
        assert sink.audit.newest_positions(TOPIC) == {}
        sink.store.insert_events(rows_of([an_event(), an_event()], offset=10))
        sink.store.insert_events(rows_of([an_event()], offset=3, partition=1))
        letters = [DeadLetter(TOPIC, 1, 40, None, b"", "empty", ""), DeadLetter("other", 0, 99, None, b"", "empty", "")]
        sink.store.insert_dead_letters(letters)
        assert sink.audit.newest_positions(TOPIC) == {0: 11, 1: 40}

    def test_unread_offsets_are_remembered(self, sink):
        """Unread ranges are returned once each, however often they were written, and only those of the given topic."""
        one = UnreadRange(TOPIC, 1, 7, 2**40, "workers", UnreadCause.DELETED)
        two = UnreadRange(TOPIC, 0, 0, 1, "others", UnreadCause.TRUNCATED)
        other = UnreadRange("other", 0, 5, 9, "workers", UnreadCause.RECREATED)
        assert sink.audit.unread(TOPIC) == []
        sink.store.insert_unread([one])
        sink.store.insert_unread([two, other])
        sink.store.insert_unread([one])
        assert sink.audit.unread(TOPIC) == [two, one]

    def test_offsets_kept_within_ranges(self, sink):
        """The number of offsets in a range that are stored as an event or a dead letter, its end not included."""
        sink.store.insert_events(rows_of([an_event(), an_event()], offset=10))
        sink.store.insert_events(rows_of([an_event()], offset=10, partition=1))
        sink.store.insert_dead_letters([DeadLetter(TOPIC, 0, 14, None, b"", "empty", "")])
        ranges = [(0, 10, 15), (0, 11, 14), (0, 0, 10), (1, 0, 100), (2, 0, 100)]
        assert list(sink.audit.kept_within(TOPIC, ranges)) == [3, 1, 0, 1, 0]
        assert list(sink.audit.kept_within("other", [(0, 0, 100)])) == [0]
        assert list(sink.audit.kept_within(TOPIC, [])) == []
        many = [(0, first, first + 1) for first in range(250)]  # more than one statement may name
        assert sum(sink.audit.kept_within(TOPIC, many)) == 3

    def test_messages_that_are_kept_and_that_are_not(self, sink):
        """A message is kept when its event is stored from any position, or when its position is stored."""
        stored, elsewhere, never = an_event(), an_event(occurred_at=MORNING - DAY), an_event()
        sink.store.insert_events(rows_of([stored], offset=0))
        sink.store.insert_events(rows_of([elsewhere], offset=70, partition=2))
        sink.store.insert_dead_letters([DeadLetter(TOPIC, 0, 3, None, b"", "empty", "")])

        def missing(*lines):
            schema = pa.schema(MESSAGE_FIELDS)
            rows = [
                (TOPIC, 0, offset, *((event.agency, event.occurred_at, str(event.event_id)) if event else (None, None, None)))
                for offset, event in lines
            ]
            return sink.audit.missing(pa.table([list(column) for column in zip(*rows, strict=True)], schema=schema))

        assert missing((0, stored), (1, elsewhere), (3, None)) == []
        assert missing((0, None), (3, never)) == []  # rejected today, but its position was stored
        assert missing((0, stored), (1, never), (2, None), (3, None)) == [(0, 1), (0, 2)]
        other = dataclasses.replace(stored, occurred_at=MORNING + MINUTE)
        assert missing((5, other)) == [(0, 5)]
        assert sink.audit.missing(pa.table({"topic": pa.array([], pa.string())})) == []
