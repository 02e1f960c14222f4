"""What is logged after the process was suspended."""

from __future__ import annotations

import logging

import pytest

from pipeline.kafka.suspension import SuspensionLogFilter


class Clock:
    """Seconds that a test sets."""

    now = 100.0

    def __call__(self):
        return self.now


def lets_through(log_filter, name):
    """Whether a line of this logger is written."""
    return log_filter.filter(logging.LogRecord(name, logging.ERROR, "", 0, "x", (), None))


@pytest.mark.parametrize(
    "library", ["aiokafka.consumer.group_coordinator", "mode.threads", "faust", "pipeline.kafka.batch_consumer"]
)
def test_libraries_are_quiet_after_a_suspension(library):
    """Their lines are dropped for ten seconds after the process resumes; before and after they are written."""
    clock = Clock()
    log_filter = SuspensionLogFilter(monotonic=clock)
    assert log_filter.heartbeat() == 0
    assert lets_through(log_filter, library)
    clock.now += 60
    assert not lets_through(log_filter, library)
    assert lets_through(log_filter, "worker")
    assert log_filter.heartbeat() == 60
    clock.now += 1
    assert log_filter.heartbeat() == 0
    assert not lets_through(log_filter, library)
    for _ in range(10):
        clock.now += 1
        assert log_filter.heartbeat() == 0
    assert lets_through(log_filter, library)


def test_a_busy_second_is_no_suspension():
    """Heartbeats that are a little late drop nothing."""
    clock = Clock()
    log_filter = SuspensionLogFilter(monotonic=clock)
    for _ in range(5):
        clock.now += 2
        assert log_filter.heartbeat() == 0
        assert lets_through(log_filter, "aiokafka")
