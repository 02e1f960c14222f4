"""The demo's verdict: exact counts, printed values, the right agencies, and nothing else passes."""

from __future__ import annotations

from decimal import Decimal

import pytest
from rich.console import Console

from deploy.native.demo.comparison import ranking, verdict_panel
from deploy.native.demo.figures import Scenario, all_hold, compare, judge_alerts, percent, vietnamese
from deploy.native.programs import PROJECT
from domain.errors import ConfigurationError

PROFILE = PROJECT / "producers" / "profiles" / "emc-2024.yaml"


@pytest.fixture(scope="module")
def scenario():
    """The scenario of the demo."""
    return Scenario.read(PROFILE)


@pytest.fixture
def rows(scenario):
    """A report that agrees with the scenario in everything."""
    return [
        {
            "scope": fact.scope,
            "code": fact.code,
            "indicators": {"I1": {"numerator": fact.numerator, "denominator": fact.denominator}},
        }
        for fact in scenario.facts
    ]


def shown(renderable):
    """What a console of 160 columns shows."""
    console = Console(width=160, no_color=True)
    with console.capture() as captured:
        console.print(renderable)
    return captured.get()


def test_the_scenario_has_every_unit_block_and_the_nation(scenario):
    """84 agencies, two blocks, one nation; the published rates are among them; 18 agencies lie below 5 %."""
    scopes = [fact.scope for fact in scenario.facts]
    assert (scopes.count("agency"), scopes.count("block"), scopes.count("nation")) == (84, 2, 1)
    printed = {fact.code: str(fact.printed) for fact in scenario.facts if fact.printed is not None}
    assert printed["G02"] == "79.94"
    assert printed["G14"] == "56.46"
    assert printed["G24"] == "49.76"
    assert printed["H17"] == "64.94"
    assert (printed["G08"], printed["G10"], printed["province"], printed["VN"]) == ("0", "0", "17.9", "43")
    assert len(scenario.below_threshold) == 18
    assert (scenario.first_day, scenario.last_day) == ("2024-01-01", "2024-08-20")


def test_the_scenario_agrees_with_itself(scenario):
    """The agencies that must alert are exactly those whose counts are below 5 %: 30 of 600 is not."""
    below = {fact.code for fact in scenario.facts if fact.scope == "agency" and 20 * fact.numerator < fact.denominator}
    assert below == scenario.below_threshold


def test_an_agreeing_report_holds(scenario, rows):
    """Every line holds, agencies are ranked from best to worst."""
    lines = compare(scenario, rows)
    assert all_hold(lines)
    assert [line.fact.code for line in lines[:6]] == ["VN", "ministry", "province", "G02", "H17", "G14"]
    assert {line.fact.code for line in lines[-2:]} == {"G08", "G10"}


@pytest.mark.parametrize("change", [{"numerator": 3248}, {"denominator": 4999}, {"numerator": None}])
def test_one_dossier_too_many_or_too_few_does_not_hold(scenario, rows, change):
    """A rate that still rounds to the printed value is not enough: the counts must be exact."""
    next(row for row in rows if row["code"] == "H17")["indicators"]["I1"].update(change)
    lines = compare(scenario, rows)
    assert [line.fact.code for line in lines if not line.holds] == ["H17"]


def test_a_missing_row_or_an_empty_report_does_not_hold(scenario, rows):
    """No data is not agreement."""
    assert not all_hold(compare(scenario, rows[1:]))
    assert not all_hold(compare(scenario, []))
    assert not all_hold(())


def test_alerts_must_be_exactly_the_right_ones(scenario):
    """A missing alert and one too many are both named."""
    assert judge_alerts(scenario, scenario.below_threshold).holds
    verdict = judge_alerts(scenario, (scenario.below_threshold - {"G08"}) | {"H54"})
    assert not verdict.holds
    assert (verdict.missing, verdict.unexpected) == (("G08",), ("H54",))


def test_percentages_are_rounded_once_and_printed_the_vietnamese_way():
    """Half up, from the counts; no data is a dash, zero is zero."""
    assert vietnamese(percent(3247, 5000, decimals=2)) == "64,94 %"
    assert vietnamese(percent(1, 8, decimals=2)) == "12,50 %"
    assert percent(5, 1000, decimals=0) == Decimal(1)
    assert vietnamese(percent(0, 200, decimals=0)) == "0 %"
    assert vietnamese(percent(0, 0, decimals=2)) == "—"


def test_the_table_marks_what_is_wrong_and_what_is_invented(scenario, rows):
    """Every agency stands in the table; a wrong figure has its mark; the caption says what the invented rows are."""
    next(row for row in rows if row["code"] == "G02")["indicators"]["I1"]["numerator"] += 1
    text = shown(ranking(compare(scenario, rows)))
    assert "invented" in text
    (line,) = [line for line in text.splitlines() if "Bộ Công Thương" in line]
    assert "✗" in line
    assert "23.983 / 30.000" in line
    (right,) = [line for line in text.splitlines() if "Đà Nẵng" in line]
    assert "✓" in right
    assert right.count("64,94 %") == 2


def test_the_verdict_names_every_fault(scenario, rows):
    """Whoever reads only the last box knows what is wrong."""
    good = verdict_panel(compare(scenario, rows), judge_alerts(scenario, scenario.below_threshold), scenario=scenario, seconds=1)
    assert "It holds" in shown(good)
    rows[0]["indicators"]["I1"]["numerator"] += 1
    bad = verdict_panel(
        compare(scenario, rows),
        judge_alerts(scenario, (scenario.below_threshold - {"G10"}) | {"H54"}),
        scenario=scenario,
        seconds=1,
    )
    text = shown(bad)
    assert "It does not hold" in text
    for part in ("43001 / 100000", "no alert for G10 Bộ Nông nghiệp", "alert for H54 Thái Bình"):
        assert part in text


def test_a_broken_scenario_is_one_sentence(tmp_path):
    """A missing or foreign file is a configuration error with its path."""
    (tmp_path / "other.yaml").write_text("schema: 1\n")
    for name in ("missing.yaml", "other.yaml"):
        with pytest.raises(ConfigurationError, match=name):
            Scenario.read(tmp_path / name)
