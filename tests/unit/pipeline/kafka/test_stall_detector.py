"""How long a progress token is unchanged."""

from __future__ import annotations

import pytest

from pipeline.kafka.stall_detector import StallDetector


@pytest.fixture
def detector():
    """A detector whose ticks count two seconds at most."""
    return StallDetector(longest_tick=2.0)


def walk(detector, start, seconds, key, token):
    """Tick once a second; the last answer of ``unchanged_seconds``."""
    for second in range(1, seconds + 1):
        detector.tick(start + second)
        seconds_unchanged = detector.unchanged_seconds(key, token)
    return seconds_unchanged


def test_a_token_that_stays_ages(detector):
    """The age of a token is the time since it was first seen."""
    assert walk(detector, 100.0, 11, "fetch", 7) == 10.0


def test_a_token_that_changes_starts_at_zero(detector):
    """Any other token starts at 0, also one that was seen before."""
    walk(detector, 100.0, 10, "fetch", 7)
    assert walk(detector, 110.0, 1, "fetch", 8) == 0.0
    assert walk(detector, 111.0, 3, "fetch", 7) == 2.0


def test_each_has_its_own_age(detector):
    """A change of one key does not affect the others."""
    walk(detector, 100.0, 5, "fetch", 7)
    walk(detector, 105.0, 5, "beat", None)
    assert detector.unchanged_seconds("fetch", 7) == 9.0
    assert detector.unchanged_seconds("beat", None) == 4.0


def test_reset_starts_at_zero(detector):
    """After ``reset`` the age is 0 again."""
    walk(detector, 100.0, 10, "fetch", 7)
    detector.reset("fetch")
    assert walk(detector, 110.0, 1, "fetch", 7) == 0.0


def test_a_suspended_process_has_seen_nothing_stand_still(detector):
    """An hour in which the process did not run adds one step at most: its consumer could not get an answer either."""
    walk(detector, 100.0, 5, "fetch", 7)
    detector.tick(3_705.0)
    assert detector.unchanged_seconds("fetch", 7) == 6.0
