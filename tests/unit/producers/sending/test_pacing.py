"""Messages are due at their times, whatever the clock does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.sending.pacing import Pacer

LIMIT = 10_000


@given(rate=st.floats(0.5, 400), count=st.integers(2, 300))
def test_messages_are_spread_evenly_over_time(rate, count):
    """N messages at rate R take (N - 1) / R seconds when each due time is waited for."""
    seconds, taken = 0.0, 0
    pacer = Pacer(lambda: rate)
    while (taken := taken + pacer.take(seconds, limit=LIMIT)) < count:
        seconds = pacer.next_due
    assert seconds == pytest.approx((count - 1) / rate, abs=1e-3)


def test_late_messages_are_due_together():
    """Asked every 10 ms, the pacer gives portions whose mean is the rate."""
    pacer = Pacer(lambda: 10_000.0)
    assert sum(pacer.take(tick / 100, limit=LIMIT) for tick in range(101)) == pytest.approx(10_000, abs=2)


def test_a_short_delay_is_caught_up_and_a_long_one_is_not():
    """After a stall at most one second of messages is due at once, then the rate holds again."""
    pacer = Pacer(lambda: 10.0)
    pacer.take(0.0, limit=LIMIT)
    assert pacer.take(0.5, limit=LIMIT) == 5
    assert pacer.take(60.5, limit=LIMIT) == 11
    assert pacer.take(61.5, limit=LIMIT) == pytest.approx(10, abs=1)


def test_a_rate_that_changes_holds_from_the_next_message_on():
    """The pacer reads its rate again for each message."""
    rates = iter([1.0, 1.0, 4.0, 4.0, 4.0])
    pacer, due = Pacer(lambda: next(rates)), [0.0]
    for _ in range(4):
        assert pacer.take(due[-1], limit=LIMIT) == 1
        due.append(pacer.next_due)
    assert due == pytest.approx([0.0, 1.0, 2.0, 2.25, 2.5])


def test_no_more_is_taken_than_fits():
    """What is due and was not taken is due afterwards."""
    pacer = Pacer(lambda: 100.0)
    assert [pacer.take(0.5, limit=20) for _ in range(4)] == [20, 20, 11, 0]
