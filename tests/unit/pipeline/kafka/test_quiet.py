"""What is written after the process stood still."""

from __future__ import annotations

import logging

import pytest

from pipeline.kafka.quiet import QuietAfterStandstill


class Clock:
    """Seconds that a test sets."""

    now = 100.0

    def __call__(self):
        return self.now


def lets_through(quiet, name):
    """Whether a line of this logger is written."""
    return quiet.filter(logging.LogRecord(name, logging.ERROR, "", 0, "x", (), None))


@pytest.mark.parametrize("library", ["aiokafka.consumer.group_coordinator", "mode.threads", "faust", "pipeline.kafka.transport"])
def test_libraries_are_quiet_after_a_standstill(library):
    """Their lines are held back from the waking up until ten seconds later; before and after they are written."""
    clock = Clock()
    quiet = QuietAfterStandstill(monotonic=clock)
    assert quiet.beat() == 0
    assert lets_through(quiet, library)
    clock.now += 60
    assert not lets_through(quiet, library)
    assert lets_through(quiet, "worker")
    assert quiet.beat() == 60
    clock.now += 1
    assert quiet.beat() == 0
    assert not lets_through(quiet, library)
    for _ in range(10):
        clock.now += 1
        assert quiet.beat() == 0
    assert lets_through(quiet, library)


def test_a_busy_second_is_no_standstill():
    """Beats that come a little late hold nothing back."""
    clock = Clock()
    quiet = QuietAfterStandstill(monotonic=clock)
    for _ in range(5):
        clock.now += 2
        assert quiet.beat() == 0
        assert lets_through(quiet, "aiokafka")
