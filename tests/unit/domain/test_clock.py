"""Clocks: of the system, of a scenario, and of a test."""

from __future__ import annotations

import datetime as dt

import pytest

from domain.clock import ManualClock, ScenarioClock, SystemClock, parse_clock
from domain.errors import ConfigurationError
from domain.periods import FIRST_DAY, FIRST_INSTANT, LAST_DAY, LAST_INSTANT, Window, civil_day, day_start


def test_the_first_and_the_last_instant_are_those_of_their_days():
    """The instants that an event may have begin with the first day and end just before the day after the last one."""
    assert day_start(FIRST_DAY) == FIRST_INSTANT
    assert day_start(LAST_DAY + dt.timedelta(days=1)) - LAST_INSTANT == dt.timedelta(milliseconds=1)
    assert (civil_day(FIRST_INSTANT), civil_day(LAST_INSTANT)) == (FIRST_DAY, LAST_DAY)


def test_system_is_the_present():
    """``system`` returns the time of the machine, in UTC."""
    before = dt.datetime.now(dt.UTC)
    now = parse_clock("system").now()
    assert before <= now <= dt.datetime.now(dt.UTC)
    assert now.tzinfo is dt.UTC
    assert isinstance(parse_clock("system"), SystemClock)


def test_a_scenario_clock_is_constant():
    """An instant with an offset is returned in UTC, the same each time."""
    clock = parse_clock("2024-08-20T23:59:59+07:00")
    assert clock == ScenarioClock(dt.datetime(2024, 8, 20, 16, 59, 59, tzinfo=dt.UTC))
    assert clock.now() == clock.now() == dt.datetime(2024, 8, 20, 16, 59, 59, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    "text", ["", "now", "2024-08-20", "2024-08-20T23:59:59", "yesterday+07:00", "2024-W33T08:00+07:00", "20240820T080000Z"]
)
def test_anything_else_is_refused(text):
    """A time without an offset, or no time at all, is an error that shows how to write it."""
    with pytest.raises(ConfigurationError, match="PORTALPULSE_CLOCK="):
        parse_clock(text)


@pytest.mark.parametrize(
    "text",
    [
        "0001-01-01T00:00:00+23:59",
        "1970-01-01T00:00:00Z",
        "1975-12-31T16:59:59Z",
        "2106-02-06T17:00:00Z",
        "9999-12-31T23:59:59-23:59",
    ],
)
def test_a_time_that_cannot_be_counted_is_refused(text):
    """A clock outside of the days that an event may lie on is an error, not a scrape that fails later."""
    with pytest.raises(ConfigurationError, match="PORTALPULSE_CLOCK="):
        parse_clock(text)


@pytest.mark.parametrize("day", [FIRST_DAY, LAST_DAY])
@pytest.mark.parametrize("window", list(Window))
def test_every_window_has_bounds_at_the_first_and_the_last_clock(day, window):
    """At the first and the last time that a clock may have, every window has a start and an end."""
    now = parse_clock(f"{day}T12:00:00+07:00").now()
    start, end = window.bounds(now)
    assert start < now < end
    period = window.period(now)
    assert period is None or period.end == day


def test_a_manual_clock_is_advanced():
    """A manual clock changes only when it is advanced."""
    clock = ManualClock(dt.datetime(2024, 1, 1, tzinfo=dt.UTC))
    clock.advance(90.5)
    assert clock.now() == dt.datetime(2024, 1, 1, 0, 1, 30, 500_000, dt.UTC)
