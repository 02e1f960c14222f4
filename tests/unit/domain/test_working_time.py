"""Office hours between two instants: nights, weekends and holidays do not pass."""

from __future__ import annotations

import datetime as dt

import pytest

from domain.periods import VIETNAM
from domain.working_days import WorkingDays
from domain.working_time import WORKING_DAY, WorkingTime

HOUR = 3600


def at(text):
    """An instant in Viet Nam."""
    return dt.datetime.fromisoformat(text).replace(tzinfo=VIETNAM)


@pytest.mark.parametrize(
    ("start", "now", "seconds"),
    [
        ("2026-11-26 09:00", "2026-11-26 09:10", 600),
        ("2026-11-26 16:30", "2026-11-26 22:00", HOUR // 2),
        ("2026-11-26 18:00", "2026-11-27 07:59:59", 0),
        ("2026-11-27 16:59", "2026-11-30 08:01", 120),  # a weekend
        ("2026-11-28 10:00", "2026-11-29 10:00", 0),
        ("2026-02-13 17:00", "2026-02-23 08:05", 300),  # Tết 2026: 14 to 22 February
        ("2026-11-23 08:00", "2026-11-27 17:00", 4 * WORKING_DAY),  # 24 November is a holiday
        ("2026-11-27 09:00", "2026-11-27 08:30", 0),  # later than now
        ("2020-01-01 00:00", "2026-11-27 17:00", 10 * WORKING_DAY),  # before what is looked at
    ],
)
def test_only_office_hours_pass(start, now, seconds):
    """From start to now, in seconds."""
    assert WorkingTime(at(now), WorkingDays(), days=14).since(at(start)) == seconds


def test_exchanged_days_and_unknown_years():
    """A decree's days count; without known holidays Monday to Friday are working days."""
    saturday = dt.date(2026, 11, 28)
    exchanged = WorkingDays(working=frozenset({saturday}))
    assert WorkingTime(at("2026-11-29 12:00"), exchanged, days=3).since(at("2026-11-28 00:00")) == WORKING_DAY
    assert WorkingTime(at("1999-12-31 12:00"), WorkingDays(), days=3).since(at("1999-12-30 00:00")) == WORKING_DAY + 4 * HOUR
