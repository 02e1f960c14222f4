"""Alertmanager's configuration loads, and every alert reaches the right receiver, in production and in the demo."""

from __future__ import annotations

import pytest
import yaml

from dashboards.alertmanager.generate import (
    COMMITTED,
    TEMPLATES,
    AlertTiming,
    Mail,
    changed_files,
    render,
    write_config,
)
from domain.agencies import AgencyRegistry

URL = "http://127.0.0.1:1/alerts"
#: Receiver by labels; each label is an argument of its own, or amtool resolves everything to the root.
ROUTES = [
    ("heartbeat", {"alertname": "Watchdog", "severity": "none", "scope": "meta"}),
    ("ops", {"alertname": "PipelineStalled", "severity": "critical", "scope": "pipeline"}),
    ("ops", {"alertname": "TallyDrift", "severity": "warning", "scope": "pipeline"}),
    # scope decides, not the labels an alert happens to carry
    ("ops", {"alertname": "AgencyConfigMissing", "severity": "warning", "scope": "pipeline", "agency": "H17"}),
    ("ops", {"alertname": "SomethingNew"}),
    ("agencies", {"alertname": "AgencyRateLow", "severity": "critical", "scope": "agency", "agency": "Z99"}),
]


@pytest.fixture(params=["production", "demo"])
def config(request, tmp_path):
    """The configuration of production, then that of the demo."""
    if request.param == "production":
        return COMMITTED
    path = tmp_path / "demo" / "alertmanager.yml"
    write_config(path, webhook_url=URL, timing=AlertTiming.demo())
    return path


def test_committed_is_regenerated():
    """The committed example is exactly what the generator makes."""
    assert changed_files() == []


def test_alertmanager_accepts_the_configuration(amtool, config):
    """Configuration and templates load, and the templates are found."""
    result = amtool("check-config", config)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "1 templates" in result.stdout


@pytest.mark.parametrize(("receiver", "labels"), ROUTES, ids=lambda value: value if isinstance(value, str) else "")
def test_routes(amtool, config, receiver, labels):
    """An alert with these labels goes to this receiver."""
    result = _route(amtool, config, receiver, labels)
    assert result.returncode == 0, result.stdout + result.stderr


def test_every_agency_is_routed(amtool):
    """A low rate of any agency of the registry reaches the agencies' receiver."""
    for code in AgencyRegistry.packaged().codes:
        labels = {"alertname": "AgencyRateLow", "scope": "agency", "agency": code, "kpi": "I1", "window": "ytd"}
        assert _route(amtool, COMMITTED, "agencies", labels).returncode == 0, code


def test_routes_can_fail(amtool, config):
    """The control: a wrong expectation fails."""
    assert _route(amtool, config, "ops", ROUTES[-1][1]).returncode != 0


def test_demo_delivers_each_agency_promptly(tmp_path):
    """In the demo one webhook receives each agency's alert separately within seconds, and its end too."""
    write_config(tmp_path / "a.yml", webhook_url=URL, timing=AlertTiming.demo())
    written = yaml.safe_load((tmp_path / "a.yml").read_text(encoding="utf-8"))
    agencies = next(route for route in written["route"]["routes"] if route["receiver"] == "agencies")
    assert agencies["group_by"] == ["..."]
    assert (written["route"]["group_wait"], written["route"]["group_interval"]) == ("1s", "5s")
    hooks = [hook for receiver in written["receivers"] for hook in receiver.get("webhook_configs", [])]
    assert {hook["url"] for hook in hooks} == {URL}
    assert all(hook["send_resolved"] for hook in hooks)


def test_a_stall_silences_agencies_but_never_the_heartbeat():
    """Only agency alerts are inhibited: the heartbeat must always reach its checker."""
    rules = yaml.safe_load(COMMITTED.read_text(encoding="utf-8"))["inhibit_rules"]
    assert [rule["target_matchers"] for rule in rules] == [['scope="agency"']]


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


def test_a_password_is_never_written():
    """Mail credentials are read from a file, so that the configuration can be committed and shown."""
    mail = Mail("m.example:587", "a@example.vn", ("b@example.vn", "c@example.vn"), "a@example.vn", "/run/secrets/mail")
    text = render(timing=AlertTiming.production(), webhook_url=None, mail=mail)
    assert "smtp_auth_password_file: /run/secrets/mail" in text
    assert "smtp_auth_password:" not in text
    assert "b@example.vn, c@example.vn" in text


def test_without_addresses_it_still_loads(amtool, tmp_path):
    """A configuration without any receiver is valid; alerts are visible in Alertmanager and Grafana."""
    path = tmp_path / "alertmanager.yml"
    path.write_text(
        render(timing=AlertTiming.production(), webhook_url=None, templates=str(TEMPLATES / "*.tmpl")), encoding="utf-8"
    )
    assert amtool("check-config", path).returncode == 0


def _route(amtool, config, receiver, labels):
    return amtool(
        "config",
        "routes",
        "test",
        f"--config.file={config}",
        f"--verify.receivers={receiver}",
        *(f"{name}={value}" for name, value in labels.items()),
    )
