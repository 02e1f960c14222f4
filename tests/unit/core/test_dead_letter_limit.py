"""When a worker stops because too much is set aside."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.dead_letter_limit import DeadLetterLimit

GOOD, BAD = False, True
BATCHES = st.lists(st.lists(st.sampled_from([GOOD, BAD]), max_size=12), max_size=12)


def judge(limit, batches):
    """The number of batches until the limit says stop, and what it says."""
    for number, batch in enumerate(batches):
        reason = limit.judged(len(batch), [at for at, refused in enumerate(batch) if refused])
        if reason:
            return number, reason
    return None, ""


@given(BATCHES, st.integers(1, 20))
def test_a_run_stops_wherever_the_batches_are_cut(batches, most):
    """The consecutive limit stops in exactly the batch in which the run of refusals first reaches it."""
    run, expected = 0, None
    for number, batch in enumerate(batches):
        for refused in batch:
            run = run + 1 if refused else 0
            if run >= most and expected is None:
                expected = number
    stopped, _ = judge(DeadLetterLimit(most, 0, 0), batches)
    assert stopped == expected


@given(BATCHES, st.floats(0.01, 0.99), st.integers(1, 30))
def test_a_share_is_taken_over_the_latest_messages(batches, most, window):
    """The ratio limit looks at the fewest latest batches that hold the window, and at nothing before it is filled."""
    seen, expected = [], None
    for number, batch in enumerate(batches):
        if batch:
            seen.append(batch)
        latest = []
        for earlier in reversed(seen):
            latest += earlier
            if len(latest) >= window:
                break
        if batch and len(latest) >= window and sum(latest) / len(latest) > most and expected is None:
            expected = number
    stopped, _ = judge(DeadLetterLimit(0, most, window), batches)
    assert stopped == expected


@given(BATCHES)
def test_zero_never_stops(batches):
    """A limit of 0 is no limit."""
    assert judge(DeadLetterLimit(0, 0, 0), batches) == (None, "")
    assert judge(DeadLetterLimit(0, 0, 5), batches) == (None, "")


def test_a_run_goes_on_from_what_was_set_aside_before():
    """A restarted worker goes on counting where its predecessor stopped; a good message ends the run."""
    assert DeadLetterLimit(10, 0, 0, run=9).judged(5, [0]) == "10 messages in a row were refused, the limit is 10"
    assert DeadLetterLimit(10, 0, 0, run=9).judged(5, [1]) == ""


@pytest.mark.parametrize(("refused", "stops"), [(50_000, False), (50_001, True)])
def test_more_than_half(refused, stops):
    """Half of the window refused is still allowed, one more is not; the sentence names both figures."""
    reason = DeadLetterLimit(0, 0.5, 100_000).judged(100_000, range(refused))
    assert bool(reason) == stops
    if stops:
        assert reason == "50001 of the latest 100000 messages were refused, the limit is 50 %"
