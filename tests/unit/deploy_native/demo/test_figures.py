"""The demo's result: exact counts, printed values, the right agencies; everything else fails."""

from __future__ import annotations

import datetime as dt
import itertools

import pytest
from rich.console import Console

from deploy.native.demo.comparison import ranking, result_panel
from deploy.native.demo.figures import Check, Expectations, SimulatedFigures, all_passed, compare, compare_alerts
from domain.indicators import Ratio
from domain.rounding import Rounding
from producers.portals.scenarios import load_scenario
from tests.reports import report_of


@pytest.fixture(scope="module")
def expectations():
    """Those of the demo's scenario."""
    return Expectations.of(load_scenario("emc-2024"))


class NoTallies:
    """A storage without events."""

    def counts_of_days(self, _first, _last):
        return {}

    active_days = counts_of_days


@pytest.fixture
def rows(expectations):
    """A report in the product's own form whose figures are all as expected."""
    first, last = expectations.first_day, expectations.last_day
    report = report_of(NoTallies(), from_=first, to=last).as_dict()["rows"]
    expected = {(check.scope, check.code): check.expected for check in expectations.checks}
    found = []
    for row in report:
        ratio = expected.get((row["scope"], row["code"]))
        if ratio is not None:
            figure = {"numerator": ratio.numerator, "denominator": ratio.denominator}
            found.append(row | {"indicators": {"I1": figure}})
    return found


def shown(renderable):
    """What a console of 160 columns shows."""
    console = Console(width=160, no_color=True)
    with console.capture() as captured:
        console.print(renderable)
    return captured.get()


def test_the_scenario_has_every_unit_block_and_the_nation(expectations):
    """84 agencies, two blocks, one nation; the published rates are among them; 18 agencies lie below 5 %."""
    scopes = [check.scope for check in expectations.checks]
    assert (scopes.count("agency"), scopes.count("block"), scopes.count("nation")) == (84, 2, 1)
    printed = {check.code: check.printed for check in expectations.checks if check.printed is not None}
    assert printed["G02"] == "79.94"
    assert printed["G14"] == "56.46"
    assert printed["G24"] == "49.76"
    assert printed["H17"] == "64.94"
    assert (printed["G08"], printed["G10"], printed["province"], printed["VN"]) == ("0", "0", "17.9", "43")
    assert len(expectations.below_threshold) == 18
    assert (expectations.first_day, expectations.last_day) == ("2024-01-01", "2024-08-20")


def test_the_scenario_agrees_with_itself(expectations):
    """The agencies that must alert are exactly those whose counts are below 5 %: 30 of 600 is not."""
    agencies = [check for check in expectations.checks if check.scope == "agency"]
    below = {check.code for check in agencies if 20 * check.expected.numerator < check.expected.denominator}
    assert below == expectations.below_threshold


def test_a_report_as_expected_passes(expectations, rows):
    """Every row passes; agencies are ranked from best to worst."""
    compared = compare(expectations, rows)
    assert all_passed(compared)
    assert [row.check.code for row in compared[:6]] == ["VN", "ministry", "province", "G02", "H17", "G14"]
    assert {row.check.code for row in compared[-2:]} == {"G08", "G10"}


@pytest.mark.parametrize("change", [{"numerator": 3248}, {"denominator": 4999}, {"numerator": None}])
def test_one_dossier_too_many_or_too_few_fails(expectations, rows, change):
    """A rate that still rounds to the printed value is not enough: the counts must be exact."""
    next(row for row in rows if row["code"] == "H17")["indicators"]["I1"].update(change)
    compared = compare(expectations, rows)
    assert [row.check.code for row in compared if not row.passed] == ["H17"]


def test_a_missing_row_or_an_empty_report_fails(expectations, rows):
    """No data is not agreement."""
    assert not all_passed(compare(expectations, rows[1:]))
    assert not all_passed(compare(expectations, []))
    assert not all_passed(())


def test_alerts_must_be_exactly_the_right_ones(expectations):
    """A missing alert and an unexpected one are both named."""
    assert compare_alerts(expectations, expectations.below_threshold).passed
    alerts = compare_alerts(expectations, (expectations.below_threshold - {"G08"}) | {"H54"})
    assert not alerts.passed
    assert (alerts.missing, alerts.unexpected) == (("G08",), ("H54",))


@pytest.mark.parametrize(("printed", "percent"), [(None, "12.50"), ("13", "13"), ("12.5", "12.5")])
def test_a_percentage_has_as_many_decimals_as_the_source_prints(printed, percent):
    """As many decimals as the source prints, reduced as the source does; two, and cut, where it prints none."""
    check = Check("agency", "H17", "province", Ratio(1, 8), printed, Rounding.HALF_UP)
    assert check.percent(Ratio(1, 8)) == percent
    assert check.percent(Ratio(0, 0)) is None


def test_a_printed_value_that_the_counts_do_not_give_fails(expectations, rows):
    """Exact counts do not pass when the source prints another percentage."""
    compared = compare(expectations, rows)
    (row,) = [row for row in compared if row.check.code == "H17"]
    other = Check(row.check.scope, row.check.code, row.check.block, row.check.expected, "64.95")
    assert not type(row)(other, row.name, row.found).passed


def test_the_table_marks_what_is_wrong_and_what_is_invented(expectations, rows):
    """Every agency is in the table with its block; a wrong figure is marked; the caption explains the invented rows."""
    next(row for row in rows if row["code"] == "G02")["indicators"]["I1"]["numerator"] += 1
    text = shown(ranking(compare(expectations, rows)))
    assert "invented" in text
    (line,) = [line for line in text.splitlines() if "Bộ Công Thương" in line]
    assert "✗" in line
    assert "23.983 / 30.000" in line
    assert "bộ, ngành" in line
    (right,) = [line for line in text.splitlines() if "Đà Nẵng" in line]
    assert "✓" in right
    assert "địa phương" in right
    assert right.count("64,94 %") == 2


def test_the_result_names_every_fault(expectations, rows):
    """The last panel alone says what is wrong."""
    alerts = compare_alerts(expectations, expectations.below_threshold)
    right = SimulatedFigures(107_874, 9)
    good = result_panel(compare(expectations, rows), alerts, expectations=expectations, simulated=right, seconds=1)
    assert "Passed" in shown(good)
    assert "107,874 simulated dossiers" in shown(good)
    nation = next(row for row in rows if row["scope"] == "nation")
    nation["indicators"]["I1"]["numerator"] += 1
    bad = result_panel(
        compare(expectations, rows),
        compare_alerts(expectations, (expectations.below_threshold - {"G10"}) | {"H54"}),
        expectations=expectations,
        simulated=right,
        seconds=1,
    )
    text = shown(bad)
    assert "Failed" in text
    for part in ("Toàn quốc: 43001 / 100000", "no alert for G10 Bộ Nông nghiệp", "alert for H54 Thái Bình"):
        assert part in text


def test_a_figure_that_is_not_the_true_one_fails(expectations, rows):
    """Right figures of the source do not pass when another period or indicator differs from the simulated dossiers."""
    wrong = SimulatedFigures(10, 9, tuple(f"H17 from 2024-0{month}-01: I5 is wrong." for month in range(1, 9)) * 2)
    alerts = compare_alerts(expectations, expectations.below_threshold)
    text = shown(result_panel(compare(expectations, rows), alerts, expectations=expectations, simulated=wrong, seconds=1))
    assert "Failed" in text
    assert "H17 from 2024-03-01: I5 is wrong." in text
    assert "6 more differences" in text


def test_every_month_of_the_period_is_compared(expectations):
    """The whole period, seven whole months and the days of August, without a gap."""
    whole, *months = expectations.periods()
    assert whole == (dt.date(2024, 1, 1), dt.date(2024, 8, 20))
    assert len(months) == 8
    assert (months[0][0], months[1], months[-1][1]) == (whole[0], (dt.date(2024, 2, 1), dt.date(2024, 2, 29)), whole[1])
    assert all(later[0] - earlier[1] == dt.timedelta(days=1) for earlier, later in itertools.pairwise(months))
