"""Ranks, contributions, classes and maps of units, for any figures."""

from __future__ import annotations

import datetime as dt
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.agencies import AgencyRegistry
from domain.contributions import contributions
from domain.errors import ConfigurationError
from domain.indicators import Ratio
from domain.periods import Period
from domain.ranking import ranks
from domain.rate_classes import RateClass, class_of
from domain.targets import target_of
from domain.tiles import tiles_on
from domain.unit_maps import unit_map

REGISTRY = AgencyRegistry.packaged()
MERGED = dt.date(2025, 7, 1)
ratios = st.builds(lambda part, rest: Ratio(part, part + rest), st.integers(0, 20), st.integers(0, 20))
groups = st.dictionaries(st.sampled_from("abcdefgh"), ratios)


def rate(ratio):
    """The exact rate."""
    return Fraction(ratio.numerator, ratio.denominator)


@given(groups, st.integers(1, 30))
def test_a_rank_is_one_more_than_the_units_above(found, min_volume):
    """Equal rates share a rank, the next one is as many places lower, and who has too few dossiers has none."""
    ranked = {name: ratio for name, ratio in found.items() if ratio.denominator >= min_volume}
    placed = ranks(found, min_volume=min_volume)
    assert set(placed) == set(ranked)
    for name, place in placed.items():
        assert place == 1 + sum(rate(other) > rate(ranked[name]) for other in ranked.values())


def test_ties_leave_a_place_free():
    """1, 2, 2, 4, and no rank without data."""
    found = {"a": Ratio(1, 1), "b": Ratio(1, 2), "c": Ratio(2, 4), "d": Ratio(0, 5), "e": Ratio(0, 0)}
    assert ranks(found) == {"a": 1, "b": 2, "c": 2, "d": 4}


@given(groups, groups)
def test_contributions_sum_to_the_change(before, after):
    """The contributions of all groups sum exactly to the change of the rate, the largest come first."""
    found = contributions(before, after)
    whole_before, whole_after = (sum(each.values(), Ratio(0, 0)) for each in (before, after))
    if whole_before.no_data or whole_after.no_data:
        assert found == ()
        return
    assert sum(each.change for each in found) == rate(whole_after) - rate(whole_before)
    assert {each.group for each in found} == {*before, *after}
    sizes = [abs(each.change) for each in found]
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize(
    ("ratio", "target", "expected"),
    [
        (Ratio(0, 0), Fraction(1, 2), RateClass.NO_DATA),
        (Ratio(0, 9), Fraction(1, 2), RateClass.ZERO),
        (Ratio(48, 965), Fraction(1, 2), RateClass.BELOW_5),
        (Ratio(5, 100), Fraction(1, 2), RateClass.BELOW_10),
        (Ratio(10, 100), Fraction(1, 2), RateClass.BELOW_TARGET),
        (Ratio(1, 2), Fraction(1, 2), RateClass.MET),
        (Ratio(1, 2), None, RateClass.NO_TARGET),
        (Ratio(1, 100), None, RateClass.BELOW_5),
    ],
)
def test_classes_compare_exact_fractions(ratio, target, expected):
    """Exactly 5 % is not below 5 %, 4.97 % is, and a true zero is a class of its own."""
    assert class_of(ratio, target) is expected


def test_targets_by_year_and_block():
    """The target of the block in that year, else that of the nation, else none."""
    assert target_of("I1", year=2024, block="ministry") == Fraction(70, 100)
    assert target_of("I1", year=2024, block="") == Fraction(1, 2)
    assert target_of("I1", year=2025, block="province") == Fraction(80, 100)
    assert target_of("I1", year=2023, block="province") is None
    assert target_of("I5", year=2024, block="province") is None


CODES = st.sampled_from(REGISTRY.codes)


@given(CODES, st.dates(dt.date(2016, 4, 1), dt.date(2027, 1, 1)), st.integers(0, 400))
def test_a_map_puts_every_code_in_one_unit_of_its_block(code, last, later):
    """Figures of any code that was in force belong to one unit in force on the day of the map, in the same block."""
    responsible = REGISTRY.responsible(code, last)
    period = Period(last, last)
    units = unit_map(str(last + dt.timedelta(days=later)), registry=REGISTRY, period=period, today=last)
    if responsible is None:
        return
    unit = units.unit_of(responsible.code)
    assert unit.in_force(units.day)
    assert unit.block == responsible.block
    assert units.unit_of(code) == unit


def test_maps_of_units():
    """By the day of the event a merged unit stays itself; by a later day it is its successor; an older day is refused."""
    year = Period(dt.date(2025, 1, 1), dt.date(2025, 6, 30))
    by_event = unit_map("event", registry=REGISTRY, period=year, today=MERGED)
    assert by_event.unit_of("H02").code == "H02"
    for text in ("today", "2025-07-01", "01/07/2025"):
        assert unit_map(text, registry=REGISTRY, period=year, today=MERGED).unit_of("H02").code == "H05"
    with pytest.raises(ConfigurationError, match="older than the period") as caught:
        unit_map("2024-12-31", registry=REGISTRY, period=year, today=MERGED)
    assert "2025-06-30" in caught.value.remedy
    with pytest.raises(ConfigurationError, match="'now' does not name units"):
        unit_map("now", registry=REGISTRY, period=year, today=MERGED)


@pytest.mark.parametrize(("day", "provinces"), [("2016-04-01", 63), ("2025-06-30", 63), ("2025-07-01", 34), ("2026-11-01", 34)])
def test_every_province_has_one_tile(day, provinces):
    """The map of a day has a tile for each province in force, and no two in one place."""
    day = dt.date.fromisoformat(day)
    tiles = tiles_on(day)
    assert set(tiles) == {agency.code for agency in REGISTRY.in_force(day) if agency.block == "province"}
    assert len(set(tiles.values())) == len(tiles) == provinces
