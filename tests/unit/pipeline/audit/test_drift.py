"""The audit's judgement: drift, what two looks agree on, which day is next."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.tiers import Tier
from pipeline.audit.drift import DayComparison, DriftTracker, Finding, TierComparison, confirmed, drift_of

DAY = dt.date(2024, 8, 20)
DAYS = [DAY + dt.timedelta(days=number) for number in range(6)]


def a_finding(drift=1, *, scope=Tier.MINUTE, agency="H17"):
    """A tally that is wrong by so many events."""
    return Finding(
        scope=scope.value,
        agency=agency,
        bucket="2024-08-20T01:30:00+00:00",
        procedure="",
        due={"events": 5, "settled": 5},
        stored={"events": 5, "settled": 5},
        tallied={"events": 5 + drift, "settled": 5},
        stored_last=None,
        tallied_last=None,
        drift=drift,
    )


def a_look(*findings, day=DAY, stuck=0, **totals):
    """A look that found these, in the minute scope unless they say otherwise; the other scopes are right."""
    scopes = {}
    for scope in Tier:
        found = tuple(finding for finding in findings if finding.scope == scope)
        look = TierComparison(9, len(found), sum(finding.drift for finding in found), stuck if found else 0, found)
        scopes[scope] = dataclasses.replace(look, **totals) if found and totals else look
    return DayComparison(day, scopes)


@given(
    least=st.integers(0, 50), late=st.integers(0, 50), tallied=st.integers(0, 150), other=st.integers(0, 50), wrong=st.booleans()
)
def test_drift_is_the_distance_to_what_may_be(least, late, tallied, other, wrong):
    """A count between what is due and what is stored is right; outside, its distance counts; of several counts the farthest."""
    due, stored = {"a": least, "b": other}, {"a": least + late, "b": other}
    drift = drift_of(due, stored, {"a": tallied, "b": other}, time_is_wrong=wrong)
    distance = min(abs(tallied - possible) for possible in range(least, least + late + 1))
    assert drift == max(distance, int(wrong))
    assert drift_of(due, stored, {"a": tallied, "b": other + 1000}) == 1000


def test_a_look_survives_json():
    """A look sent as JSON comes back equal."""
    look = a_look(a_finding(3), a_finding(2, scope=Tier.DAY), stuck=1)
    assert DayComparison.from_fields(json.loads(json.dumps(look.as_fields()))) == look


def test_a_finding_says_what_is_wrong():
    """The wrong counts are those that are not as stored, with both numbers."""
    assert a_finding(2).wrong == {"events": (5, 7)}


def test_what_only_one_look_found_is_no_drift():
    """A first look proves nothing; nor does a second one that finds another tally wrong."""
    assert confirmed(None, a_look(a_finding())).drift == 0
    assert confirmed(a_look(a_finding(agency="G01")), a_look(a_finding())).drift == 0
    assert confirmed(a_look(a_finding()), a_look()).drift == 0
    assert confirmed(a_look(a_finding(scope=Tier.DAY)), a_look(a_finding())).drift == 0


@pytest.mark.parametrize(("first", "second"), [(3, 2), (2, 3)])
def test_two_looks_agree_on_the_smaller_drift(first, second):
    """What both looks found wrong is drift by the smaller amount."""
    found = confirmed(a_look(a_finding(first), a_finding(7, agency="G01")), a_look(a_finding(second), stuck=1))
    look = found.scopes[Tier.MINUTE]
    assert (look.differing, look.drift, look.stuck) == (1, 2, 1)
    assert [finding.drift for finding in look.findings] == [2]
    assert (found.drift, found.agencies) == (2, ("H17",))


def test_more_than_is_listed_is_judged_by_its_totals():
    """Where a look found more than it lists, the smaller totals of the two stand, and no list of agencies is complete."""
    first = a_look(a_finding(), differing=5_000, drift=9_000)
    second = a_look(a_finding(), differing=6_000, drift=8_000, stuck=7_000)
    found = confirmed(first, second)
    look = found.scopes[Tier.MINUTE]
    assert (look.differing, look.drift, look.stuck) == (5_000, 8_000, 5_000)
    assert found.agencies is None
    assert confirmed(a_look(), second).drift == 0


def test_agencies_of_every_scope_are_known():
    """The agencies of a look are those with any wrong tally."""
    look = a_look(a_finding(), a_finding(scope=Tier.PROCEDURE, agency="G01"), a_finding(scope=Tier.DAY))
    assert look.agencies == ("G01", "H17")


# ---- the book


def test_every_scope_has_a_drift_from_the_start():
    """Before any look each scope reads 0."""
    assert DriftTracker().drift() == dict.fromkeys(Tier, 0)


def test_drift_stands_until_a_look_takes_it_back():
    """Confirmed by the second look, kept while other days are looked at, gone with the first look that finds nothing."""
    book = DriftTracker()
    book.know(DAYS)
    assert book.looked(a_look(a_finding(3))).drift == 0
    assert book.drift()[Tier.MINUTE] == 0
    assert book.looked(a_look(a_finding(3))).drift == 3
    book.looked(a_look(day=DAYS[1]))
    assert book.drift() == dict.fromkeys(Tier, 0) | {Tier.MINUTE: 3}
    assert book.confirmed_drift(DAY) == 3
    book.looked(a_look())
    assert book.drift() == dict.fromkeys(Tier, 0)
    assert book.confirmed_drift(DAY) == 0


def test_drift_of_many_days_adds_up():
    """Scopes add up over the days, and plus and minus never cancel, for a drift has no sign."""
    book = DriftTracker()
    for day, drift in zip(DAYS[:3], (1, 2, 4), strict=True):
        for _ in range(2):
            book.looked(a_look(a_finding(drift), a_finding(10, scope=Tier.PROCEDURE), day=day))
    assert book.drift() == {Tier.MINUTE: 7, Tier.DAY: 0, Tier.PROCEDURE: 30}


def test_days_that_are_gone_take_their_drift_along():
    """When a day is no longer there, neither is what was wrong with it."""
    book = DriftTracker()
    for _ in range(2):
        book.looked(a_look(a_finding()))
    book.know(DAYS[1:])
    assert book.drift() == dict.fromkeys(Tier, 0)
    assert book.plan([]) == [[], [], DAYS[1:]]


def test_suspects_first_then_what_was_touched_then_all_others():
    """Each day stands in one queue; within a queue the one looked at longest ago comes first."""
    book = DriftTracker()
    book.know(DAYS)
    for day in (DAYS[4], DAYS[0], DAYS[2]):
        book.looked(a_look(day=day))
    book.looked(a_look(a_finding(), day=DAYS[1]))
    suspects, touched, others = book.plan([DAYS[1], DAYS[2], DAYS[3]])
    assert suspects == [DAYS[1]]
    assert touched == [DAYS[3], DAYS[2]]
    assert others == [DAYS[5], DAYS[4], DAYS[0]]


def test_a_day_nobody_named_is_looked_at_when_it_is_touched():
    """A new day is known from the first event that arrives for it."""
    book = DriftTracker()
    book.know(DAYS[:1])
    new = DAYS[5]
    assert book.plan([new])[1] == [new]
    assert new in book.plan([])[2]


def test_a_round_is_done_when_every_day_was_looked_at():
    """Days are named anew after each of them had its turn, not before."""
    book = DriftTracker()
    assert book.round_done
    book.know(DAYS[:2])
    assert not book.round_done
    book.looked(a_look(day=DAYS[0]))
    book.looked(a_look(day=DAYS[0]))
    assert not book.round_done
    book.looked(a_look(day=DAYS[1]))
    assert book.round_done
    book.know(DAYS[:2])
    assert not book.round_done
