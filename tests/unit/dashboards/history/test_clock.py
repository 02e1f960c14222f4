"""The coarse clock keeps the order of all durations, and promtool tells what begins and ends."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from dashboards.history.clock import on_coarse_clock, require_step, seconds_of, steps_of
from dashboards.history.engine import Change, Key, evaluate, values_text
from dashboards.rules.generate import RuleTiming, render
from domain.errors import ConfigurationError, UnavailableError

HOUR = 3_600


@pytest.mark.parametrize("step", [600, 1_800, HOUR, 3 * HOUR])
def test_durations_keep_their_order(step):
    """A guard is shorter than the wait of an alert on an agency, and that than what keeps it; none is shorter than true."""
    timing = RuleTiming.production()
    guard, stall, wait, keep = (
        steps_of(seconds, step)
        for seconds in (
            timing.sample_guard_seconds,
            timing.stall_for_seconds,
            timing.agency_for_seconds,
            timing.agency_keep_firing_seconds,
        )
    )
    assert 1 == guard <= stall < wait < keep
    for seconds in (60, 600, 900, 7_200, 86_400):
        assert steps_of(seconds, step) * step >= seconds


def test_only_durations_of_prometheus_change():
    """On the coarse clock the alerts are the same; expressions differ in ranges alone; records that no alert reads are gone."""
    files = render(RuleTiming.production())
    groups = on_coarse_clock(files, step_seconds=HOUR)
    rules = {rule.get("alert") or rule["record"]: rule for group in groups.values() for rule in group}
    assert "pipeline:freshness:seconds < 600" in rules["AgencyRateLow"]["expr"]
    assert (rules["AgencyRateLow"]["for"], rules["AgencyRateLow"]["keep_firing_for"]) == ("2m", "3m")
    assert rules["agency:kpi_denominator:max"]["expr"].endswith("(last_over_time(agency_kpi_denominator[1m]))")
    assert "agency:kpi_rung:ratio" in rules
    assert not {"national:kpi:ratio", "block:kpi:ratio"} & rules.keys()
    agencies = on_coarse_clock(files, step_seconds=HOUR, scopes=("agency",))
    assert {rule["labels"]["scope"] for group in agencies.values() for rule in group if "alert" in rule} == {"agency"}
    assert "pipeline:freshness:seconds" in {rule.get("record") for rule in agencies["pipeline.yml"]}
    assert sum(text.count("- alert:") for text in files.values()) == sum("alert" in rule for rule in rules.values())


def test_a_step_divides_a_day():
    """Another step is refused: a day would not begin with one."""
    require_step(60)
    with pytest.raises(ConfigurationError, match="Choose 10, 15"):
        require_step(50)
    assert (seconds_of("15m"), seconds_of("2h")) == (900, 7_200)


def test_values_are_written_as_promtool_reads_them():
    """Equal values are counted, whole numbers are exact, and a series that stops is stale first."""
    assert values_text([1, 1, 1, 0.05, None, None, 2]) == "1x2 0.05 stale _ 2"
    assert values_text([None, None, 123_456_789_012]) == "_x2 123456789012"


def test_changes_of_a_real_evaluation():
    """An alert begins after its wait and ends after what keeps it, each told with its labels and once."""
    rules = [{"alert": "Low", "expr": "x < 5", "for": "2m", "keep_firing_for": "3m", "labels": {"severity": "info"}}]
    values = [9, 9, 1, 1, 1, 1, 9, 9, 9, 9, 9, 9]
    series = {'x{agency="H17"}': values, 'x{agency="H01"}': [9] * 12, 'y{agency="G01"}': [1] * 12}
    key = Key("Low", (("agency", "H17"), ("severity", "info")))
    assert evaluate({"agency.yml": rules}, series, length=12) == [Change(4, key, ended=False), Change(9, key, ended=True)]


def test_rules_that_promtool_refuses_are_an_error():
    """Its reason is told."""
    with pytest.raises(ConfigurationError, match="promtool refuses"):
        evaluate({"agency.yml": [{"alert": "Low", "expr": "x <"}]}, {"x": [1]}, length=1)


def test_a_program_that_is_ended_is_an_error():
    """What ends a run ends its programs, and nobody takes half of an evaluation for all of it."""
    series = {f'x{{agency="H{number}"}}': list(range(2_000)) for number in range(40)}
    running = set()
    with ThreadPoolExecutor(1) as pool:
        rules = [{"alert": "Low", "expr": "x < 5", "labels": {"severity": "info"}}]
        result = pool.submit(evaluate, {"agency.yml": rules}, series, length=2_000, running=running)
        while not running and not result.done():
            time.sleep(0.01)
        for program in list(running):
            program.kill()
        with pytest.raises(UnavailableError, match="ended by signal 9"):
            result.result()
    assert not running
