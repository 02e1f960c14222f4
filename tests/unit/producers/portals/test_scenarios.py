"""Scenario files are refused whenever they contradict themselves or the registry."""

from __future__ import annotations

from importlib import resources

import pytest

from domain.agencies import AgencyRegistry
from domain.errors import ConfigurationError
from producers.portals.documents import available_scenarios
from producers.portals.scenarios import Share, load_scenario, read_scenario

TEXT = resources.files("producers.portals").joinpath("profiles/emc-2024.yaml").read_text(encoding="utf-8")


def test_the_scenario_of_2024_states_84_units_that_add_up(scenario):
    """The packaged scenario holds 21 ministries and 63 provinces, whose figures add up to blocks and nation."""
    assert len(scenario.units) == 84
    assert scenario.pooled == {
        "nation": Share(43_000, 100_000),
        "ministry": Share(35_840, 60_000),
        "province": Share(7_160, 40_000),
    }
    assert scenario.expected()["H17"] == Share(3_247, 5_000)
    assert scenario.expected(3)["H17"] == Share(9_741, 15_000)
    assert (scenario.period.start.isoformat(), scenario.period.end.isoformat()) == ("2024-01-01", "2024-08-20")
    assert scenario.zero == {"G08", "G10"}


def test_an_unknown_scenario_is_answered_with_the_known_ones():
    """A misspelt scenario is answered with the names of all scenarios."""
    with pytest.raises(ConfigurationError, match="emc-2024") as caught:
        load_scenario("emc-2025")
    assert caught.value.exit_code == 2
    assert "emc-2024" in available_scenarios()


@pytest.mark.parametrize(
    ("before", "after", "problem"),
    [
        ("num: 3247, den: 5000", "num: 3248, den: 5000", "add up"),
        ("num: 3247, den: 5000", "num: 5001, den: 5000", "5001 of 5000"),
        ("num: 3247, den: 5000", "num: many, den: 5000", "int"),
        ("code: H01,", "code: H02,", "twice"),
        ("code: H01,", "code: H99,", "not in force"),
        ("start: 2024-01-01", "start: 2014-01-01", "not in force"),
        ("units: 21", "units: 22", "21 units"),
        ("period: 2024-ytd, scope: nation", "period: 2023-ytd, scope: nation", "unknown period"),
        ("zero: [G08, G10]", "zero: [G08]", "expected.zero"),
        ("above_0_below_5: [G06,", "above_0_below_5: [", "above_0_below_5"),
        ("timezone: Asia/Ho_Chi_Minh", "timezone: UTC", "timezone"),
        ("schema: 1", "schema: 2", "schema"),
        ("schema: 1", "schema: 1\nsurprise: 1", "surprise"),
        ("additive: [I1]", "additive: []", "additive"),
        ("schema: 1", "schema: [", "cannot be used"),
    ],
)
def test_a_contradiction_is_refused_and_named(before, after, problem):
    """Every kind of contradiction in a scenario file is a configuration error that says what is wrong."""
    assert before in TEXT
    with pytest.raises(ConfigurationError, match=problem):
        read_scenario(TEXT.replace(before, after, 1), name="changed", registry=AgencyRegistry.packaged())
