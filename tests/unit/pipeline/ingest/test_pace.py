"""How long loops rest: a slow storage gets fewer statements, and a flood does not wait."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.ingest.pace import RestPolicy, StorePace, dossier_rest

SECONDS = st.floats(0, 3_600)


@pytest.mark.parametrize(
    ("rows", "took", "pause"),
    [(300, 0.01, 0.2), (300, 0.1, 0.3), (300, 0.2, 0.6), (300, 30.0, 1.0), (9_999, 0.2, 0.6), (10_000, 0.2, 0.2), (0, 0.0, 0.2)],
)
def test_after_a_small_batch_the_next_waits_as_long_as_the_storage_is_slow(rows, took, pause):
    """Small batches start three times as far apart as storing one took, within limits; large ones at the interval."""
    pace = StorePace(0.2)
    pace.stored(rows, took)
    assert pace.pause() == pytest.approx(pause)


def test_only_the_latest_batch_decides():
    """A storage that is fast again gets batches at the interval again, and a flood ends the waiting at once."""
    pace = StorePace(0.2)
    assert pace.pause() == 0.2, "before the first batch"
    pace.stored(300, 0.3)
    pace.stored(300, 0.02)
    assert pace.pause() == 0.2
    pace.stored(300, 0.3)
    pace.stored(50_000, 0.5)
    assert pace.pause() == 0.2


@given(interval=SECONDS, rows=st.integers(0, 10**6), took=SECONDS)
def test_a_pause_is_bounded(interval, rows, took):
    """A batch never waits less than the interval, and never longer than the interval or a second."""
    pace = StorePace(interval)
    pace.stored(rows, took)
    assert interval <= pace.pause() <= max(interval, 1.0)


@pytest.mark.parametrize(
    ("messages", "took", "rest"),
    [
        (300, 0.1, 0.4),
        (300, 0.3, 0.3),
        (300, 1.2, 1.2),
        (300, 9.0, 2.0),
        (19_999, 1.2, 1.2),
        (20_000, 1.2, 0.0),
        (20_000, 0.1, 0.4),
    ],
)
def test_after_a_small_round_the_dossier_tier_rests_as_long_as_it_took(messages, took, rest):
    """A round of few messages is followed by a rest of its duration, within limits; one of many by what the interval asks."""
    assert max(0.0, dossier_rest(0.5, messages=messages, taken=took)) == pytest.approx(rest)


@given(interval=SECONDS, factor=st.floats(0, 30), flood=st.floats(0, 30), took=SECONDS)
def test_a_tier_of_tallies_takes_a_bounded_share_of_the_time(interval, factor, flood, took):
    """A rest is at least the factor times the round, and never ends before the interval."""
    policy = RestPolicy(interval, factor, flood)
    assert policy.seconds(took, flooded=False) >= factor * took
    assert policy.seconds(took, flooded=True) >= flood * took
    assert policy.seconds(took, flooded=False) + took >= interval * (1 - 1e-9)
