"""Live traffic: agencies of today, at the clock's now, in the shape of the day, with one collapse when asked for."""

from __future__ import annotations

import datetime as dt
import itertools
from collections import Counter
from itertools import chain

import msgspec
import pytest

from domain.agencies import AgencyRegistry
from domain.clock import ManualClock
from domain.errors import ConfigurationError
from domain.events import DossierEvent
from pipeline.decode.validator import EventValidator
from producers.portals.collapse import Collapse, parse_collapse
from producers.portals.daily_traffic import FLOOR, office_hours, steady
from producers.portals.live import LiveTraffic
from producers.portals.produce import live_stream

REGISTRY = AgencyRegistry.packaged()
MONDAY = dt.datetime.fromisoformat("2026-03-02T09:30:00+07:00")


def traffic(**changes):
    """Live traffic as fast as possible on a Monday morning."""
    options = {
        "registry": REGISTRY,
        "clock": ManualClock(MONDAY),
        "seed": 1,
        "rate": None,
        "shape": steady,
    }
    return LiveTraffic(**{**options, **changes})


def parsed(stream, count):
    """The next events of a stream as their fields."""
    return [msgspec.json.decode(message.value) for message in itertools.islice(stream, count)]


def full_share(events, agency):
    """An agency's dossiers settled in full online service, and all it settled."""
    settled = [event for event in events if event["agency_code"] == agency and event["status"] == 9]
    full = [
        event
        for event in settled
        if event["channel"] == 2 and event["service_level"] == "toan_trinh" and event["returned_by"] != "counter"
    ]
    return len(full), len(settled)


def test_only_agencies_that_report_today_send_and_the_judge_accepts_them():
    """Every event is valid now, and each agency that is expected to report is heard of in the end, and no other."""
    judge = EventValidator(REGISTRY)
    messages = list(itertools.islice(traffic(), 15_000))
    verdicts = [judge.validate(message.value, latest=MONDAY) for message in messages]
    assert all(isinstance(verdict, DossierEvent) for verdict in verdicts)
    assert {verdict.agency for verdict in verdicts} == {agency.code for agency in REGISTRY.expected(MONDAY.date())}
    assert all(verdict.occurred_at == MONDAY for verdict in verdicts)


def test_ministries_send_60_to_68_percent_and_each_block_is_skewed():
    """A few hot ministries and many cool provinces, as in reality."""
    counts = Counter(event["agency_code"] for event in parsed(traffic(), 25_000) if event["status"] == 9)
    ministries = sum(count for code, count in counts.items() if code.startswith("G"))
    assert 0.60 <= ministries / counts.total() <= 0.68
    assert counts.most_common(1)[0][1] > 3 * counts.total() / len(counts)


def test_no_agency_comes_near_a_threshold_by_itself():
    """From 30 settled dossiers on, every agency that has not collapsed stays above 10 %."""
    events = parsed(traffic(), 30_000)
    for code in {event["agency_code"] for event in events}:
        full, settled = full_share(events, code)
        assert settled < 30 or full / settled > 0.10, (code, full, settled)


def test_a_collapse_begins_when_asked_and_hits_one_agency():
    """Before ``after`` seconds the agency keeps its rate, afterwards at most 2 %; the others notice nothing."""
    clock = {"seconds": 0.0}
    stream = iter(traffic(collapse=Collapse("G02", share=0.01, after=100.0), monotonic=lambda: clock["seconds"]))
    before = parsed(stream, 30_000)
    clock["seconds"] = 101.0
    parsed(stream, 3_000)  # what is open is settled at the old rate
    after = parsed(stream, 30_000)
    full, settled = full_share(before, "G02")
    assert full / settled > 0.4
    full, settled = full_share(after, "G02")
    assert settled > 50
    assert full / settled <= 0.02
    others = [code for code in ("G01", "G12", "H26", "H29") if full_share(after, code)[1] >= 30]
    assert others
    assert all(full_share(after, code)[0] / full_share(after, code)[1] > 0.10 for code in others)


def test_dossiers_live_through_their_steps_and_two_runs_share_nothing():
    """Steps of a dossier come in order; another run on the same day and seed has other dossiers and events."""
    events = parsed(traffic(), 5_000)
    lives = {}
    for event in events:
        lives.setdefault(event["dossier_code"], []).append(event["status"])
    assert all(life[0] in (1, 2) for life in lives.values())
    assert all(life.count(9) <= 1 and life.count(1) <= 1 for life in lives.values())
    assert any(life[-2:] == [9, 10] for life in lives.values())
    later = parsed(traffic(clock=ManualClock(MONDAY + dt.timedelta(minutes=10))), 2_000)
    assert not {event["event_id"] for event in events} & {event["event_id"] for event in later}
    assert not lives.keys() & {event["dossier_code"] for event in later}


def test_a_new_day_brings_its_agencies():
    """Traffic that runs over a reorganisation stops for the agencies that end and goes on for their successors."""
    clock = ManualClock(dt.datetime.fromisoformat("2025-06-30T23:59:59+07:00"))
    stream = iter(traffic(clock=clock))
    assert "H47" in {event["agency_code"] for event in parsed(stream, 20_000)}
    clock.advance(1)
    after = {event["agency_code"] for event in parsed(stream, 20_000)}
    assert after <= {agency.code for agency in REGISTRY.in_force(dt.date(2025, 7, 1))}


def test_rate_follows_the_shape_and_duration_ends_the_stream(hand_clock, run_of):
    """At half the intensity half as many messages come; after the duration none."""
    for level, expected in ((1.0, 200), (0.5, 100)):
        made = traffic(rate=20.0, shape=lambda _instant, level=level: level, monotonic=hand_clock.monotonic)
        stream = live_stream(made, label="live", seed=1, duration=10.0, faults=0)
        assert sum(map(len, stream.chunks(run_of()))) == pytest.approx(expected, abs=1)


def test_office_hours_are_busy_by_day_and_quiet_at_night_and_at_weekends():
    """The shape is highest in the morning of a working day, never zero, and never jumps within a minute."""
    at = {hour: office_hours(MONDAY.replace(hour=hour)) for hour in (3, 9, 12, 15, 20)}
    assert at[3] < at[20] < at[12] < at[15] <= at[9] + 0.1
    assert office_hours(MONDAY + dt.timedelta(days=5)) < 0.1
    minutes = [office_hours(MONDAY + dt.timedelta(minutes=minute)) for minute in range(7 * 1440)]
    assert min(minutes) >= FLOOR
    assert max(minutes) <= 1.0
    jumps = [abs(b - a) for a, b in itertools.pairwise(minutes[:900])]
    assert max(jumps) < 0.02


@pytest.mark.parametrize("text", ["", ":0.1", "H26:many", "H26:1.5", "H26:-0.1", "H26:nan"])
def test_a_malformed_collapse_is_refused_with_an_example(text):
    """Anything but CODE or CODE:SHARE is a configuration error."""
    with pytest.raises(ConfigurationError, match="--collapse H26"):
        parse_collapse(text)


def test_a_collapse_needs_an_agency_of_today():
    """An agency that was merged away cannot collapse; a lower-case code is understood."""
    assert parse_collapse("h26:0.02", after=5).agency == "H26"
    with pytest.raises(ConfigurationError, match="H47"):
        traffic(collapse=Collapse("H47"))


SUNDAY_NIGHT = dt.datetime.fromisoformat("2026-03-01T03:00:00+07:00")


def followed(hand_clock, run_of, *, collapse, start=MONDAY, rate=50.0, shape=steady, seconds=120.0, seed=1):
    """(seconds, full, settled) of the collapsed agency after each of its settled dossiers, on a clock that only waiting moves."""
    made = traffic(clock=ManualClock(start), seed=seed, rate=rate, shape=shape, collapse=collapse, monotonic=hand_clock.monotonic)
    stream = live_stream(made, label="live", seed=seed, duration=seconds, faults=0)
    begun, full, settled = hand_clock.seconds, 0, 0
    for message in chain.from_iterable(stream.chunks(run_of())):
        event = msgspec.json.decode(message.value)
        if (event["agency_code"], event["status"]) == (collapse.agency, 9):
            settled += 1
            full += event["channel"] == 2 and event["service_level"] == "toan_trinh" and event["returned_by"] != "counter"
            yield hand_clock.seconds - begun, full, settled


def low_since(steps):
    """The second from which on the rate is below 5 % on at least 30 dossiers; None when it ends otherwise."""
    since = None
    for second, full, settled in steps:
        low = settled >= 30 and full / settled < 0.05
        since = None if not low else second if since is None else since
    return since


@pytest.mark.parametrize("code", ["H17", "H29", "G01", "H60", "G02"])
def test_a_collapse_from_the_start_shows_within_half_a_minute(hand_clock, run_of, code):
    """However little an agency sends otherwise: it is below 5 % on 30 dossiers long before two minutes are over."""
    assert low_since(followed(hand_clock, run_of, collapse=Collapse(code))) < 30


def test_a_collapse_after_a_minute_shows_within_the_next(hand_clock, run_of):
    """What a small agency settled at its old rate is outweighed soon."""
    assert 60 < low_since(followed(hand_clock, run_of, collapse=Collapse("H17", after=60.0))) < 100


@pytest.mark.parametrize(
    ("collapse", "start", "shape", "seconds"),
    [
        (Collapse("H17"), MONDAY, steady, 120.0),
        (Collapse("H17", after=60.0), MONDAY, steady, 240.0),
        (Collapse("H17"), SUNDAY_NIGHT, office_hours, 600.0),
        (Collapse("G02", after=60.0), MONDAY, steady, 1_200.0),
        (Collapse("H26", share=0.03, after=30.0), MONDAY, steady, 1_200.0),
    ],
)
def test_the_expected_time_is_about_right(  # noqa: PLR0917 - two fixtures beside the parameters
    hand_clock, run_of, collapse, start, shape, seconds
):
    """What is promised at the start is what happens, within a third and ten seconds, at night as well."""
    stream = traffic(clock=ManualClock(start), rate=50.0, shape=shape, collapse=collapse)
    expected = stream.seconds_until_low(ratio=0.05, min_volume=30)
    found = low_since(followed(hand_clock, run_of, collapse=collapse, start=start, shape=shape, seconds=seconds))
    assert found == pytest.approx(expected, rel=0.34, abs=10.0)


def test_what_never_falls_below_a_threshold_is_not_expected_to():
    """A share at or above the threshold alerts never; without a collapse there is nothing to expect."""
    assert traffic(collapse=Collapse("H17", share=0.05)).seconds_until_low(ratio=0.05, min_volume=30) is None
    assert traffic().seconds_until_low(ratio=0.05, min_volume=30) is None
    assert traffic(collapse=Collapse("H17", after=9.0)).seconds_until_low(ratio=0.05, min_volume=30) == 9.0
