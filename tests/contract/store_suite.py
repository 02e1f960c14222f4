"""What every destination must do, whoever implements it. ``test_store.py`` runs this over each of them."""

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
class Place:
    """A destination under test, empty at the start, and a look at what its contract gives no method for."""

    store: EventStore
    reader: TallyReader
    #: Every dead letter kept, by (topic, partition, offset), as it was given.
    letters: Callable[[], Mapping[tuple[str, int, int], DeadLetter]]
    #: Counts by (agency, civil day, procedure).
    procedures: Callable[[], Mapping[tuple[str, dt.date, str], Counts]]
    #: Write the minute row of a recount that saw this many events: (agency, minute, events).
    late_recount: Callable[[str, dt.datetime, int], None]

    def recount(self, events) -> None:
        """Recount every tally that ``events`` touch, in the order of use."""
        for event in events:
            minute = event.occurred_at.replace(second=0, microsecond=0)
            self.store.recount_minutes(Span(minute, minute + MINUTE))
        days = Days(tuple(sorted({civil_day(event.occurred_at) for event in events})))
        self.store.roll_up_days(days)
        self.store.recount_procedures(days)

    def take(self, events) -> None:
        """Store and recount."""
        self.store.insert_events(rows_of(events))
        self.recount(events)

    def tallied(self) -> int:
        """Events counted in the minute tallies."""
        return sum(counts.events for counts in self.reader.counts_between(EVER.start, EVER.end).values())


class StoreSuite:
    """Run over a fixture ``place``."""

    def test_the_same_events_again_change_nothing(self, place):
        """Stored twice, in another order and at other offsets, an event counts once in every tier."""
        events = [an_event(occurred_at=MORNING + number * dt.timedelta(seconds=7)) for number in range(20)]
        place.take(events)
        before = place.reader.counts_of_days(TODAY, TODAY)
        place.store.insert_events(rows_of(events[::-1], offset=900, partition=3))
        place.store.insert_events(rows_of(events[5:9]))
        place.recount(events)
        assert place.tallied() == 20
        assert place.reader.counts_of_days(TODAY, TODAY) == before
        assert before["H17"].events == 20
        assert {key[2]: counts.events for key, counts in place.procedures().items()} == {"1.001612": 20}
        assert place.reader.totals() == TallyTotals(20, 20)

    def test_events_at_both_ends_of_what_the_tables_hold(self, place):
        """The first and the last millisecond that the judge accepts are counted in their own minute, day and procedure."""
        ends = {FIRST_DAY: day_start(FIRST_DAY), LAST_DAY: LAST_INSTANT}
        events = [an_event(occurred_at=at) for at in ends.values()]
        place.take([*events, an_event()])
        assert {key[1] for key in place.procedures()} == {FIRST_DAY, TODAY, LAST_DAY}
        for day in (FIRST_DAY, LAST_DAY):
            assert place.reader.counts_of_days(day, day)["H17"].events == 1
            assert place.reader.counts_between(*Period(day, day).instants())["H17"].events == 1
            assert place.reader.last_events(ends[day] + dt.timedelta(hours=1))["H17"] == ends[day]
        assert place.reader.totals() == TallyTotals(3, 3)

    def test_a_period_may_have_any_days(self, place):
        """Days that no table can hold have no events, whatever their number; they neither fail nor turn into other days."""
        place.take([an_event(occurred_at=at) for at in (day_start(FIRST_DAY), MORNING, LAST_INSTANT)])
        for first, last, count in ANY_DAYS:
            assert place.reader.counts_of_days(first, last).get("H17", Counts()).events == count, (first, last)
            assert len(b"".join(place.reader.events(first, last, None)).splitlines()) == count, (first, last)

    def test_a_clock_may_tell_any_time(self, place):
        """Before every event nothing has happened yet, behind all of them the newest is the newest stored, at any present."""
        place.take([an_event(), an_event(occurred_at=LAST_INSTANT)])
        for text in ("0001-01-01T00:00Z", "1899-12-31T00:00Z", "1970-01-01T12:00Z", "1975-12-31T17:00Z"):
            now = dt.datetime.fromisoformat(text)
            assert place.reader.last_events(now) == {}, text
            assert place.reader.counts_between(now, now + MINUTE) == {}, text
        for text in ("2106-02-08T00:00Z", "2149-06-08T00:00Z", "2299-12-31T00:00Z", "2300-01-01T00:00Z", "9999-12-31T23:59:59Z"):
            now = dt.datetime.fromisoformat(text)
            assert place.reader.last_events(now) == {"H17": LAST_INSTANT}, text
            assert place.reader.counts_between(MORNING, now)["H17"].events == 2, text
            assert place.reader.counts_between(now - MINUTE, now) == {}, text

    def test_repeats_within_one_insert(self, place):
        """The same event many times in one insert counts once."""
        event = an_event()
        place.take([event] * 50)
        assert place.tallied() == 1

    def test_recounting_again_changes_nothing(self, place):
        """A recount, a roll-up and a recount of procedures may be repeated at will."""
        events = [an_event(), an_event(status=1)]
        place.take(events)
        before = (
            place.reader.counts_between(EVER.start, EVER.end),
            place.reader.counts_of_days(TODAY, TODAY),
            place.procedures(),
        )
        for _ in range(3):
            place.recount(events)
        after = (place.reader.counts_between(EVER.start, EVER.end), place.reader.counts_of_days(TODAY, TODAY), place.procedures())
        assert after == before

    def test_every_combination_of_codes_is_counted_as_the_indicators_say(self, place):
        """Each count of a tally adds up what its predicate says, over every status, channel, level and way of return."""
        combinations = itertools.product(Status, Channel, ServiceLevel, ("", *ReturnedBy))
        # Each on an (agency, minute) of its own, so that no two wrong counts can make up for each other.
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
        place.store.insert_events(rows_of(events))
        place.store.recount_minutes(Span(MORNING, MORNING + 6 * MINUTE))
        for number in range(6):
            found = place.reader.counts_between(MORNING + number * MINUTE, MORNING + (number + 1) * MINUTE)
            assert found == {
                event.agency: Counts(events=1, **{name: int(rule(event)) for name, rule in COUNTS.items()})
                for event in events[60 * number : 60 * number + 60]
            }

    def test_all_tiers_count_alike(self, place):
        """Minutes, days and procedures hold the same counts of the same events."""
        events = [
            an_event(status=int(status), channel=int(channel), agency=agency)
            for status, channel, agency in itertools.product(Status, Channel, ("H17", "G01"))
        ]
        place.take(events)
        minutes = place.reader.counts_between(MORNING, MORNING + MINUTE)
        assert minutes == place.reader.counts_of_days(TODAY, TODAY)
        assert minutes == {key[0]: counts for key, counts in place.procedures().items()}
        assert minutes["G01"] == Counts(events=30, **{n: sum(map(rule, events[1::2])) for n, rule in COUNTS.items()})

    def test_nothing_is_tallied_before_it_is_recounted(self, place):
        """Storing alone moves no tally: only a recount does, and days only after the minutes."""
        event = an_event()
        place.store.insert_events(rows_of([event]))
        place.store.roll_up_days(Days((TODAY,)))
        assert place.tallied() == 0
        assert place.reader.counts_of_days(TODAY, TODAY) == {}
        place.store.recount_minutes(Span(MORNING, MORNING + MINUTE))
        assert place.tallied() == 1
        assert place.reader.counts_of_days(TODAY, TODAY) == {}
        place.store.roll_up_days(Days((TODAY,)))
        assert place.reader.counts_of_days(TODAY, TODAY)["H17"].events == 1

    def test_a_span_ends_before_its_end(self, place):
        """A span recounts its first minute and not the minute it ends with; what lies outside stays as it was."""
        inside, at_end = an_event(occurred_at=MORNING), an_event(occurred_at=MORNING + MINUTE)
        before = an_event(occurred_at=MORNING - dt.timedelta(milliseconds=1))
        place.store.insert_events(rows_of([inside, at_end, before]))
        place.store.recount_minutes(Span(MORNING, MORNING + MINUTE))
        assert place.tallied() == 1
        assert set(place.reader.counts_between(MORNING, MORNING + MINUTE)) == {"H17"}
        place.store.recount_minutes(Span(MORNING - MINUTE, MORNING + 2 * MINUTE))
        assert place.tallied() == 3

    def test_the_last_millisecond_of_a_minute(self, place):
        """08:30:59.999 belongs to 08:30, 08:31:00.000 does not."""
        last = an_event(occurred_at=MORNING + MINUTE - dt.timedelta(milliseconds=1))
        place.take([last, an_event(occurred_at=MORNING + MINUTE)])
        assert place.reader.counts_between(MORNING, MORNING + MINUTE)["H17"].events == 1

    def test_a_span_of_some_agencies_leaves_the_others(self, place):
        """A recount for listed agencies touches no other, in any tier."""
        events = [an_event(agency=agency) for agency in ("H17", "H18", "G01")]
        place.store.insert_events(rows_of(events))
        listed = ("G01", "H17")
        place.store.recount_minutes(Span(MORNING, MORNING + MINUTE, listed))
        assert set(place.reader.counts_between(MORNING, MORNING + MINUTE)) == {"G01", "H17"}
        place.store.recount_minutes(Span(MORNING, MORNING + MINUTE))
        place.store.roll_up_days(Days((TODAY,), ("H18",)))
        assert set(place.reader.counts_of_days(TODAY, TODAY)) == {"H18"}
        place.store.recount_procedures(Days((TODAY,), ("H17",)))
        assert {key[0] for key in place.procedures()} == {"H17"}

    @pytest.mark.parametrize("order", list(itertools.permutations((1, 2, 3))), ids=str)
    def test_the_recount_that_saw_more_wins(self, place, order):
        """Of several recounts of one minute the one that saw most events stands, whatever the order of writing."""
        place.store.insert_events(rows_of([an_event()]))
        for seen in order:
            place.late_recount("H17", MORNING, seen)
        assert place.tallied() == 3

    def test_a_late_recount_is_put_right_by_the_next(self, place):
        """A slow recount that saw fewer events neither wins nor keeps the day from being right."""
        events = [an_event(), an_event(), an_event()]
        place.take(events)
        place.late_recount("H17", MORNING, 2)
        place.store.roll_up_days(Days((TODAY,)))
        assert place.tallied() == 3
        assert place.reader.counts_of_days(TODAY, TODAY)["H17"].events == 3

    def test_civil_days_begin_at_seventeen_utc(self, place):
        """An event at 16:59:59.999 UTC falls on the day before, one at 17:00 on the new day, in days and procedures."""
        midnight = dt.datetime(2024, 2, 29, 17, tzinfo=dt.UTC)
        late = an_event(occurred_at=midnight - dt.timedelta(milliseconds=1))
        early = an_event(occurred_at=midnight, status=1)
        place.take([late, early])
        leap, first = dt.date(2024, 2, 29), dt.date(2024, 3, 1)
        assert place.reader.counts_of_days(leap, leap)["H17"].settled == 1
        assert place.reader.counts_of_days(leap, leap)["H17"].events == 1
        assert place.reader.counts_of_days(first, first)["H17"].submitted_online == 1
        assert {key[1]: counts.events for key, counts in place.procedures().items()} == {leap: 1, first: 1}
        assert place.reader.counts_of_days(leap, first)["H17"].events == 2
        assert day_start(first) == midnight

    def test_days_apart_are_rolled_up_and_no_others(self, place):
        """A roll-up of chosen days, neighbours and single ones, leaves every other day alone."""
        events = [an_event(occurred_at=MORNING + number * DAY) for number in range(6)]
        place.store.insert_events(rows_of(events))
        place.store.recount_minutes(EVER)
        chosen = tuple(TODAY + number * DAY for number in (0, 1, 4))
        place.store.roll_up_days(Days(chosen))
        place.store.recount_procedures(Days(chosen))
        assert [bool(place.reader.counts_of_days(day, day)) for day in (TODAY + n * DAY for n in range(6))] == [
            *(True, True, False),
            *(False, True, False),
        ]
        assert {key[1] for key in place.procedures()} == set(chosen)

    def test_a_backfill_of_ten_years(self, place):
        """One insert may touch more than 100 months; one recount and one roll-up take all of it."""
        events = [
            an_event(occurred_at=dt.datetime(2016 + number // 12, 1 + number % 12, 15, tzinfo=dt.UTC)) for number in range(117)
        ]
        place.store.insert_events(rows_of(events))
        place.store.recount_minutes(Span(events[0].occurred_at, events[-1].occurred_at + MINUTE))
        days = Days(tuple(civil_day(event.occurred_at) for event in events))
        place.store.roll_up_days(days)
        place.store.recount_procedures(days)
        assert place.reader.counts_of_days(dt.date(2016, 1, 1), dt.date(2025, 12, 31))["H17"].events == 117
        assert len(place.procedures()) == 117
        assert place.reader.totals() == TallyTotals(117, 117)

    def test_the_same_id_of_another_agency_is_another_event(self, place):
        """Agency, time and id together name an event; none of two with one id is lost."""
        one = uuid.UUID(int=7)
        place.take(
            [an_event(event_id=one), an_event(event_id=one, agency="H18"), an_event(event_id=one, occurred_at=MORNING + HOUR)]
        )
        assert place.tallied() == 3

    def test_rows_that_can_never_be_stored(self, place):
        """A malformed id is refused as such, and nothing of the next insert suffers."""
        rows = rows_of([an_event(), an_event()])
        at = rows.column_names.index("event_id")
        broken = rows.set_column(at, "event_id", [["00000000-0000-0000-0000-000000000001", "not-a-uuid"]])
        with pytest.raises(RefusedRows):
            place.store.insert_events(broken)
        place.take([an_event(agency="G22")])
        assert place.reader.counts_of_days(TODAY, TODAY)["G22"].events == 1

    # ---- dead letters

    def test_dead_letters_keep_every_byte(self, place):
        """Key and value come back as they were: NUL, invalid UTF-8, no bytes at all; a tombstone differs from an empty one."""
        values = [b"\x00\x01", b"\xff\xfe", b"", None, "hồ sơ".encode(), bytes(range(256)) * 10]
        letters = [
            DeadLetter(TOPIC, 1, number, key, value, "not_json", "không đọc được")
            for number, (key, value) in enumerate(itertools.product((b"H17-1", b"\xff\x00"), values))
        ]
        place.store.insert_dead_letters(letters)
        kept = place.letters()
        assert {at: (letter.key, letter.value) for at, letter in kept.items()} == {
            (TOPIC, 1, letter.offset): (letter.key, letter.value) for letter in letters
        }
        assert {letter.error for letter in kept.values()} == {"không đọc được"}

    def test_dead_letters_count_once(self, place):
        """Redelivered dead letters are counted once each, by reason; (topic, partition, offset) names them."""
        letters = [DeadLetter(TOPIC, n % 2, n // 2, b"", b"{", ("not_json", "empty")[n % 2], "") for n in range(10)]
        for _ in range(3):
            place.store.insert_dead_letters(letters)
        place.store.insert_dead_letters([DeadLetter("other", 0, 0, None, b"", "empty", "")])
        assert place.reader.dead_letters_by_reason() == {"not_json": 5, "empty": 6}
        assert len(place.letters()) == 11

    def test_no_dead_letters(self, place):
        """Nothing set aside reads as nothing, not as an error."""
        assert place.reader.dead_letters_by_reason() == {}

    # ---- reading

    def test_an_empty_place(self, place):
        """Before the first event every figure is empty or zero."""
        assert place.reader.counts_between(EVER.start, EVER.end) == {}
        assert place.reader.counts_of_days(TODAY, TODAY) == {}
        assert place.reader.last_events(MORNING) == {}
        assert place.reader.totals() == TallyTotals(0, 0)
        place.reader.ping()

    def test_counts_between_includes_its_start_only(self, place):
        """Of minutes, the first asked for is in and the last is out."""
        events = [an_event(occurred_at=MORNING + number * MINUTE) for number in range(4)]
        place.take(events)
        assert place.reader.counts_between(MORNING + MINUTE, MORNING + 3 * MINUTE)["H17"].events == 2

    def test_counts_of_days_include_both_ends(self, place):
        """A period of days holds its first and its last day, across the turn of a year."""
        period = Period(dt.date(2023, 12, 31), dt.date(2024, 1, 1))
        events = [an_event(occurred_at=day_start(dt.date(2023, 12, 30)) + number * DAY) for number in range(4)]
        place.take(events)
        assert place.reader.counts_of_days(period.start, period.end)["H17"].events == 2

    @pytest.mark.parametrize(("first", "last"), [("1900-01-01", "2300-12-31"), ("0001-01-01", "9999-12-31")])
    def test_periods_beyond_what_can_be_stored(self, place, first, last):
        """A period that reaches beyond every date a store can hold finds all there is."""
        place.take([an_event()])
        found = place.reader.counts_of_days(dt.date.fromisoformat(first), dt.date.fromisoformat(last))
        assert found["H17"].events == 1
        assert place.reader.counts_of_days(dt.date(2200, 1, 1), dt.date(2300, 1, 1)) == {}
        assert place.reader.counts_of_days(dt.date(1900, 1, 1), dt.date(1950, 1, 1)) == {}

    def test_last_events_to_the_millisecond(self, place):
        """The newest event up to an instant, that instant included, the next millisecond not; the future is ignored."""
        at = MORNING + dt.timedelta(seconds=30, milliseconds=500)
        yesterday = an_event(agency="H18", occurred_at=MORNING - DAY)
        this_morning = an_event(agency="G01", occurred_at=MORNING - HOUR)
        exactly = an_event(occurred_at=at)
        just_after = an_event(occurred_at=at + dt.timedelta(milliseconds=1))
        tomorrow = an_event(agency="G02", occurred_at=MORNING + DAY)
        also_tomorrow = an_event(agency="H18", occurred_at=MORNING + DAY)
        place.take([yesterday, this_morning, exactly, just_after, tomorrow, also_tomorrow])
        assert place.reader.last_events(at) == {"H18": yesterday.occurred_at, "G01": this_morning.occurred_at, "H17": at}
        assert place.reader.last_events(at + dt.timedelta(milliseconds=1))["H17"] == just_after.occurred_at
        assert "H17" not in place.reader.last_events(at - dt.timedelta(milliseconds=1))
        assert place.reader.last_events(MORNING + 2 * DAY)["H18"] == also_tomorrow.occurred_at

    def test_last_events_around_midnight(self, place):
        """Just after local midnight the newest event of the old day is found, and is none of the new day's."""
        midnight = day_start(TODAY)
        event = an_event(occurred_at=midnight - dt.timedelta(milliseconds=1))
        place.take([event])
        assert place.reader.last_events(midnight) == {"H17": event.occurred_at}
        assert place.reader.last_events(event.occurred_at) == {"H17": event.occurred_at}
        assert place.reader.last_events(midnight - dt.timedelta(milliseconds=2)) == {}

    def test_standing_says_what_is_late(self, place):
        """What is not yet counted by minute and by day reads as late, then as even, month by month; never as counted twice."""
        first = [an_event(), an_event(occurred_at=MORNING + 40 * DAY)]
        place.store.insert_events(rows_of(first))
        place.store.insert_events(rows_of(first))
        self._await_standing(place, TallyTotals(stored=2, tallied=0))
        place.store.recount_minutes(Span(MORNING, MORNING + MINUTE))
        place.recount(first)
        self._await_standing(place, TallyTotals(2, 2))
        late = an_event(occurred_at=MORNING + 40 * DAY)
        place.store.insert_events(rows_of([late]))
        self._await_standing(place, TallyTotals(3, 2))
        place.store.recount_minutes(Span(late.occurred_at, late.occurred_at + MINUTE))
        self._await_standing(place, TallyTotals(3, 2))
        place.store.roll_up_days(Days((civil_day(late.occurred_at),)))
        self._await_standing(place, TallyTotals(3, 3))

    def test_standing_hides_no_tier_that_counts_too_much(self, place):
        """A minute tally above the truth shows as counted twice although the days are right, and goes when the events come."""
        events = [an_event(), an_event()]
        place.take(events[:1])
        assert place.reader.totals() == TallyTotals(1, 1)
        place.late_recount("H17", MORNING, 3)
        self._await_standing(place, TallyTotals(1, 3), ahead=True)
        place.take([*events, an_event()])
        self._await_standing(place, TallyTotals(3, 3), ahead=True)

    def test_standing_shows_days_that_count_too_much(self, place):
        """A day rolled up from minutes that counted too much shows as counted twice, too."""
        place.take([an_event()])
        place.late_recount("H17", MORNING, 3)
        place.store.roll_up_days(Days((TODAY,)))
        place.late_recount("H17", MORNING, 3)
        self._await_standing(place, TallyTotals(1, 3), ahead=True)

    @staticmethod
    def _await_standing(place, wanted: TallyTotals, *, ahead: bool = False) -> None:
        """Ask until the answer is the wanted one; it may be as old as a few times the cost of counting."""
        deadline = time.monotonic() + 60
        while (standing := place.reader.totals()) != wanted:
            assert ahead or standing.stored >= standing.tallied
            assert time.monotonic() < deadline, standing
            time.sleep(0.02)

    def test_arrivals_count_messages_once(self, place):
        """Lately received messages are counted by distinct event and dead letter, and none when the span is over."""
        events = [an_event(), an_event(occurred_at=MORNING - 300 * DAY), an_event(agency="G01")]
        place.store.insert_events(rows_of(events))
        place.store.insert_events(rows_of(events[:1]))
        letter = DeadLetter(TOPIC, 0, 1, None, b"{", "not_json", "")
        place.store.insert_dead_letters([letter])
        place.store.insert_dead_letters([letter])
        arrivals = place.reader.arrivals(HOUR)
        assert (arrivals.events, arrivals.dead_letters) == (3, 1)
        nothing = place.reader.arrivals(dt.timedelta(0))
        assert (nothing.events, nothing.dead_letters) == (0, 0)

    def test_stored_events_come_back_as_they_were_sent(self, place):
        """Distinct events of whole local days are messages that the judge accepts with the same values, in the order of time."""
        midnight = day_start(TODAY)
        full = an_event(
            occurred_at=MORNING + dt.timedelta(milliseconds=7),
            legacy_level=4,
            returned_by="post",
            portal_id="p:1",
            status=10,
            channel=3,
        )
        plain = an_event(agency="G01", service_level="cung_cap_thong_tin", occurred_at=midnight)
        outside = [an_event(occurred_at=midnight - dt.timedelta(milliseconds=1)), an_event(occurred_at=midnight + DAY)]
        place.store.insert_events(rows_of([full, plain, *outside, full]))
        judge = EventValidator(AgencyRegistry.packaged())

        def sent(first, last, agencies=None):
            lines = b"".join(place.reader.events(first, last, agencies)).splitlines()
            return [judge.validate(line, latest=LATEST) for line in lines]

        assert sent(TODAY, TODAY) == [plain, full]
        assert sent(TODAY, TODAY, ("H17", "H18")) == [full]
        assert len(sent(TODAY - DAY, TODAY + DAY)) == 4
        assert sent(TODAY + 9 * DAY, TODAY + 9 * DAY) == []

    @pytest.mark.parametrize(("first", "last"), [("0001-01-01", "9999-12-31"), ("1900-01-01", "2299-12-31")])
    def test_events_of_ages(self, place, first, last):
        """A span of days beyond every date a store can hold gives every event there is."""
        place.store.insert_events(rows_of([an_event()]))
        found = b"".join(place.reader.events(dt.date.fromisoformat(first), dt.date.fromisoformat(last), None))
        assert found.count(b"\n") == 1
