"""How long something stands still."""

from __future__ import annotations

import pytest

from pipeline.kafka.stall_detector import StallDetector


@pytest.fixture
def still():
    """One that counts steps of two seconds at most."""
    return StallDetector(longest_step=2.0)


def walk(still, start, seconds, what, mark):
    """A second at a time; what ``since`` said last."""
    for second in range(1, seconds + 1):
        still.step(start + second)
        said = still.since(what, mark)
    return said


def test_a_mark_that_stays_grows_old(still):
    """The age of a mark is the time since it was first seen."""
    assert walk(still, 100.0, 11, "fetch", 7) == 10.0


def test_a_mark_that_changes_is_young(still):
    """Any other mark begins anew, an older one too."""
    walk(still, 100.0, 10, "fetch", 7)
    assert walk(still, 110.0, 1, "fetch", 8) == 0.0
    assert walk(still, 111.0, 3, "fetch", 7) == 2.0


def test_each_has_its_own_age(still):
    """One thing's change makes no other younger."""
    walk(still, 100.0, 5, "fetch", 7)
    walk(still, 105.0, 5, "beat", None)
    assert still.since("fetch", 7) == 9.0
    assert still.since("beat", None) == 4.0


def test_what_may_stand_still_begins_anew(still):
    """After ``forget`` the age is 0 again."""
    walk(still, 100.0, 10, "fetch", 7)
    still.forget("fetch")
    assert walk(still, 110.0, 1, "fetch", 7) == 0.0


def test_a_suspended_process_has_seen_nothing_stand_still(still):
    """An hour in which the process did not run adds one step at most: its consumer could not get an answer either."""
    walk(still, 100.0, 5, "fetch", 7)
    still.step(3_705.0)
    assert still.since("fetch", 7) == 6.0
