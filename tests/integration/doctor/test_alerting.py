"""The doctor on a real Prometheus and Alertmanager, and on a real relay and watchdog."""

from __future__ import annotations

import datetime as dt

import httpx
import pytest

from dashboards.notify.webhooks import WebhookServer
from dashboards.rules.generate import RuleTiming, rules_version, write_rules
from deploy.native.doctor.alerting import examine_alertmanager, examine_prometheus
from deploy.native.doctor.clocks import Clocks
from deploy.native.doctor.examination import examine
from deploy.native.ports import free_port
from deploy.native.processes import stop_all, wait_until
from deploy.native.services.alertmanager import AlertmanagerServer
from deploy.native.services.prometheus import DEMO, PrometheusServer
from pipeline.settings import Settings

pytestmark = pytest.mark.integration

ROUTES = """
route: {{receiver: people}}
receivers: [{{name: people{channel}}}]
"""
TELLING = ", webhook_configs: [{url: 'http://127.0.0.1:9/'}]"


class Alerting:
    """A Prometheus with our rules beside an Alertmanager; ``examined()``: the findings by part."""

    def __init__(self, folder, prometheus_program, alertmanager_program):
        logs = folder / "logs"
        self.rules = write_rules(folder / "rules", RuleTiming.demo())
        self.prometheus = PrometheusServer(data_dir=folder / "prometheus", log_dir=logs, binary=prometheus_program)
        self.alertmanager = AlertmanagerServer(data_dir=folder / "alertmanager", log_dir=logs, binary=alertmanager_program)
        self.alertmanager.config.parent.mkdir()
        self.route(TELLING)
        self.configure(self.rules)

    def configure(self, rules, **targets):
        """Write prometheus.yml; Prometheus reads itself, and nothing listens at the others."""
        targets = {"prometheus": [self.prometheus.address]} | targets
        self.prometheus.configure(targets=targets, rules=rules, alertmanager=self.alertmanager.address, pace=DEMO)

    def route(self, channel):
        """Write alertmanager.yml."""
        self.alertmanager.config.write_text(ROUTES.format(channel=channel), encoding="utf-8")

    def start(self):
        """Start both."""
        self.alertmanager.start()
        self.prometheus.start()

    def examined(self):
        """What the doctor finds."""
        found = [
            *examine_prometheus(self.prometheus.url, Clocks(), "Start it."),
            *examine_alertmanager(self.alertmanager.url, Clocks(), "Start it."),
        ]
        return {finding.part: finding for finding in found}

    def await_state(self, part, state):
        """Wait until a part has a state: Prometheus looks for its targets every five seconds."""
        wait_until(lambda: self.examined()[part].state == state, timeout=90, what=f"{part} to be {state}")
        return self.examined()[part]


@pytest.fixture
def made(tmp_path, prometheus_program, alertmanager_program):
    """Both, configured; the test starts them."""
    made = Alerting(tmp_path, prometheus_program, alertmanager_program)
    yield made
    stop_all([made.prometheus.process, made.alertmanager.process])


def test_alerting_that_works(made):
    """Targets, rules, the way to Alertmanager, receivers and silences are found well; what fires is told since when."""
    made.start()
    made.await_state("Targets", "ok")
    made.await_state("Ways of alerts", "ok")
    found = made.examined()
    assert {part for part, finding in found.items() if finding.state == "wrong"} == set()
    assert rules_version() in found["Alert rules"].says
    firing = made.await_state("Alerts", "note")  # ExporterDown: there is none
    assert "ExporterDown fires" in firing.says
    assert firing.since is not None
    assert firing.since <= dt.datetime.now(dt.UTC)


@pytest.mark.long
def test_a_target_that_does_not_answer(made):
    """A target that is down is named with its error."""
    gone = f"127.0.0.1:{free_port()}"
    made.configure(made.rules, worker=[gone])
    made.start()
    found = made.await_state("Targets", "wrong")
    assert f"worker http://{gone}/metrics: " in found.says


def test_rules_of_another_release(made):
    """Rules with another version, or without the one that says it, are not those of this release."""
    meta = next(path for path in made.rules if path.name == "meta.yml")
    meta.write_text(meta.read_text(encoding="utf-8").replace(rules_version(), "0123456789ab"), encoding="utf-8")
    made.start()
    found = made.examined()["Alert rules"]
    assert found.state == "wrong"
    assert "version 0123456789ab, this release has" in found.says
    assert "alerts render" in found.remedy


def test_without_our_rules(made):
    """A Prometheus that has not loaded the rules is a fault: nothing would ever alert."""
    made.configure([])
    made.start()
    found = made.examined()["Alert rules"]
    assert (found.state, found.says) == ("wrong", "none of ours is loaded")


def test_a_silence_over_everything(made):
    """A silence that covers every alert is told with its author, end and the command that ends it; one of an agency is not."""
    made.start()
    now = dt.datetime.now(dt.UTC)

    def silence(name, value, *, regex):
        body = {
            "matchers": [{"name": name, "value": value, "isRegex": regex, "isEqual": True}],
            "startsAt": now.isoformat(),
            "endsAt": (now + dt.timedelta(hours=2)).isoformat(),
            "createdBy": "lan",
            "comment": "move of the servers",
        }
        answer = httpx.post(f"{made.alertmanager.url}/api/v2/silences", json=body, trust_env=False)
        return answer.raise_for_status().json()["silenceID"]

    silence("agency", "H17", regex=False)
    assert made.examined()["Silences"].says == "1 active, none of which covers everything"
    everything = silence("alertname", ".+", regex=True)
    found = made.examined()["Silences"]
    assert found.state == "wrong"
    assert "of lan covers every alert until" in found.says
    assert found.remedy == f"amtool silence expire {everything}"
    assert found.since is not None


def test_receivers_that_tell_nobody(made):
    """An Alertmanager whose receivers have no channel is a fault."""
    made.route("")
    made.start()
    found = made.examined()["Receivers"]
    assert (found.state, "alerts reach nobody" in found.says) == ("wrong", True)


def test_another_program_at_the_address(made):
    """Addresses that were exchanged are told: neither is taken for the other."""
    made.start()
    (prometheus,) = examine_prometheus(made.alertmanager.url, Clocks(), "Start it.")
    (alertmanager,) = examine_alertmanager(made.prometheus.url, Clocks(), "Start it.")
    assert (prometheus.state, alertmanager.state) == ("wrong", "wrong")


def test_everything_that_the_settings_name_is_asked(made, tmp_path):
    """Prometheus, Alertmanager, relay and watchdog of the settings are examined; those that do not answer name their setting."""
    made.start()
    relay = WebhookServer("127.0.0.1", 0, lambda _path, _body: None)
    relay.start()
    gone = f"http://127.0.0.1:{free_port()}"
    settings = Settings(
        data_dir=tmp_path / "none",
        kafka={"bootstrap": f"127.0.0.1:{free_port()}"},
        http={"port": free_port()},
        board={"prometheus_url": made.prometheus.url, "alertmanager_url": gone},
        notify={"prometheus_url": f"{made.prometheus.url}/", "relay_url": relay.url, "heartbeat_url": f"{gone}/heartbeat"},
    )
    try:
        found = examine(settings, data_dir=settings.data_dir)
    finally:
        relay.stop()
    states = [(finding.part, finding.state) for finding in found]
    assert states.count(("Prometheus' pages", "ok")) == 1  # one address, named twice
    assert ("Relay", "ok") in states
    by_part = {finding.part: finding for finding in found}
    assert by_part["Watchdog"].state == "wrong"
    assert by_part["Alertmanager's pages"].state == "wrong"
    assert "PORTALPULSE_BOARD__ALERTMANAGER_URL" in by_part["Alertmanager's pages"].remedy
