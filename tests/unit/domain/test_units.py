"""The unit of an event is decided from the agency code, the dossier code and the day."""

from __future__ import annotations

import datetime as dt

import pytest

from domain.agencies import AgencyRegistry
from domain.units import EventUnit, level_one, unit_of_event

REGISTRY = AgencyRegistry.packaged()
NAMED_62, NAMED_44 = EventUnit("H62", named_by_code=True), EventUnit("H44", named_by_code=True)
BEFORE, AFTER = dt.date(2025, 6, 2), dt.date(2025, 7, 2)  # H62 merged into H44 on 2025-07-01


@pytest.mark.parametrize(
    ("code", "level"),
    [
        ("H17", "H17"),
        ("000.00.12.H17", "H17"),
        ("H17.12", "H17"),
        ("000.00.16.H62-250601-0002", "H62"),
        ("H17.1-240102-0001", "H17"),
        ("h17", None),
        ("", None),
        ("12.34", None),
    ],
)
def test_level_one_of_full_codes(code, level):
    """The level-1 code is the group of a letter and two digits, last in the old form and first in the new one."""
    assert level_one(code) == level


@pytest.mark.parametrize(
    ("agency_code", "dossier_code", "day", "unit"),
    [
        ("H62", "H62-250601-0001", BEFORE, NAMED_62),
        ("H62", "H62-250601-0001", AFTER, NAMED_44),
        ("000.00.16.H62", "000.00.16.H62-250601-0001", BEFORE, NAMED_62),
        # History that the successor sends again counts for the unit that did the work.
        ("H44", "H62-250601-0001", BEFORE, NAMED_62),
        ("H44", "H62-250601-0001", AFTER, NAMED_44),
        # No succession links the two.
        ("H29", "H62-250601-0001", BEFORE, EventUnit("H29", named_by_code=False)),
        ("H62", "H44-250601-0001", BEFORE, EventUnit("H62", named_by_code=False)),
        ("H62", "Z99-250601-0001", BEFORE, EventUnit("H62", named_by_code=False)),
        ("Z99", "H62-250601-0001", BEFORE, None),
        ("nonsense", "H62-250601-0001", BEFORE, None),
        ("H62-250601-0001", "H62-250601-0001", BEFORE, None),
        ("H62", "H62-150601-0001", dt.date(2010, 1, 1), None),
    ],
)
def test_the_unit_of_an_event(agency_code, dossier_code, day, unit):
    """A code is followed to the unit in force on the day, except that a successor speaks for the unit of the dossier code."""
    assert unit_of_event(REGISTRY, agency_code=agency_code, dossier_code=dossier_code, day=day) == unit


CHAIN = AgencyRegistry.from_csv(
    """code,name_vi,name_en,short_name_vi,official_name_vi,block,valid_from,valid_to,successor_code,reports_from
H91,A,A,A,A,province,2020-01-01,2020-12-31,H92,
H92,B,B,B,B,province,2020-01-01,2021-12-31,H93,
H93,C,C,C,C,province,2022-01-01,,,
"""
)


def test_a_successor_of_a_successor_speaks_for_the_first_unit():
    """Further successions count; so does a successor that is newer than the history that it sends."""
    for sent in ("H91", "H92", "H93"):
        found = unit_of_event(CHAIN, agency_code=sent, dossier_code="H91-200601-0001", day=dt.date(2020, 6, 1))
        assert found == EventUnit("H91", named_by_code=True)
    assert unit_of_event(CHAIN, agency_code="H93", dossier_code="H93-200601-0001", day=dt.date(2020, 6, 1)) is None


def test_successions():
    """A unit succeeds those that ended in it, directly or not; never itself; links hold in both directions."""
    assert CHAIN.succeeds("H93", "H91")
    assert not CHAIN.succeeds("H91", "H93")
    assert not CHAIN.succeeds("H91", "H91")
    assert all(CHAIN.linked(one, other) for one, other in (("H91", "H93"), ("H93", "H91"), ("H92", "H92")))
    assert not REGISTRY.linked("H29", "H62")
