"""Clocks: live, standing still, and moved by hand."""

from __future__ import annotations

import datetime as dt

import pytest

from pipeline.core.clock import ManualClock, ScenarioClock, SystemClock, parse_clock
from pipeline.core.errors import ConfigurationError


def test_system_is_the_present():
    """``system`` tells the machine's time, in UTC."""
    before = dt.datetime.now(dt.UTC)
    now = parse_clock("system").now()
    assert before <= now <= dt.datetime.now(dt.UTC)
    assert now.tzinfo is dt.UTC
    assert isinstance(parse_clock("system"), SystemClock)


def test_a_scenario_stands_still():
    """An instant with an offset is told in UTC, again and again."""
    clock = parse_clock("2024-08-20T23:59:59+07:00")
    assert clock == ScenarioClock(dt.datetime(2024, 8, 20, 16, 59, 59, tzinfo=dt.UTC))
    assert clock.now() == clock.now() == dt.datetime(2024, 8, 20, 16, 59, 59, tzinfo=dt.UTC)


@pytest.mark.parametrize("text", ["", "now", "2024-08-20", "2024-08-20T23:59:59", "yesterday+07:00"])
def test_anything_else_is_refused(text):
    """A time without an offset, or no time at all, is an error that shows how to write it."""
    with pytest.raises(ConfigurationError, match="PORTALPULSE_CLOCK="):
        parse_clock(text)


def test_a_manual_clock_moves_when_told():
    """A test's clock stands until it is moved."""
    clock = ManualClock(dt.datetime(2024, 1, 1, tzinfo=dt.UTC))
    clock.advance(90.5)
    assert clock.now() == dt.datetime(2024, 1, 1, 0, 1, 30, 500_000, dt.UTC)
