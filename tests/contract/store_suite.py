"""The contract of a destination. ``test_store.py`` runs this suite on each implementation."""

from __future__ import annotations

import datetime as dt
import itertools
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pytest

from domain.agencies import AgencyRegistry
from domain.events import Channel, ReturnedBy, ServiceLevel, Status
from domain.periods import FIRST_DAY, LAST_DAY, LAST_INSTANT, Period, civil_day, day_start
from domain.tiers import COUNTS
from pipeline.decode.validator import EventValidator
from sinks.contract.dead_letters import DeadLetter
from sinks.contract.events import EventStore
from sinks.contract.tallies import Counts, Days, Span, TallyReader, TallyTotals
from sinks.errors import RefusedRows
from tests.factories import LATEST, MORNING, TOPIC, an_event, rows_of

MINUTE, HOUR, DAY = dt.timedelta(minutes=1), dt.timedelta(hours=1), dt.timedelta(days=1)
EVER = Span(MORNING - 400 * DAY, MORNING + 400 * DAY)
TODAY = civil_day(MORNING)


#: First and last day of a period, and how many of three events it holds: on the first day, in 2024, and on the last day.
ANY_DAYS = [
    (dt.date.min, dt.date.max, 3),
    (dt.date(1900, 1, 1), dt.date(2299, 12, 31), 3),
    (dt.date(1970, 1, 1), dt.date(2149, 6, 6), 3),
    (dt.date.min, dt.date(1969, 12, 31), 0),
    (dt.date.min, FIRST_DAY - DAY, 0),
    (dt.date.min, FIRST_DAY, 1),
    (dt.date(1899, 12, 31), dt.date(1899, 12, 31), 0),
    (LAST_DAY, dt.date(2149, 6, 7), 1),
    (dt.date(2106, 2, 8), dt.date.max, 0),
    (dt.date(2149, 6, 7), dt.date(2149, 6, 7), 0),
    (dt.date(2150, 1, 1), dt.date(2299, 12, 31), 0),
    (dt.date.max, dt.date.max, 0),
]


@dataclass
class StoreUnderTest:
    """A destination under test, empty at the start, and access to data for which the contract has no method."""

    store: EventStore
    reader: TallyReader
    #: Every dead letter kept, by (topic, partition, offset), as it was given.
    letters: Callable[[], Mapping[tuple[str, int, int], DeadLetter]]
    #: Counts by (agency, civil day, procedure).
    procedures: Callable[[], Mapping[tuple[str, dt.date, str], Counts]]
    #: Write the minute row of a recount that saw this many events: (agency, minute, events).
    late_recount: Callable[[str, dt.datetime, int], None]

    def recount(self, events) -> None:
        """Recount every tally of ``events``, in the order of use."""
        for event in events:
            minute = event.occurred_at.replace(second=0, microsecond=0)
            self.store.recount_minutes(Span(minute, minute + MINUTE))
        days = Days(tuple(sorted({civil_day(event.occurred_at) for event in events})))
        self.store.roll_up_days(days)
        self.store.recount_procedures(days)

    def store_and_recount(self, events) -> None:
        """Store and recount."""
        self.store.insert_events(rows_of(events))
        self.recount(events)

    def tallied(self) -> int:
        """Events counted in the minute tallies."""
        return sum(counts.events for counts in self.reader.counts_between(EVER.start, EVER.end).values())


class StoreSuite:
    """Run over a fixture ``sink``."""

    def test_the_same_events_again_change_nothing(self, sink):
        """Stored twice, in another order and at other offsets, an event counts once in every tier."""
        events = [an_event(occurred_at=MORNING + number * dt.timedelta(seconds=7)) for number in range(20)]
        sink.store_and_recount(events)
        before = sink.reader.counts_of_days(TODAY, TODAY)
        sink.store.insert_events(rows_of(events[::-1], offset=900, partition=3))
        sink.store.insert_events(rows_of(events[5:9]))
        sink.recount(events)
        assert sink.tallied() == 20
        assert sink.reader.counts_of_days(TODAY, TODAY) == before
        assert before["H17"].events == 20
        assert {key[2]: counts.events for key, counts in sink.procedures().items()} == {"1.001612": 20}
        assert sink.reader.totals() == TallyTotals(20, 20)

    def test_events_at_both_ends_of_what_the_tables_hold(self, sink):
        """The first and the last millisecond that the validator accepts are counted in their own minute, day and procedure."""
        ends = {FIRST_DAY: day_start(FIRST_DAY), LAST_DAY: LAST_INSTANT}
        events = [an_event(occurred_at=at) for at in ends.values()]
        sink.store_and_recount([*events, an_event()])
        assert {key[1] for key in sink.procedures()} == {FIRST_DAY, TODAY, LAST_DAY}
        for day in (FIRST_DAY, LAST_DAY):
            assert sink.reader.counts_of_days(day, day)["H17"].events == 1
            assert sink.reader.counts_between(*Period(day, day).instants())["H17"].events == 1
            assert sink.reader.last_events(ends[day] + dt.timedelta(hours=1))["H17"] == ends[day]
        assert sink.reader.totals() == TallyTotals(3, 3)

    def test_a_period_may_have_any_days(self, sink):
        """Days outside of the range of the tables have no events; they neither fail nor turn into other days."""
        sink.store_and_recount([an_event(occurred_at=at) for at in (day_start(FIRST_DAY), MORNING, LAST_INSTANT)])
        for first, last, count in ANY_DAYS:
            assert sink.reader.counts_of_days(first, last).get("H17", Counts()).events == count, (first, last)
            assert len(b"".join(sink.reader.events(first, last, None)).splitlines()) == count, (first, last)

    def test_active_days(self, sink):
        """The days of a period on which an agency has an event, ascending; no other agency and no other day."""
        events = [an_event(occurred_at=MORNING + number * dt.timedelta(days=1)) for number in (2, 0, 5)]
        sink.store_and_recount([*events, an_event(agency="G01")])
        days = [TODAY + dt.timedelta(days=number) for number in (0, 2, 5)]
        found = sink.reader.active_days(TODAY, TODAY + dt.timedelta(days=4))
        shown = {
            agency: [TODAY + dt.timedelta(days=int(number)) for number in active.nonzero()[0]] for agency, active in found.items()
        }
        assert shown == {"H17": days[:2], "G01": [TODAY]}
        assert {len(active) for active in found.values()} == {5}
        assert sink.reader.active_days(TODAY - dt.timedelta(days=9), TODAY - dt.timedelta(days=1)) == {}
        long_ago = dt.date(1900, 1, 1)  # before the first day of the tables
        assert list(sink.reader.active_days(long_ago, TODAY)["G01"].nonzero()[0]) == [(TODAY - long_ago).days]

    def test_counts_of_procedures(self, sink):
        """Counts by procedure of the agencies that are asked for, summed over them and over the days."""
        events = [
            an_event(procedure_code="1.000001"),
            an_event(procedure_code="1.000001", agency="H18", occurred_at=MORNING + dt.timedelta(days=1)),
            an_event(procedure_code="2.000002", service_level="mot_phan"),
            an_event(procedure_code="2.000002", agency="G01"),
            an_event(procedure_code="3.000003", occurred_at=MORNING + dt.timedelta(days=9)),
        ]
        sink.store_and_recount(events)
        found = sink.reader.counts_of_procedures(["H17", "H18"], TODAY, TODAY + dt.timedelta(days=1))
        counted = {procedure: (counts.settled_full, counts.settled) for procedure, counts in found.items()}
        assert counted == {"1.000001": (2, 2), "2.000002": (0, 1)}
        assert sink.reader.counts_of_procedures([], TODAY, TODAY) == {}

    def test_services_with_dossiers(self, sink):
        """The procedures of each agency with a dossier submitted in the period, and with one submitted online."""
        events = [
            an_event(procedure_code="1.000001", status=1),
            an_event(procedure_code="1.000001", status=1),
            an_event(procedure_code="2.000002", status=2, channel=1),
            an_event(procedure_code="1.000001", status=2, channel=3, agency="G01"),
            an_event(procedure_code="3.000003", status=1, occurred_at=MORNING + dt.timedelta(days=1)),
        ]
        sink.store_and_recount(events)
        found = sink.reader.services_with_dossiers(TODAY, TODAY)
        assert found.submitted == {("H17", "1.000001"), ("H17", "2.000002"), ("G01", "1.000001")}
        assert found.submitted_online == {("H17", "1.000001")}

    def test_a_clock_may_tell_any_time(self, sink):
        """Before every event there is none yet; after all of them the newest one is returned, at any time."""
        sink.store_and_recount([an_event(), an_event(occurred_at=LAST_INSTANT)])
        for text in ("0001-01-01T00:00Z", "1899-12-31T00:00Z", "1970-01-01T12:00Z", "1975-12-31T17:00Z"):
            now = dt.datetime.fromisoformat(text)
            assert sink.reader.last_events(now) == {}, text
            assert sink.reader.counts_between(now, now + MINUTE) == {}, text
        for text in ("2106-02-08T00:00Z", "2149-06-08T00:00Z", "2299-12-31T00:00Z", "2300-01-01T00:00Z", "9999-12-31T23:59:59Z"):
            now = dt.datetime.fromisoformat(text)
            assert sink.reader.last_events(now) == {"H17": LAST_INSTANT}, text
            assert sink.reader.counts_between(MORNING, now)["H17"].events == 2, text
            assert sink.reader.counts_between(now - MINUTE, now) == {}, text

    def test_repeats_within_one_insert(self, sink):
        """The same event many times in one insert counts once."""
        event = an_event()
        sink.store_and_recount([event] * 50)
        assert sink.tallied() == 1

    def test_recounting_again_changes_nothing(self, sink):
        """A recount, a roll-up and a recount of procedures may be repeated any number of times."""
        events = [an_event(), an_event(status=1)]
        sink.store_and_recount(events)
        before = (
            sink.reader.counts_between(EVER.start, EVER.end),
            sink.reader.counts_of_days(TODAY, TODAY),
            sink.procedures(),
        )
        for _ in range(3):
            sink.recount(events)
        after = (sink.reader.counts_between(EVER.start, EVER.end), sink.reader.counts_of_days(TODAY, TODAY), sink.procedures())
        assert after == before

    def test_every_combination_of_codes_is_counted_as_the_indicators_say(self, sink):
        """Each count follows its rule, for every status, channel, level and way of return."""
        combinations = itertools.product(Status, Channel, ServiceLevel, ("", *ReturnedBy))
        # Each has its own (agency, minute), so that wrong counts cannot cancel each other out.
        events = [
            an_event(
                status=int(status),
                channel=int(channel),
                service_level=str(level),
                returned_by=str(returned),
                agency=f"H{number % 60:02d}",
                occurred_at=MORNING + number // 60 * MINUTE,
            )
            for number, (status, channel, level, returned) in enumerate(combinations)
        ]
        assert len(events) == 360
        sink.store.insert_events(rows_of(events))
        sink.store.recount_minutes(Span(MORNING, MORNING + 6 * MINUTE))
        for number in range(6):
            found = sink.reader.counts_between(MORNING + number * MINUTE, MORNING + (number + 1) * MINUTE)
            assert found == {
                event.agency: Counts(events=1, **{name: int(rule(event)) for name, rule in COUNTS.items()})
                for event in events[60 * number : 60 * number + 60]
            }

    def test_all_tiers_count_alike(self, sink):
        """Minutes, days and procedures have the same counts of the same events."""
        events = [
            an_event(status=int(status), channel=int(channel), agency=agency)
            for status, channel, agency in itertools.product(Status, Channel, ("H17", "G01"))
        ]
        sink.store_and_recount(events)
        minutes = sink.reader.counts_between(MORNING, MORNING + MINUTE)
        assert minutes == sink.reader.counts_of_days(TODAY, TODAY)
        assert minutes == {key[0]: counts for key, counts in sink.procedures().items()}
        assert minutes["G01"] == Counts(events=30, **{n: sum(map(rule, events[1::2])) for n, rule in COUNTS.items()})

    def test_nothing_is_tallied_before_it_is_recounted(self, sink):
        """Storing alone changes no tally: only a recount does, and days only after the minutes."""
        event = an_event()
        sink.store.insert_events(rows_of([event]))
        sink.store.roll_up_days(Days((TODAY,)))
        assert sink.tallied() == 0
        assert sink.reader.counts_of_days(TODAY, TODAY) == {}
        sink.store.recount_minutes(Span(MORNING, MORNING + MINUTE))
        assert sink.tallied() == 1
        assert sink.reader.counts_of_days(TODAY, TODAY) == {}
        sink.store.roll_up_days(Days((TODAY,)))
        assert sink.reader.counts_of_days(TODAY, TODAY)["H17"].events == 1

    def test_a_span_ends_before_its_end(self, sink):
        """A span recounts its first minute and not the minute of its end; other minutes stay unchanged."""
        inside, at_end = an_event(occurred_at=MORNING), an_event(occurred_at=MORNING + MINUTE)
        before = an_event(occurred_at=MORNING - dt.timedelta(milliseconds=1))
        sink.store.insert_events(rows_of([inside, at_end, before]))
        sink.store.recount_minutes(Span(MORNING, MORNING + MINUTE))
        assert sink.tallied() == 1
        assert set(sink.reader.counts_between(MORNING, MORNING + MINUTE)) == {"H17"}
        sink.store.recount_minutes(Span(MORNING - MINUTE, MORNING + 2 * MINUTE))
        assert sink.tallied() == 3

    def test_the_last_millisecond_of_a_minute(self, sink):
        """08:30:59.999 belongs to 08:30, 08:31:00.000 does not."""
        last = an_event(occurred_at=MORNING + MINUTE - dt.timedelta(milliseconds=1))
        sink.store_and_recount([last, an_event(occurred_at=MORNING + MINUTE)])
        assert sink.reader.counts_between(MORNING, MORNING + MINUTE)["H17"].events == 1

    def test_a_span_of_some_agencies_leaves_the_others(self, sink):
        """A recount of some agencies changes no other, in any tier."""
        events = [an_event(agency=agency) for agency in ("H17", "H18", "G01")]
        sink.store.insert_events(rows_of(events))
        listed = ("G01", "H17")
        sink.store.recount_minutes(Span(MORNING, MORNING + MINUTE, listed))
        assert set(sink.reader.counts_between(MORNING, MORNING + MINUTE)) == {"G01", "H17"}
        sink.store.recount_minutes(Span(MORNING, MORNING + MINUTE))
        sink.store.roll_up_days(Days((TODAY,), ("H18",)))
        assert set(sink.reader.counts_of_days(TODAY, TODAY)) == {"H18"}
        sink.store.recount_procedures(Days((TODAY,), ("H17",)))
        assert {key[0] for key in sink.procedures()} == {"H17"}

    @pytest.mark.parametrize("order", list(itertools.permutations((1, 2, 3))), ids=str)
    def test_the_recount_that_saw_more_wins(self, sink, order):
        """Of several recounts of one minute the one that counted most events wins, in any order of writing."""
        sink.store.insert_events(rows_of([an_event()]))
        for seen in order:
            sink.late_recount("H17", MORNING, seen)
        assert sink.tallied() == 3

    def test_a_late_recount_is_put_right_by_the_next(self, sink):
        """A slow recount that counted fewer events neither wins nor makes the day wrong."""
        events = [an_event(), an_event(), an_event()]
        sink.store_and_recount(events)
        sink.late_recount("H17", MORNING, 2)
        sink.store.roll_up_days(Days((TODAY,)))
        assert sink.tallied() == 3
        assert sink.reader.counts_of_days(TODAY, TODAY)["H17"].events == 3

    def test_civil_days_begin_at_seventeen_utc(self, sink):
        """An event at 16:59:59.999 UTC falls on the day before, one at 17:00 on the new day, in days and procedures."""
        midnight = dt.datetime(2024, 2, 29, 17, tzinfo=dt.UTC)
        late = an_event(occurred_at=midnight - dt.timedelta(milliseconds=1))
        early = an_event(occurred_at=midnight, status=1)
        sink.store_and_recount([late, early])
        leap, first = dt.date(2024, 2, 29), dt.date(2024, 3, 1)
        assert sink.reader.counts_of_days(leap, leap)["H17"].settled == 1
        assert sink.reader.counts_of_days(leap, leap)["H17"].events == 1
        assert sink.reader.counts_of_days(first, first)["H17"].submitted_online == 1
        assert {key[1]: counts.events for key, counts in sink.procedures().items()} == {leap: 1, first: 1}
        assert sink.reader.counts_of_days(leap, first)["H17"].events == 2
        assert day_start(first) == midnight

    def test_counts_by_step_are_those_of_the_minutes(self, sink):
        """Steps begin at the first midnight; each holds the minutes within it, and the steps of a day sum to the day."""
        midnight = day_start(TODAY)
        at = [0, 59, 60, 179, 180, 1439]  # minutes after midnight
        events = [an_event(occurred_at=midnight + number * MINUTE) for number in at]
        sink.store_and_recount([*events, an_event(occurred_at=midnight - MINUTE), an_event(occurred_at=midnight + DAY)])
        for minutes in (60, 180, 1440):
            steps = sink.reader.counts_by_step(TODAY, TODAY, minutes * 60)
            assert set(steps) == {("H17", number // minutes) for number in at}
            assert sum(counts.settled for counts in steps.values()) == 6
        assert sink.reader.counts_by_step(TODAY, TODAY, 86_400) == {("H17", 0): sink.reader.counts_of_days(TODAY, TODAY)["H17"]}
        assert sink.reader.counts_by_step(TODAY - DAY, TODAY, 86_400)["H17", 0].events == 1
        assert sink.reader.counts_by_step(TODAY + 9 * DAY, TODAY + 9 * DAY, 60) == {}

    def test_days_apart_are_rolled_up_and_no_others(self, sink):
        """A roll-up of some days, adjacent or not, changes no other day."""
        events = [an_event(occurred_at=MORNING + number * DAY) for number in range(6)]
        sink.store.insert_events(rows_of(events))
        sink.store.recount_minutes(EVER)
        chosen = tuple(TODAY + number * DAY for number in (0, 1, 4))
        sink.store.roll_up_days(Days(chosen))
        sink.store.recount_procedures(Days(chosen))
        assert [bool(sink.reader.counts_of_days(day, day)) for day in (TODAY + n * DAY for n in range(6))] == [
            *(True, True, False),
            *(False, True, False),
        ]
        assert {key[1] for key in sink.procedures()} == set(chosen)

    @pytest.mark.long
    def test_a_backfill_of_ten_years(self, sink):
        """One insert may touch more than 100 months; one recount and one roll-up take all of it."""
        events = [
            an_event(occurred_at=dt.datetime(2016 + number // 12, 1 + number % 12, 15, tzinfo=dt.UTC)) for number in range(117)
        ]
        sink.store.insert_events(rows_of(events))
        sink.store.recount_minutes(Span(events[0].occurred_at, events[-1].occurred_at + MINUTE))
        days = Days(tuple(civil_day(event.occurred_at) for event in events))
        sink.store.roll_up_days(days)
        sink.store.recount_procedures(days)
        assert sink.reader.counts_of_days(dt.date(2016, 1, 1), dt.date(2025, 12, 31))["H17"].events == 117
        assert len(sink.procedures()) == 117
        assert sink.reader.totals() == TallyTotals(117, 117)

    def test_the_same_id_of_another_agency_is_another_event(self, sink):
        """Agency, time and id together name an event; none of two with one id is lost."""
        one = uuid.UUID(int=7)
        sink.store_and_recount(
            [an_event(event_id=one), an_event(event_id=one, agency="H18"), an_event(event_id=one, occurred_at=MORNING + HOUR)]
        )
        assert sink.tallied() == 3

    def test_rows_that_can_never_be_stored(self, sink):
        """A malformed id is refused as such, and nothing of the next insert suffers."""
        rows = rows_of([an_event(), an_event()])
        at = rows.column_names.index("event_id")
        broken = rows.set_column(at, "event_id", [["00000000-0000-0000-0000-000000000001", "not-a-uuid"]])
        with pytest.raises(RefusedRows):
            sink.store.insert_events(broken)
        sink.store_and_recount([an_event(agency="G22")])
        assert sink.reader.counts_of_days(TODAY, TODAY)["G22"].events == 1

    # ---- dead letters

    def test_dead_letters_keep_every_byte(self, sink):
        """Key and value are returned unchanged: NUL, invalid UTF-8, no bytes; a tombstone differs from an empty value."""
        values = [b"\x00\x01", b"\xff\xfe", b"", None, "hồ sơ".encode(), bytes(range(256)) * 10]
        letters = [
            DeadLetter(TOPIC, 1, number, key, value, "not_json", "không đọc được")
            for number, (key, value) in enumerate(itertools.product((b"H17-1", b"\xff\x00"), values))
        ]
        sink.store.insert_dead_letters(letters)
        kept = sink.letters()
        assert {at: (letter.key, letter.value) for at, letter in kept.items()} == {
            (TOPIC, 1, letter.offset): (letter.key, letter.value) for letter in letters
        }
        assert {letter.error for letter in kept.values()} == {"không đọc được"}

    def test_dead_letters_count_once(self, sink):
        """Redelivered dead letters are counted once each, by reason; (topic, partition, offset) identifies them."""
        letters = [DeadLetter(TOPIC, n % 2, n // 2, b"", b"{", ("not_json", "empty")[n % 2], "") for n in range(10)]
        for _ in range(3):
            sink.store.insert_dead_letters(letters)
        sink.store.insert_dead_letters([DeadLetter("other", 0, 0, None, b"", "empty", "")])
        assert sink.reader.dead_letters_by_reason() == {"not_json": 5, "empty": 6}
        assert len(sink.letters()) == 11

    def test_no_dead_letters(self, sink):
        """Without dead letters the counts are empty, which is not an error."""
        assert sink.reader.dead_letters_by_reason() == {}

    # ---- reading

    def test_an_empty_destination(self, sink):
        """Before the first event every figure is empty or zero."""
        assert sink.reader.counts_between(EVER.start, EVER.end) == {}
        assert sink.reader.counts_of_days(TODAY, TODAY) == {}
        assert sink.reader.last_events(MORNING) == {}
        assert sink.reader.totals() == TallyTotals(0, 0)
        sink.reader.ping()

    def test_counts_between_includes_its_start_only(self, sink):
        """The first minute is included, the minute of the end is not."""
        events = [an_event(occurred_at=MORNING + number * MINUTE) for number in range(4)]
        sink.store_and_recount(events)
        assert sink.reader.counts_between(MORNING + MINUTE, MORNING + 3 * MINUTE)["H17"].events == 2

    def test_counts_of_days_include_both_ends(self, sink):
        """A period of days includes its first and its last day, across the turn of a year."""
        period = Period(dt.date(2023, 12, 31), dt.date(2024, 1, 1))
        events = [an_event(occurred_at=day_start(dt.date(2023, 12, 30)) + number * DAY) for number in range(4)]
        sink.store_and_recount(events)
        assert sink.reader.counts_of_days(period.start, period.end)["H17"].events == 2

    def test_counts_by_day(self, sink):
        """The counts of each agency and day are those of the newest tally; a day without events is not there."""
        events = [an_event(occurred_at=MORNING), an_event(occurred_at=MORNING, service_level="mot_phan")]
        sink.store_and_recount([*events, an_event(agency="H18", occurred_at=MORNING + DAY)])
        found = sink.reader.counts_by_day(TODAY, TODAY + DAY)
        assert set(found) == {("H17", TODAY), ("H18", TODAY + DAY)}
        assert (found["H17", TODAY].settled, found["H17", TODAY].settled_full) == (2, 1)
        assert set(sink.reader.counts_by_day(TODAY, TODAY)) == {("H17", TODAY)}

    def test_events_by_day(self, sink):
        """Every agency and civil day with events has their distinct number; the day ends at midnight of Viet Nam."""
        midnight = day_start(TODAY + DAY)
        events = [an_event(), an_event(), an_event(occurred_at=midnight), an_event(agency="H18", occurred_at=midnight)]
        assert sink.reader.events_by_day() == {}
        sink.store_and_recount([*events, *events])
        assert sink.reader.events_by_day() == {("H17", TODAY): 2, ("H17", TODAY + DAY): 1, ("H18", TODAY + DAY): 1}

    @pytest.mark.parametrize(("first", "last"), [("1900-01-01", "2300-12-31"), ("0001-01-01", "9999-12-31")])
    def test_periods_beyond_what_can_be_stored(self, sink, first, last):
        """A period that exceeds the range of dates of a store finds all events."""
        sink.store_and_recount([an_event()])
        found = sink.reader.counts_of_days(dt.date.fromisoformat(first), dt.date.fromisoformat(last))
        assert found["H17"].events == 1
        assert sink.reader.counts_of_days(dt.date(2200, 1, 1), dt.date(2300, 1, 1)) == {}
        assert sink.reader.counts_of_days(dt.date(1900, 1, 1), dt.date(1950, 1, 1)) == {}

    def test_last_events_to_the_millisecond(self, sink):
        """The newest event up to an instant, that instant included, the next millisecond not; the future is ignored."""
        at = MORNING + dt.timedelta(seconds=30, milliseconds=500)
        yesterday = an_event(agency="H18", occurred_at=MORNING - DAY)
        this_morning = an_event(agency="G01", occurred_at=MORNING - HOUR)
        exactly = an_event(occurred_at=at)
        just_after = an_event(occurred_at=at + dt.timedelta(milliseconds=1))
        tomorrow = an_event(agency="G02", occurred_at=MORNING + DAY)
        also_tomorrow = an_event(agency="H18", occurred_at=MORNING + DAY)
        sink.store_and_recount([yesterday, this_morning, exactly, just_after, tomorrow, also_tomorrow])
        assert sink.reader.last_events(at) == {"H18": yesterday.occurred_at, "G01": this_morning.occurred_at, "H17": at}
        assert sink.reader.last_events(at + dt.timedelta(milliseconds=1))["H17"] == just_after.occurred_at
        assert "H17" not in sink.reader.last_events(at - dt.timedelta(milliseconds=1))
        assert sink.reader.last_events(MORNING + 2 * DAY)["H18"] == also_tomorrow.occurred_at

    def test_last_events_around_midnight(self, sink):
        """Just after local midnight the newest event is the one of the day before."""
        midnight = day_start(TODAY)
        event = an_event(occurred_at=midnight - dt.timedelta(milliseconds=1))
        sink.store_and_recount([event])
        assert sink.reader.last_events(midnight) == {"H17": event.occurred_at}
        assert sink.reader.last_events(event.occurred_at) == {"H17": event.occurred_at}
        assert sink.reader.last_events(midnight - dt.timedelta(milliseconds=2)) == {}

    def test_standing_says_what_is_late(self, sink):
        """Events that are not yet counted by minute and by day appear as late, month by month; never as counted twice."""
        first = [an_event(), an_event(occurred_at=MORNING + 40 * DAY)]
        sink.store.insert_events(rows_of(first))
        sink.store.insert_events(rows_of(first))
        self._await_totals(sink, TallyTotals(stored=2, tallied=0))
        sink.store.recount_minutes(Span(MORNING, MORNING + MINUTE))
        sink.recount(first)
        self._await_totals(sink, TallyTotals(2, 2))
        late = an_event(occurred_at=MORNING + 40 * DAY)
        sink.store.insert_events(rows_of([late]))
        self._await_totals(sink, TallyTotals(3, 2))
        sink.store.recount_minutes(Span(late.occurred_at, late.occurred_at + MINUTE))
        self._await_totals(sink, TallyTotals(3, 2))
        sink.store.roll_up_days(Days((civil_day(late.occurred_at),)))
        self._await_totals(sink, TallyTotals(3, 3))

    @pytest.mark.long
    def test_standing_hides_no_tier_that_counts_too_much(self, sink):
        """A minute tally that is too high appears as counted twice although the days are right, until the events arrive."""
        events = [an_event(), an_event()]
        sink.store_and_recount(events[:1])
        assert sink.reader.totals() == TallyTotals(1, 1)
        sink.late_recount("H17", MORNING, 3)
        self._await_totals(sink, TallyTotals(1, 3), ahead=True)
        sink.store_and_recount([*events, an_event()])
        self._await_totals(sink, TallyTotals(3, 3), ahead=True)

    def test_standing_shows_days_that_count_too_much(self, sink):
        """A day rolled up from minutes that are too high appears as counted twice, too."""
        sink.store_and_recount([an_event()])
        sink.late_recount("H17", MORNING, 3)
        sink.store.roll_up_days(Days((TODAY,)))
        sink.late_recount("H17", MORNING, 3)
        self._await_totals(sink, TallyTotals(1, 3), ahead=True)

    @staticmethod
    def _await_totals(sink, expected: TallyTotals, *, ahead: bool = False) -> None:
        """Poll until the answer is the expected one; it may be as old as a few times the duration of counting."""
        deadline = time.monotonic() + 60
        while (totals := sink.reader.totals()) != expected:
            assert ahead or totals.stored >= totals.tallied
            assert time.monotonic() < deadline, totals
            time.sleep(0.02)

    def test_arrivals_count_messages_once(self, sink):
        """Recently received messages are counted by distinct event and dead letter, and none when the span is over."""
        events = [an_event(), an_event(occurred_at=MORNING - 300 * DAY), an_event(agency="G01")]
        sink.store.insert_events(rows_of(events))
        sink.store.insert_events(rows_of(events[:1]))
        letter = DeadLetter(TOPIC, 0, 1, None, b"{", "not_json", "")
        sink.store.insert_dead_letters([letter])
        sink.store.insert_dead_letters([letter])
        arrivals = sink.reader.arrivals(HOUR)
        assert (arrivals.events, arrivals.dead_letters) == (3, 1)
        nothing = sink.reader.arrivals(dt.timedelta(0))
        assert (nothing.events, nothing.dead_letters) == (0, 0)

    def test_recent_dead_letters_by_agency(self, sink):
        """Each dead letter counts once, for the level-1 code that it names; what cannot be read, or names none, for none."""
        values = [
            b'{"agency_code": "000.00.12.H17"}',
            b'{"agency_code": "H17"}',
            b'{"agency_code": "G01"}',
            b"{",
            b"[]",
            None,
            b"\xff",
        ]
        values += [b'{"agency_code": "H17", "note": "' + b"x" * 70_000 + b'"}']
        letters = [DeadLetter(TOPIC, 0, offset, None, value, "not_json", "") for offset, value in enumerate(values)]
        sink.store.insert_dead_letters(letters)
        sink.store.insert_dead_letters(letters[:2])
        assert sink.reader.dead_letter_agencies(HOUR) == {"H17": 2, "G01": 1, "": 5}
        assert sink.reader.dead_letter_agencies(dt.timedelta(0)) == {}

    def test_stored_events_come_back_as_they_were_sent(self, sink):
        """Distinct events of whole local days are messages that the validator accepts with the same values, in order of time."""
        midnight = day_start(TODAY)
        full = an_event(
            occurred_at=MORNING + dt.timedelta(milliseconds=7),
            legacy_level=4,
            returned_by="post",
            portal_id="p:1",
            status=10,
            channel=3,
        )
        plain = an_event(agency="G01", named_by_code=False, service_level="cung_cap_thong_tin", occurred_at=midnight)
        outside = [an_event(occurred_at=midnight - dt.timedelta(milliseconds=1)), an_event(occurred_at=midnight + DAY)]
        bare = an_event(occurred_at=MORNING + 2 * MINUTE, channel=0, service_level="", due_at=MORNING + DAY)
        sink.store.insert_events(rows_of([full, plain, *outside, full, bare]))
        validator = EventValidator(AgencyRegistry.packaged())

        def sent(first, last, agencies=None):
            lines = b"".join(sink.reader.events(first, last, agencies)).splitlines()
            return [validator.validate(line, latest=LATEST) for line in lines]

        assert sent(TODAY, TODAY) == [plain, full, bare]
        assert sent(TODAY, TODAY, ("H17", "H18")) == [full, bare]
        assert len(sent(TODAY - DAY, TODAY + DAY)) == 5
        assert sent(TODAY + 9 * DAY, TODAY + 9 * DAY) == []

    @pytest.mark.parametrize(("first", "last"), [("0001-01-01", "9999-12-31"), ("1900-01-01", "2299-12-31")])
    def test_events_of_ages(self, sink, first, last):
        """A span of days that exceeds the range of dates of a store returns every event."""
        sink.store.insert_events(rows_of([an_event()]))
        found = b"".join(sink.reader.events(dt.date.fromisoformat(first), dt.date.fromisoformat(last), None))
        assert found.count(b"\n") == 1
