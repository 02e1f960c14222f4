"""Messages go out at their due times, whatever the clock does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.sending.pacing import Pacer, Unpaced, paced


@given(rate=st.floats(0.5, 400), count=st.integers(2, 300))
def test_messages_are_spread_evenly_over_time(rate, count):
    """N messages at rate R take (N - 1) / R seconds, to within one wait that is not worth making."""
    seconds = 0.0

    def sleep(wait):
        nonlocal seconds
        seconds += wait

    pacer = Pacer(lambda: rate, monotonic=lambda: seconds, sleep=sleep)
    for _ in range(count):
        assert pacer.wait()
    assert seconds == pytest.approx((count - 1) / rate, abs=0.0021)


def test_fast_rates_wait_seldom_but_keep_the_mean(hand_clock):
    """Above 500 a second several messages share one wait."""
    pacer = Pacer(lambda: 10_000.0, monotonic=hand_clock.monotonic, sleep=hand_clock.sleep)
    for _ in range(10_001):
        pacer.wait()
    assert hand_clock.seconds - 1_000.0 == pytest.approx(1.0, abs=0.003)
    assert len(hand_clock.sleeps) <= 500


def test_a_short_delay_is_caught_up_and_a_long_one_is_not(hand_clock):
    """After a stall at most one second of messages goes out at once, then the rate holds again."""
    pacer = Pacer(lambda: 10.0, monotonic=hand_clock.monotonic, sleep=hand_clock.sleep)
    pacer.wait()
    for stall, at_once in ((0.5, 5), (60.0, 11)):
        hand_clock.seconds += stall
        before, sent = len(hand_clock.sleeps), 0
        while len(hand_clock.sleeps) == before:
            pacer.wait()
            sent += 1
        assert sent - 1 == pytest.approx(at_once, abs=1)


def test_a_rate_that_changes_holds_from_the_next_message_on(hand_clock):
    """The pacer reads its rate again for each message."""
    rates = iter([1.0, 1.0, 4.0, 4.0, 4.0])
    pacer = Pacer(lambda: next(rates), monotonic=hand_clock.monotonic, sleep=hand_clock.sleep)
    for _ in range(5):
        pacer.wait()
    assert hand_clock.sleeps == pytest.approx([1.0, 1.0, 0.25, 0.25])


def test_waiting_ends_at_the_end(hand_clock):
    """A message that is due only after the end is not waited for longer than until the end."""
    pacer = Pacer(lambda: 0.1, monotonic=hand_clock.monotonic, sleep=hand_clock.sleep)
    assert pacer.wait(until=1_003.0)
    assert not pacer.wait(until=1_003.0)
    assert hand_clock.seconds == pytest.approx(1_003.0)


def test_without_a_rate_nobody_waits():
    """``max`` is no pace at all."""
    assert isinstance(paced(None), Unpaced)
    assert paced(None).wait()
    assert not Unpaced(monotonic=lambda: 5.0).wait(until=5.0)
