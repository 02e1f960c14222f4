"""A simulated period through the real rules: right rules are right, and every kind of broken rule is noticed."""

from __future__ import annotations

import csv
import datetime as dt
from dataclasses import replace
from importlib import resources

import numpy as np
import pytest

from dashboards.history.faults import Fault, Injected, feed_of
from dashboards.history.trial import run_trial
from dashboards.history.year import simulate
from dashboards.rules.generate import RuleTiming, render
from domain.agencies import AgencyRegistry
from domain.periods import Period
from domain.working_days import WorkingDays
from pipeline.settings import ThresholdPolicy
from producers.portals.scenarios import load_scenario

TET = Period(dt.date(2024, 2, 1), dt.date(2024, 2, 29))
POLICIES = (ThresholdPolicy(window="1d"), ThresholdPolicy(window="ytd"))
REGISTRY, WORKING_DAYS, TIMING = AgencyRegistry.packaged(), WorkingDays(), RuleTiming.production()


def simulated(period=TET, *, minutes=180, seed=1, agencies=None):
    """February 2024, or another period, with faults."""
    return simulate(
        period,
        step=dt.timedelta(minutes=minutes),
        seed=seed,
        registry=REGISTRY,
        working_days=WORKING_DAYS,
        agencies=agencies,
    )


def trial(year, rules=None):
    """The committed rules, or others, over a simulated period."""
    return run_trial(
        year, rules or render(TIMING), policies=POLICIES, registry=REGISTRY, working_days=WORKING_DAYS, timing=TIMING
    )


def wrong(of):
    """Everything that a person needs to see what was wrong."""
    verdict = of.verdict
    return {
        "false alerts": verdict.false_alerts,
        "false ends": verdict.false_ends,
        "missed": verdict.missed,
        "not judged": verdict.not_judged,
        "not found": of.not_found,
        "not told": of.not_told,
    }


def test_sizes_are_those_of_the_published_figures():
    """The simulated agencies have the sizes and rates of the scenario emc-2024."""
    text = resources.files("dashboards.history").joinpath("sizes.csv").read_text(encoding="utf-8")
    found = {row["agency"]: (int(row["settled"]), int(row["settled_full"])) for row in csv.DictReader(text.splitlines())}
    units = load_scenario("emc-2024").units
    assert found == {unit.code: (unit.settled.denominator, unit.settled.numerator) for unit in units}


def test_the_world_is_like_the_real_one_and_follows_from_its_seed():
    """84 agencies; nights, weekends and Tết are quiet; drops, silences and every fault are there; a seed gives one world."""
    year, again, other = simulated(), simulated(), simulated(seed=2)
    figures, grid = year.figures, year.figures.grid
    assert len(figures.agencies) == 84
    by_day = figures.counts["settled"].sum(axis=0).reshape(-1, 8).sum(axis=1)
    on = {day: int(by_day[(grid.of_day(day)) // 8]) for day in (dt.date(2024, 2, d) for d in range(1, 30))}
    working, saturday, tet = dt.date(2024, 2, 21), dt.date(2024, 2, 24), dt.date(2024, 2, 10)
    assert on[tet] < on[saturday] < on[working] / 8
    by_hour = figures.counts["settled"].sum(axis=0).reshape(-1, 8).sum(axis=0)
    assert by_hour[0] < by_hour[3] / 10
    assert {each.fault for each in year.faults} == set(Fault)
    assert year.drops
    assert year.silences
    for silence in year.silences:
        row = [agency.code for agency in figures.agencies].index(silence.agency)
        first = grid.of_day(silence.first)
        assert figures.counts["settled"][row, first : first + silence.days * 8].sum() == 0
    assert np.array_equal(figures.counts["settled_full"], again.figures.counts["settled_full"])
    assert not np.array_equal(figures.counts["settled_full"], other.figures.counts["settled_full"])


@pytest.mark.parametrize("agencies", [21, *(pytest.param(agencies, marks=pytest.mark.long) for agencies in (42, 84))])
def test_a_month_with_tet_is_right(agencies):
    """February 2024 with some of the agencies: no false alert, no false end, nothing missed, every drop found and fault told."""
    found = trial(simulated(agencies=agencies))
    assert found.right, wrong(found)
    assert found.verdict.not_judged == {}
    names = {span.key.name for span in found.spans}
    assert {"AgencyRateLow", "AgencyAcceptedLate", "PipelineStalled", "ExporterDown", "ClickHouseDown", "Watchdog"} <= names
    assert sum(span.first is not None for span in found.spans) > agencies


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("month", [2, 9])
def test_a_month_by_the_hour_is_right(month):
    """The same by the hour with all 84 agencies, and for another month with a holiday."""
    period = Period(dt.date(2024, month, 1), dt.date(2024, month, 29))
    found = trial(simulated(period, minutes=60, seed=month))
    assert found.right, wrong(found)


#: Rules with one fault: what is replaced, and by what.
LOW = "agency:kpi:ratio < on (agency, kpi, window) group_right () agency:kpi_rung:ratio\n"
BROKEN = {
    "a limit that is two points too high": (LOW, LOW.replace("agency:kpi:ratio", "(agency:kpi:ratio - 0.02)", 1), "false alerts"),
    "no minimum volume": ("agency:kpi_denominator:max >= on", "agency:kpi_denominator:max * 1000 >= on", "missed"),
    "no deadband": ("group_right () agency:kpi_rung_clear:ratio", "group_right () agency:kpi_rung:ratio", "false ends"),
    "a stall ends alerts": ("pipeline:freshness:seconds >= 600", "pipeline:freshness:seconds >= 1e9", "false ends"),
    "ten times the minimum volume": ("agency:kpi_denominator:max >= on", "agency:kpi_denominator:max / 10 >= on", "missed"),
    "one in twenty accepted late": ("agency:accepted_late:ratio > 0.1", "agency:accepted_late:ratio > 0.05", "false alerts"),
    "late acceptance ends too soon": ("agency:accepted_late:ratio <= 0.09", "agency:accepted_late:ratio <= 0.14", "false ends"),
    "nothing starts": (LOW, LOW.replace("agency:kpi:ratio", "agency:kpi_nothing:ratio", 1), "missed"),
}


@pytest.fixture(scope="module")
def small():
    """Twelve days of some agencies; every other day nothing arrives from nine o'clock to the next morning."""
    year = simulated(Period(dt.date(2024, 3, 4), dt.date(2024, 3, 15)), agencies=20)
    grid = year.figures.grid
    mornings = [grid.of_day(dt.date(2024, 3, day)) + 3 for day in (5, 7, 9, 11, 13)]
    faults = [Injected(Fault.STALL, morning, morning + 7) for morning in mornings]
    return replace(year, faults=faults, feed=feed_of(grid, faults, year.figures.counts["settled"]))


def test_the_small_world_is_right(small):
    """The control: with the rules as they are, nothing is wrong."""
    found = trial(small)
    assert found.right, wrong(found)


#: One in the fast run; the others are long.
FAST = {"no deadband"}


@pytest.mark.parametrize("what", [pytest.param(what, marks=() if what in FAST else pytest.mark.long) for what in BROKEN])
def test_a_broken_rule_is_noticed(small, what):
    """A verdict names what a broken rule does wrong."""
    old, new, kind = BROKEN[what]
    rules = render(TIMING)
    assert old in rules["agency.yml"], f"the rules no longer hold {old!r}: adapt this test"
    found = trial(small, {**rules, "agency.yml": rules["agency.yml"].replace(old, new, 1)})
    assert wrong(found)[kind], f"nobody noticed: {what}"
    assert not found.right
