"""Drift: what counts as one, what two comparisons confirm, which day is compared next."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.tiers import Tier
from pipeline.audit.drift import DayComparison, DriftTracker, confirmed
from pipeline.audit.json_format import decode_comparison, encode_comparison
from sinks.contract.audit import Comparison, Difference
from sinks.contract.tallies import Counts
from tests.factories import MORNING
from tests.fakes import drift_of

DAY = dt.date(2024, 8, 20)
DAYS = [DAY + dt.timedelta(days=number) for number in range(6)]


def a_difference(drift=1, *, tier=Tier.MINUTE, agency="H17"):
    """A tally that is wrong by ``drift`` events."""
    return Difference(
        tier=tier,
        agency=agency,
        bucket=dt.datetime(2024, 8, 20, 1, 30, tzinfo=dt.UTC) if tier is Tier.MINUTE else DAY,
        procedure="",
        due=Counts(5, settled=5),
        stored=Counts(5, settled=5),
        tallied=Counts(5 + drift, settled=5),
        stored_last=None,
        tallied_last=MORNING,
        drift=drift,
    )


def a_comparison(*differences, day=DAY, stuck=0, **totals):
    """A comparison that found these differences; in every other tier the tallies are right."""
    tiers = {}
    for tier in Tier:
        found = tuple(difference for difference in differences if difference.tier is tier)
        drift = sum(difference.drift for difference in found)
        comparison = Comparison(9, len(found), drift, stuck if found else 0, found)
        tiers[tier] = dataclasses.replace(comparison, **totals) if found and totals else comparison
    return DayComparison(day, tiers)


@given(
    minimum=st.integers(0, 50),
    late=st.integers(0, 50),
    tallied=st.integers(0, 150),
    other=st.integers(0, 50),
    wrong=st.booleans(),
)
def test_drift_is_the_distance_to_what_may_be(minimum, late, tallied, other, wrong):
    """A count between due and stored is right. Outside, its distance is the drift; of several counts the largest distance is."""
    due, stored = {"a": minimum, "b": other}, {"a": minimum + late, "b": other}
    drift = drift_of(due, stored, {"a": tallied, "b": other}, time_is_wrong=wrong)
    distance = min(abs(tallied - possible) for possible in range(minimum, minimum + late + 1))
    assert drift == max(distance, int(wrong))
    assert drift_of(due, stored, {"a": tallied, "b": other + 1000}) == 1000


def test_a_comparison_survives_json():
    """A comparison sent as JSON comes back equal."""
    comparison = a_comparison(a_difference(3), a_difference(2, tier=Tier.DAY), stuck=1)
    assert decode_comparison(json.loads(json.dumps(encode_comparison(comparison)))) == comparison


def test_a_difference_says_what_is_wrong():
    """The wrong counts are those that differ from the stored events, with both numbers."""
    assert a_difference(2).wrong_counts == {"events": (5, 7)}


def test_what_only_one_comparison_found_is_no_drift():
    """A first comparison proves nothing; nor does a second one that finds another tally wrong."""
    assert confirmed(None, a_comparison(a_difference())).drift == 0
    assert confirmed(a_comparison(a_difference(agency="G01")), a_comparison(a_difference())).drift == 0
    assert confirmed(a_comparison(a_difference()), a_comparison()).drift == 0
    assert confirmed(a_comparison(a_difference(tier=Tier.DAY)), a_comparison(a_difference())).drift == 0


@pytest.mark.parametrize(("first", "second"), [(3, 2), (2, 3)])
def test_two_comparisons_confirm_the_smaller_drift(first, second):
    """What both comparisons found wrong is drift by the smaller amount."""
    found = confirmed(
        a_comparison(a_difference(first), a_difference(7, agency="G01")), a_comparison(a_difference(second), stuck=1)
    )
    comparison = found.tiers[Tier.MINUTE]
    assert (comparison.differing, comparison.drift, comparison.stuck) == (1, 2, 1)
    assert [difference.drift for difference in comparison.differences] == [2]
    assert (found.drift, found.agencies) == (2, ("H17",))


def test_more_than_is_listed_is_judged_by_its_totals():
    """When a comparison found more than it lists, the smaller totals count, and no list of agencies is complete."""
    first = a_comparison(a_difference(), differing=5_000, drift=9_000)
    second = a_comparison(a_difference(), differing=6_000, drift=8_000, stuck=7_000)
    found = confirmed(first, second)
    comparison = found.tiers[Tier.MINUTE]
    assert (comparison.differing, comparison.drift, comparison.stuck) == (5_000, 8_000, 5_000)
    assert found.agencies is None
    assert confirmed(a_comparison(), second).drift == 0


def test_agencies_of_every_tier_are_known():
    """The agencies of a comparison are those with any wrong tally."""
    comparison = a_comparison(a_difference(), a_difference(tier=Tier.PROCEDURE, agency="G01"), a_difference(tier=Tier.DAY))
    assert comparison.agencies == ("G01", "H17")


# ---- the tracker


def test_every_tier_has_a_drift_from_the_start():
    """Before any comparison each tier reads 0."""
    assert DriftTracker().drift() == dict.fromkeys(Tier, 0)


def test_drift_stands_until_a_comparison_no_longer_finds_it():
    """Confirmed by the second comparison, kept while other days are compared, gone when a comparison finds nothing."""
    tracker = DriftTracker()
    tracker.set_days(DAYS)
    assert tracker.record(a_comparison(a_difference(3))).drift == 0
    assert tracker.drift()[Tier.MINUTE] == 0
    assert tracker.record(a_comparison(a_difference(3))).drift == 3
    tracker.record(a_comparison(day=DAYS[1]))
    assert tracker.drift() == dict.fromkeys(Tier, 0) | {Tier.MINUTE: 3}
    assert tracker.confirmed_drift(DAY) == 3
    tracker.record(a_comparison())
    assert tracker.drift() == dict.fromkeys(Tier, 0)
    assert tracker.confirmed_drift(DAY) == 0


def test_drift_of_many_days_adds_up():
    """Each tier adds up over the days. Plus and minus never cancel, because a drift has no sign."""
    tracker = DriftTracker()
    for day, drift in zip(DAYS[:3], (1, 2, 4), strict=True):
        for _ in range(2):
            tracker.record(a_comparison(a_difference(drift), a_difference(10, tier=Tier.PROCEDURE), day=day))
    assert tracker.drift() == {Tier.MINUTE: 7, Tier.DAY: 0, Tier.PROCEDURE: 30}


def test_days_that_are_gone_take_their_drift_along():
    """The drift of a day that is gone is gone, too."""
    tracker = DriftTracker()
    for _ in range(2):
        tracker.record(a_comparison(a_difference()))
    tracker.set_days(DAYS[1:])
    assert tracker.drift() == dict.fromkeys(Tier, 0)
    assert tracker.plan([]) == [[], [], DAYS[1:]]


def test_suspects_first_then_what_was_touched_then_all_others():
    """Each day is in one queue; within a queue the day whose comparison is oldest comes first."""
    tracker = DriftTracker()
    tracker.set_days(DAYS)
    for day in (DAYS[4], DAYS[0], DAYS[2]):
        tracker.record(a_comparison(day=day))
    tracker.record(a_comparison(a_difference(), day=DAYS[1]))
    suspects, touched, others = tracker.plan([DAYS[1], DAYS[2], DAYS[3]])
    assert suspects == [DAYS[1]]
    assert touched == [DAYS[3], DAYS[2]]
    assert others == [DAYS[5], DAYS[4], DAYS[0]]


def test_a_new_day_is_compared_when_events_arrive_for_it():
    """A new day is known from the first event that arrives for it."""
    tracker = DriftTracker()
    tracker.set_days(DAYS[:1])
    new = DAYS[5]
    assert tracker.plan([new])[1] == [new]
    assert new in tracker.plan([])[2]


def test_a_round_is_done_when_every_day_was_compared():
    """The days are listed again after each of them was compared, not before."""
    tracker = DriftTracker()
    assert tracker.round_done
    tracker.set_days(DAYS[:2])
    assert not tracker.round_done
    tracker.record(a_comparison(day=DAYS[0]))
    tracker.record(a_comparison(day=DAYS[0]))
    assert not tracker.round_done
    tracker.record(a_comparison(day=DAYS[1]))
    assert tracker.round_done
    tracker.set_days(DAYS[:2])
    assert not tracker.round_done
