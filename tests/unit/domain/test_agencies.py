"""The registry: which agency is responsible for a code on a day."""

from __future__ import annotations

import csv
import datetime as dt
from importlib import resources

import pytest

from domain.agencies import AgencyRegistry
from domain.errors import ConfigurationError
from domain.periods import FIRST_DAY

HEADER = "code,name_vi,name_en,short_name_vi,block,valid_from,valid_to,successor_code\n"


def a_registry(*lines: str) -> AgencyRegistry:
    """A registry of these lines."""
    return AgencyRegistry.from_csv(HEADER + "\n".join(lines) + "\n")


def row(code, first="2016-04-01", last="", successor="", block="province") -> str:
    """One line of a registry."""
    return f"{code},{code} vi,{code} en,{code},{block},{first},{last},{successor}"


def test_the_packaged_registry_before_and_after_the_mergers(registry):
    """63 provinces until 30/06/2025, 34 from the next day; 23 ministries until 28/02/2025."""

    def in_block(day, block):
        return sum(agency.block == block for agency in registry.in_force(day))

    assert in_block(dt.date(2024, 8, 20), "province") == 63
    assert in_block(dt.date(2025, 6, 30), "province") == 63
    assert in_block(dt.date(2025, 7, 1), "province") == 34
    before, after = in_block(dt.date(2025, 2, 28), "ministry"), in_block(dt.date(2025, 3, 1), "ministry")
    assert (before, after) == (23, 17)


def test_the_packaged_successions_agree_with_the_registry(registry):
    """Every merger of successions.csv ends the old code the day before and has the same successor."""
    text = resources.files("domain").joinpath("data/successions.csv").read_text(encoding="utf-8")
    mergers = [line for line in csv.DictReader(text.splitlines()) if line["old_code"] != line["new_code"]]
    assert len(mergers) > 30
    for merger in mergers:
        day = dt.date.fromisoformat(merger["effective_date"])
        assert registry.responsible(merger["old_code"], day).code == merger["new_code"]
        assert registry.responsible(merger["old_code"], day - dt.timedelta(days=1)).code == merger["old_code"]
    merged = {code for code in registry.codes if registry.responsible(code, dt.date(2030, 1, 1)).code != code}
    assert merged == {merger["old_code"] for merger in mergers}


def test_a_renamed_agency_keeps_its_code(registry):
    """H57 is Thừa Thiên Huế until the end of 2024, then Huế."""
    assert registry.at("H57", dt.date(2024, 12, 31)).name_vi == "Thừa Thiên Huế"
    assert registry.at("H57", dt.date(2025, 1, 1)).name_vi == "Huế"
    assert len(registry.spans("H57")) == 2
    assert registry.spans("H99") == ()


def test_successions_may_be_chained():
    """A unit that was merged into one that was merged later belongs to the last one, each from its own day."""
    registry = a_registry(
        row("A01", last="2020-12-31", successor="B02"),
        row("B02", last="2022-12-31", successor="C03"),
        row("C03"),
    )
    assert [registry.responsible("A01", dt.date(year, 6, 1)).code for year in (2020, 2022, 2023)] == ["A01", "B02", "C03"]


def test_successions_in_a_circle_end():
    """For two ended units that name each other as successor nobody is responsible."""
    registry = a_registry(row("A01", last="2020-12-31", successor="B02"), row("B02", last="2020-12-31", successor="A01"))
    assert registry.responsible("A01", dt.date(2021, 1, 1)) is None


def test_codes_without_a_responsible_agency():
    """A code that is not yet in force, ended without a successor, or unknown has no responsible agency."""
    registry = a_registry(row("A01", first="2025-01-01"), row("B02", last="2020-12-31"))
    assert registry.responsible("A01", dt.date(2024, 12, 31)) is None
    assert registry.responsible("B02", dt.date(2021, 1, 1)) is None
    assert registry.responsible("Z99", dt.date(2021, 1, 1)) is None
    assert registry.at("A01", dt.date(2024, 12, 31)) is None


def test_both_ends_of_a_span_are_included():
    """A row is valid on its first and on its last day."""
    registry = a_registry(row("A01", first="2020-01-01", last="2020-12-31"))
    inside = [
        bool(registry.at("A01", dt.date.fromisoformat(day))) for day in ("2019-12-31", "2020-01-01", "2020-12-31", "2021-01-01")
    ]
    assert inside == [False, True, True, False]


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([row("A01"), row("A01", first="2020-01-01")], "two rows for A01 on 2020-01-01"),
        ([row("A01", last="2020-01-01"), row("A01", first="2020-01-01")], "two rows for A01"),
        ([row("A01", last="2020-01-01", successor="Z99")], "names Z99 as successor of A01"),
        ([row("A01", first="01/04/2016")], "Line 2 of the agency registry cannot be read"),
        ([row("A01", first="2016-W13")], "Line 2 of the agency registry cannot be read"),
        ([row("A01", last="20161231")], "Line 2 of the agency registry cannot be read"),
        ([row("A01"), "A02,too,short"], "Line 3 of the agency registry cannot be read"),
        ([row("A01", block="city")], "unknown block 'city'"),
        ([row("A01", first="1975-12-31")], "in force from 1975-12-31, before 1976-01-01"),
    ],
)
def test_a_wrong_registry_is_refused(lines, words):
    """Overlaps, unknown successors, malformed lines and unknown blocks are errors, each with its location and a remedy."""
    with pytest.raises(ConfigurationError, match=words) as refused:
        a_registry(*lines)
    assert refused.value.remedy


def test_an_agency_may_be_in_force_from_the_first_day():
    """The first day that can be counted is a day like any other."""
    assert "A01" in a_registry(row("A01", first=FIRST_DAY.isoformat()))


def test_codes_are_sorted(registry):
    """The codes are sorted and distinct: their positions are the columns' dictionary."""
    assert list(registry.codes) == sorted(set(registry.codes))
    assert [agency.code for agency in registry.in_force(dt.date(2024, 1, 1))] == sorted(
        agency.code for agency in registry.in_force(dt.date(2024, 1, 1))
    )
