"""How long an agency is usually quiet."""

from __future__ import annotations

import pytest

from domain.silence import HISTORY_DAYS, usual_pause

#: Weeks that begin on a Monday; the last week has a holiday on its Wednesday.
WORKING = [day % 7 < 5 and day != 143 for day in range(147)]
EVERY_DAY = [day for day in range(70) if WORKING[day]]


@pytest.mark.parametrize(
    ("active", "pause"),
    [
        (EVERY_DAY, 1),  # a weekend is not a pause
        ([*EVERY_DAY, 70, 72], 2),  # Tuesday is missing
        (list(range(0, 140, 7)), 5),  # each Monday
        ([*EVERY_DAY, 141, 142, 144], 47),  # rare since: the ten weeks before, from day 74 on, begin with a pause
        ([*range(100, 147)], 1),  # well known, although it began late
        ([0], 0),
        ([146], 49),  # one day only: the whole time before is a pause, without a holiday
    ],
)
def test_the_longest_pause_in_working_days(active, pause):
    """Between two days with events, within the ten weeks before the newest of them."""
    assert usual_pause(active, WORKING) == pause


def test_a_silence_that_goes_on_does_not_become_usual():
    """What is usual depends on the days up to the newest event alone, however long ago that is."""
    assert usual_pause(EVERY_DAY, WORKING[: HISTORY_DAYS + 1]) == usual_pause(EVERY_DAY, WORKING) == 1
