"""Alertmanager's configuration loads, and every alert reaches the right people: each agency, an unknown one, each severity."""

from __future__ import annotations

import datetime as dt
import itertools
import re

import pytest
import yaml

from dashboards.alertmanager.generate import (
    COMMITTED,
    AlertTiming,
    changed_files,
    render_routes,
    write_config,
)
from dashboards.alertmanager.routes import MUTING_FAULTS
from dashboards.notify.recipients_file import EXAMPLE, read_recipients
from domain.agencies import AgencyRegistry

URL = "http://127.0.0.1:1/alerts"
DAY = dt.date(2026, 1, 1)
LOW = {"alertname": "AgencyRateLow", "scope": "agency", "kpi": "I1", "window": "1d"}
#: Receivers by labels; each label is an argument of its own, or amtool resolves everything to the root.
ROUTES = [
    ("heartbeat", {"alertname": "Watchdog", "severity": "none", "scope": "meta"}),
    ("operations", {"alertname": "PipelineStalled", "severity": "critical", "scope": "pipeline"}),
    ("operations", {"alertname": "TallyDrift", "severity": "warning", "scope": "pipeline"}),
    # scope decides, not the labels an alert happens to carry
    ("operations", {"alertname": "AgencyConfigMissing", "severity": "warning", "scope": "pipeline", "agency": "H17"}),
    ("operations", {"alertname": "RuleFailures", "severity": "critical", "scope": "meta"}),
    ("operations", {"alertname": "SomethingNew"}),
]
#: Those of the example of the recipients file.
PEOPLE = [
    # the relay itself may be what fails: the checker of the heartbeat is told as well
    ("self-monitoring", {"alertname": "NotificationsFailing", "severity": "critical", "scope": "meta"}),
    ("operations-agencies,agency-default", LOW | {"severity": "critical", "agency": "Z99"}),
    # a prefix of a known agency, and none at all
    ("operations-agencies,agency-default", LOW | {"severity": "critical", "agency": "H1"}),
    ("operations-agencies,agency-default", LOW | {"severity": "critical"}),
    # a severity that nobody foresaw still reaches the agency
    ("operations-agencies,agency-H17", LOW | {"severity": "page", "agency": "H17"}),
    ("operations-agencies,agency-H17", {"alertname": "AgencyNew", "scope": "agency", "severity": "warning", "agency": "H17"}),
]


@pytest.fixture(scope="module")
def directory():
    """The people of the example."""
    return read_recipients(EXAMPLE, AgencyRegistry.packaged(), day=DAY)


@pytest.fixture
def one_webhook(tmp_path):
    """The configuration of a local stack without recipients."""
    path = tmp_path / "demo" / "alertmanager.yml"
    write_config(path, webhook_url=URL, timing=AlertTiming.demo())
    return path


def test_committed_is_regenerated():
    """The committed example is exactly what the generator makes."""
    assert changed_files() == []


def test_alertmanager_accepts_the_configurations(amtool, one_webhook):
    """Alertmanager loads the example and the configuration with one webhook."""
    for config in (COMMITTED, one_webhook):
        result = amtool("check-config", config)
        assert result.returncode == 0, result.stdout + result.stderr


def test_routes(amtool, one_webhook):
    """An alert with these labels goes to exactly these receivers; a wrong expectation fails."""
    for receivers, labels in [*ROUTES, *PEOPLE]:
        assert _route(amtool, COMMITTED, receivers, labels), (receivers, labels)
    for receivers, labels in [*ROUTES, ("agencies", LOW | {"agency": "Z99"})]:
        assert _route(amtool, one_webhook, receivers, labels), (receivers, labels)
    assert not _route(amtool, COMMITTED, "operations", PEOPLE[-1][1])
    assert not _route(amtool, COMMITTED, "agency-H17,operations-agencies", PEOPLE[-1][1])


def test_every_agency_reaches_its_people(amtool, directory, pytestconfig):
    """At each severity an agency reaches operations and its people, without people the default; superiors only if critical.

    In the fast run agencies without people of their own have one of the severities, in turn.
    """
    severities = ("critical", "warning", "info")
    every = list(itertools.product(AgencyRegistry.packaged().codes, severities))
    turns = [(code, severities[number // 3 % 3]) for number, (code, _) in enumerate(every)]
    named = [(code, severity) for code, severity in every if directory.agencies.get(code)]
    for code, severity in every if pytestconfig.getoption("--long") else sorted({*turns, *named}):
        wanted = ["operations-agencies"]
        if code == "H17" and severity == "critical":
            wanted.append("superior-H17-4h")
        wanted.append(f"agency-{code}" if directory.agencies.get(code) else "agency-default")
        assert _route(amtool, COMMITTED, ",".join(wanted), LOW | {"severity": severity, "agency": code}), (code, severity)
    assert directory.agencies["H17"] == ("dau-moi-h17",)
    assert directory.agencies["G02"] == ("observer",)
    assert directory.agencies["H26"] == ()


def test_each_channel_is_an_address_of_its_own(directory):
    """Alertmanager repeats what one channel did not take, and nothing else: each has its own address at the relay."""
    written = yaml.safe_load(COMMITTED.read_text(encoding="utf-8"))
    hooks = {receiver["name"]: [hook["url"] for hook in receiver.get("webhook_configs", [])] for receiver in written["receivers"]}
    assert hooks["operations"] == [f"http://127.0.0.1:9095/deliver/truc-van-hanh/{name}" for name in ("mail", "telegram")]
    assert hooks["agency-G02"] == [f"http://127.0.0.1:9095/deliver/observer/{name}" for name in ("webhook", "chat")]
    assert hooks["superior-H17-4h"] == ["http://127.0.0.1:9095/deliver/lanh-dao-h17/mail"]
    assert hooks["agency-default"] == []  # operations have it already
    assert all(hook["send_resolved"] for receiver in written["receivers"][1:] for hook in receiver.get("webhook_configs", []))


def test_a_default_of_its_own_is_told_of_unknown_agencies(directory):
    """With `default` in the file, unknown agencies reach these people."""
    recipients = directory.recipients.model_copy(update={"default": ("observer",)})
    changed = type(directory)(recipients, directory.folder, directory.agencies)
    written = yaml.safe_load(render_routes(changed, timing=AlertTiming.production(), relay_url="http://r"))
    (default,) = [receiver for receiver in written["receivers"] if receiver["name"] == "agency-default"]
    assert [hook["url"] for hook in default["webhook_configs"]] == [f"http://r/deliver/observer/{n}" for n in ("webhook", "chat")]


def test_no_secret_and_no_address_of_a_person_is_written(directory):
    """The file that Alertmanager reads has no password, token, mail address or chat id."""
    text = render_routes(directory, timing=AlertTiming.production(), relay_url="http://r")
    assert not re.search(r"password|token|@|-100100|secrets|example\.org", text)


def test_groups(directory):
    """One message an agency; one to operations about all agencies; the superior waits for hours, or for seconds in tests."""
    for timing, wait in ((AlertTiming.production(), "4h"), (AlertTiming.demo(), "4s")):
        root = yaml.safe_load(render_routes(directory, timing=timing, relay_url="http://r"))["route"]
        (everybody,) = [route for route in root["routes"] if route["receiver"] == "operations-agencies"]
        (agencies,) = [route for route in root["routes"] if route["receiver"] == "agency-default"]
        assert (everybody["group_by"], everybody["continue"]) == (["alertname"], True)
        assert agencies["group_by"] == ["agency"]
        (superior,) = [route for route in agencies["routes"] if route["receiver"].startswith("superior-")]
        assert (superior["group_wait"], superior["continue"]) == (wait, True)


def test_one_webhook_delivers_each_agency_promptly(one_webhook):
    """In the demo one webhook receives each agency's alert separately within seconds, and its end too."""
    written = yaml.safe_load(one_webhook.read_text(encoding="utf-8"))
    agencies = next(route for route in written["route"]["routes"] if route["receiver"] == "agencies")
    assert agencies["group_by"] == ["..."]
    assert (written["route"]["group_wait"], written["route"]["group_interval"]) == ("1s", "5s")
    hooks = [hook for receiver in written["receivers"] for hook in receiver.get("webhook_configs", [])]
    assert {hook["url"] for hook in hooks} == {URL}
    assert all(hook["send_resolved"] for hook in hooks)


def test_what_mutes_what():
    """Faults of the pipeline mute agencies, never the heartbeat; of the ladder only the worst rung of a window is heard."""
    rules = yaml.safe_load(COMMITTED.read_text(encoding="utf-8"))["inhibit_rules"]
    assert rules[0]["target_matchers"] == ['scope="agency"']
    assert set(MUTING_FAULTS) >= {"PipelineStalled", "WorkerDown", "ExporterDown", "KafkaDown", "ClickHouseDown"}
    targets = [matcher for rule in rules for matcher in rule["target_matchers"]]
    assert not [matcher for matcher in targets if "meta" in matcher or "Watchdog" in matcher or "pipeline" in matcher]
    ladder = [rule for rule in rules if rule.get("equal") == ["agency", "kpi", "window"]]
    assert [rule["source_matchers"][1] for rule in ladder] == ['rung="zero"', 'rung="below5"', 'rung="below10"']


def test_repeats_stay_within_the_memory_of_alertmanager():
    """A repeat interval above the retention (120 h) repeats too early; a heartbeat with equal times skips."""
    timing = AlertTiming.production()
    repeats = (
        timing.repeat_interval_seconds,
        timing.pipeline_repeat_interval_seconds,
        timing.agency_repeat_interval_seconds,
    )
    assert max(repeats) < 120 * 3600
    assert timing.heartbeat_repeat_seconds < timing.heartbeat_interval_seconds


def _route(amtool, config, receivers, labels):
    arguments = (f"--config.file={config}", f"--verify.receivers={receivers}", *(f"{key}={text}" for key, text in labels.items()))
    return amtool("config", "routes", "test", *arguments).returncode == 0


def test_alertmanager_sends_the_token_of_deliveries(directory):
    """With a file every webhook names it, the heartbeat's, too; the terminal of a local stack gets none."""
    text = render_routes(
        directory,
        timing=AlertTiming.production(),
        relay_url="http://r",
        heartbeat_url="http://h",
        terminal_url="http://t",
        token_file="/run/secrets/token",
    )
    hooks = [hook for receiver in yaml.safe_load(text)["receivers"] for hook in receiver.get("webhook_configs", [])]
    sent = {hook["url"].split("/")[2]: hook.get("http_config") for hook in hooks}
    assert sent == {key: {"authorization": {"credentials_file": "/run/secrets/token"}} for key in "rh"} | {"t": None}
