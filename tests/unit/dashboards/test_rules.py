"""The rule files are up to date, load, pass their own tests and have the labels and texts that receivers rely on."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from dashboards.rules.generate import COMMITTED, RuleTiming, changed_files, render, write_rules
from dashboards.rules.timing import duration, number
from tests.rule_cases import cases, outputs_of, written

ALERTS = {
    *("AgencyRateLow", "AgencyRateDropped", "AgencyRateSurged", "AgencySilent", "AgencyOffPace"),
    "AgencyAcceptedLate",
    *("ExporterDown", "ClickHouseDown", "KafkaDown", "WorkerDown", "NoPartitionsAssigned", "NoEventsYet", "PipelineStalled"),
    *("LagHigh", "BacklogHigh", "LagGrowing", "AcknowledgementsStalled", "AcknowledgementsLate"),
    *("TallyDrift", "TalliesBehind", "AuditFailing", "AuditOld", "FindingsOld", "DeadLetterRatioHigh", "AgencyConfigMissing"),
    *("StorageErrors", "MessagesLost", "DiskFilling", "DiskUnknown", "KafkaDiskFilling"),
    *("Watchdog", "RuleFailures", "ScrapesMissed", "NotificationsFailing", "ConfigurationRefused"),
}
#: Their severity is that of the series.
SEVERITY_OF_SERIES = {"PipelineStalled", "AgencyRateLow", "AgencySilent"}
RAW_NUMBERS = {"agency_name", "agency_name_en", "numerator", "denominator", "threshold", "missing", "missing_to_end", "since"}


def rules(timing: RuleTiming) -> list[dict]:
    """Every rule of every file."""
    return [rule for text in render(timing).values() for group in yaml.safe_load(text)["groups"] for rule in group["rules"]]


def alerts(timing: RuleTiming) -> dict[str, dict]:
    """The alerts by name."""
    return {rule["alert"]: rule for rule in rules(timing) if "alert" in rule}


def test_committed_is_regenerated():
    """The committed rule files are exactly what the generator produces with the timing of production."""
    assert changed_files() == []


def test_an_edited_file_is_noticed(tmp_path):
    """A rule file edited by hand, or missing, counts as changed."""
    write_rules(tmp_path, RuleTiming.production())
    (tmp_path / "meta.yml").unlink()
    (tmp_path / "agency.yml").write_text("groups: []\n")
    assert changed_files(tmp_path) == [tmp_path / "agency.yml", tmp_path / "meta.yml"]


@pytest.mark.parametrize("timing", [RuleTiming.production(), RuleTiming.demo()], ids=["production", "demo"])
def test_prometheus_accepts_the_rules(promtool, tmp_path, timing):
    """Prometheus loads the rules of both timings without a warning of its linter."""
    result = promtool("check", "rules", "--lint=all", "--lint-fatal", *write_rules(tmp_path, timing))
    assert result.returncode == 0, result.stdout + result.stderr


def test_rule_tests_pass(promtool, tmp_path):
    """Every promtool test passes with the rules that it needs."""
    files = {name: written(tmp_path / str(number), test=name) for number, name in enumerate(cases())}
    outputs = outputs_of(promtool, files.values())
    failed = {name: outputs[path] for name, path in files.items() if "SUCCESS" not in outputs[path]}
    assert not failed, "\n".join(f"{name}: {text}" for name, text in failed.items())


def test_demo_is_production_at_another_speed():
    """The demo has the same rules in the same order; only numbers and durations differ."""

    def shape(timing: RuleTiming) -> list[tuple[str, str]]:
        number = re.compile(r"(?<![\w.])\d+[smhd]?(?!\w)")
        return [(rule.get("alert") or rule["record"], number.sub("N", rule["expr"])) for rule in rules(timing)]

    assert shape(RuleTiming.demo()) == shape(RuleTiming.production())
    low = alerts(RuleTiming.demo())["AgencyRateLow"]
    assert (low["for"], low["keep_firing_for"]) == ("10s", "15s")
    for text in render(RuleTiming.demo()).values():
        assert all(group["interval"] == "1s" for group in yaml.safe_load(text)["groups"])


def test_every_alert_says_what_receivers_need():
    """Every alert has severity, scope, a Vietnamese and an English sentence, and a link to the runbook with its name."""
    found = alerts(RuleTiming(runbook_base_url="https://so-tay.example/"))
    assert set(found) == ALERTS
    for name, rule in found.items():
        if name in SEVERITY_OF_SERIES:
            records = " ".join(other["expr"] for other in rules(RuleTiming()) if "record" in other)
            found_severities = set(re.findall(r'"severity", "(\w+)"', f"{rule['expr']} {records}"))
        else:
            found_severities = {rule["labels"].get("severity")}
        assert found_severities <= {"critical", "warning", "info", "none"}, name
        assert found_severities, name
        assert rule["labels"]["scope"] in {"agency", "pipeline", "meta"}, name
        assert {"summary", "summary_en", "description", "description_en"} <= set(rule["annotations"]), name
        assert "{{" not in rule["annotations"]["summary"], f"{name}: the summary is a static sentence"
        assert rule["annotations"]["runbook_url"] == f"https://so-tay.example/{name}"
    assert set(found["AgencyRateLow"]["annotations"]) >= RAW_NUMBERS


def test_no_rule_asks_the_machine_for_the_time():
    """The current time comes from portalpulse's clock, so that scenarios of the past alert like live data.

    Audit, findings and the log of Kafka have the time of the machine also in a scenario.
    """
    of_the_machine = {"MessagesLost", "pipeline:audit_age:seconds", "pipeline:findings_age:seconds"}
    for rule in rules(RuleTiming.production()):
        if {rule.get("alert"), rule.get("record")} & of_the_machine:
            continue
        texts = [rule["expr"], *rule.get("annotations", {}).values()]
        assert not any(re.search(r"\b(time|timestamp)\(|\boffset\b", text) for text in texts), rule


def test_a_stall_is_known_before_an_agency_alert_is_due():
    """In production a stalled pipeline alerts before any agency alert can start."""
    timing = RuleTiming.production()
    assert timing.stall_for_seconds < timing.agency_for_seconds


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (5, "5s"), (90, "90s"), (600, "10m"), (5400, "90m"), (3600, "1h"), (86400, "1d")]
)
def test_durations(seconds, text):
    """A duration is written exactly, in the largest unit that divides it."""
    assert duration(seconds) == text


@pytest.mark.parametrize(("value", "text"), [(0.01, "0.01"), (0.000001, "0.000001"), (1.0, "1"), (10.0, "10"), (0, "0")])
def test_numbers(value, text):
    """A limit is written without exponent, for PromQL and for people."""
    assert number(value) == text


def test_test_files_name_the_generated_rules():
    """The promtool tests load the committed rules, not a copy."""
    for path in (COMMITTED / "tests").glob("*_test.yml"):
        files = yaml.safe_load(path.read_text(encoding="utf-8"))["rule_files"]
        assert {(path.parent / Path(name)).resolve() for name in files} == {
            (COMMITTED / name).resolve() for name in render(RuleTiming.production())
        }


@pytest.mark.parametrize("timing", [RuleTiming.production(), RuleTiming.demo()], ids=["production", "demo"])
def test_an_exporter_that_vanishes_ends_no_alert_and_is_told(promtool, tmp_path, timing):
    """While the exporter does not answer, the alert of an agency fires without a gap, and ExporterDown soon does."""
    step, known = timing.evaluation_seconds, 3 * timing.agency_for_seconds
    labels = '{agency="H17",kpi="I1",window="1d"}'
    series = {
        f"agency_kpi_numerator{labels}": "0",
        f"agency_kpi_denominator{labels}": "100",
        f"agency_threshold_ratio{labels}": "0.05",
        f"agency_min_volume{labels}": "30",
        'agency_info{agency="H17",block="province"}': "1",
        "portalpulse_clock_timestamp_seconds": "1000000",
        "portalpulse_newest_event_timestamp_seconds": "999990",
        "portalpulse_tally_lag_rows": "0",
    }
    firing = 'count(ALERTS{alertname="%s",alertstate="firing"})'
    after = range(known, known + 2 * timing.agency_keep_firing_seconds, step)
    told = known + timing.sample_guard_seconds + timing.part_for_seconds + 2 * step
    checks = [(firing % 'AgencyRateLow",rung="below5', second) for second in after] + [(firing % "ExporterDown", told)]
    test = {
        "rule_files": [str(path) for path in write_rules(tmp_path, timing)],
        "evaluation_interval": f"{step}s",
        "tests": [
            {
                "interval": f"{step}s",
                "input_series": [{"series": name, "values": f"{value}x{known // step} stale"} for name, value in series.items()],
                "promql_expr_test": [
                    {"expr": expr, "eval_time": f"{second}s", "exp_samples": [{"labels": "{}", "value": 1}]}
                    for expr, second in checks
                ],
            }
        ],
    }
    path = tmp_path / "test.yml"
    path.write_text(yaml.safe_dump(test), encoding="utf-8")
    result = promtool("test", "rules", path)
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-2000:]
