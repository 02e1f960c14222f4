"""Alerts about services are delivered, kept alive, resolved on recovery, and resent to an Alertmanager that was unavailable."""

from __future__ import annotations

import datetime as dt
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from deploy.native.service_alerts import STOPPED, ServiceAlerts, alert_name, in_vietnamese
from domain.clock import ManualClock

NOON = dt.datetime(2026, 11, 26, 5, tzinfo=dt.UTC)
HOLD = 15.0


class Site:
    """Records what an Alertmanager receives: one list of alerts a request; ``refuses`` makes it answer with an error."""

    def __init__(self):
        self.requests = []
        self.refuses = False
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if not site.refuses:
                    site.requests.append((self.path, json.loads(body)))
                self.send_response(500 if site.refuses else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    @property
    def last(self):
        (alert,) = self.requests[-1][1]
        return alert


class Times:
    """The wall clock and the monotonic one, which move together."""

    def __init__(self):
        self.clock = ManualClock(NOON)
        self.seconds = 100.0

    def __call__(self):
        return self.seconds

    def passes(self, seconds):
        self.clock.advance(seconds)
        self.seconds += seconds


@pytest.fixture
def site():
    """A stand-in for Alertmanager's API."""
    site = Site()
    yield site
    site.server.shutdown()
    site.server.server_close()


@pytest.fixture
def times():
    """Both clocks."""
    return Times()


@pytest.fixture
def alerts(site, times):
    """Alerts sent to the stand-in."""
    return ServiceAlerts(
        site.url, clock=times.clock, monotonic=times, hold_seconds=HOLD, last_log_line=lambda name: f"log of {name}"
    )


def test_an_end_is_sent_with_part_cause_time_and_log(alerts, site):
    """Recipients read in their language and time what ended, why, and what is being done."""
    alerts.on_ended("Kafka", "ended (signal 9)", pause=1.0, restart=1)
    alerts.tick()
    assert site.requests[-1][0] == "/api/v2/alerts"
    assert site.last["labels"] == {"alertname": "KafkaDown", "part": "Kafka", "severity": "critical", "scope": "pipeline"}
    description = site.last["annotations"]["description"]
    for word in ("Kafka đã dừng", "12:00:00 26/11/2026", "bị tín hiệu 9 kết thúc", "lần 1"):
        assert word in description
    assert "log of" not in description
    assert dt.datetime.fromisoformat(site.last["startsAt"]) == NOON
    assert "endsAt" not in site.last
    assert site.last["annotations"]["runbook_url"].endswith("/StackPartDown")


def test_the_log_of_a_service_that_ended_by_itself_is_quoted(alerts, site):
    """The last line of its log is the reason; the log of a killed service gives none."""
    alerts.on_ended("The worker", "ended (exit code 2)", pause=1.0, restart=1)
    alerts.tick()
    assert "tự kết thúc với mã 2" in site.last["annotations"]["description"]
    assert "log of The worker" in site.last["annotations"]["description"]


@pytest.mark.parametrize(
    "cause",
    [
        "ended (signal 9)",
        "ended (exit code 2)",
        "ran without answering for 15 s",
        "did not answer within 90 s of its start",
        "cannot be started: Địa chỉ.",
    ],
)
def test_causes_are_in_the_language_of_the_recipients(cause):
    """No cause of the supervisor stays in English."""
    assert not re.search(r"ended|answer|started|signal|code", in_vietnamese(cause))


def test_an_alert_is_resent_until_it_is_resolved(alerts, site, times):
    """Alertmanager drops what is not resent: a long outage keeps its alert, with the time at which it began."""
    alerts.on_ended("Kafka", "ended (signal 9)", pause=1.0, restart=1)
    for _ in range(10):
        alerts.tick()
        times.passes(30.0)
    assert len(site.requests) == 5
    alerts.on_ended("Kafka", "ended (signal 9)", pause=2.0, restart=2)
    alerts.tick()
    assert dt.datetime.fromisoformat(site.last["startsAt"]) == NOON
    assert "lần 2" in site.last["annotations"]["description"]


def test_an_alert_is_resolved_after_recovery_but_not_before_its_delivery(alerts, site, times):
    """A service that recovers within a second was down: its alert fires longer than its group waits, then it is resolved."""
    alerts.on_ended("Kafka", "ended (signal 9)", pause=1.0, restart=1)
    alerts.tick()
    times.passes(3.0)
    alerts.on_recovered("Kafka", seconds=3.0)
    alerts.tick()
    assert len(site.requests) == 1
    alerts.resend_all()
    alerts.tick()
    assert "đã dừng" in site.last["annotations"]["description"]
    times.passes(HOLD)
    alerts.tick()
    assert dt.datetime.fromisoformat(site.last["endsAt"]) == times.clock.now()
    assert "hoạt động trở lại lúc 12:00:03" in site.last["annotations"]["description"]
    assert alerts.open == frozenset()
    times.passes(3_600.0)
    alerts.tick()
    assert len(site.requests) == 3


@pytest.mark.parametrize("unavailable", [False, True])
def test_the_next_end_is_a_new_alert(alerts, site, times, unavailable):
    """The next outage has its own start, even when Alertmanager never received the end of the last one."""
    alerts.on_ended("Kafka", "ended (signal 9)", pause=1.0, restart=1)
    alerts.on_recovered("Kafka", seconds=3.0)
    times.passes(HOLD)
    site.refuses = unavailable
    alerts.tick()
    site.refuses = False
    times.passes(3_600.0)
    alerts.on_ended("Kafka", "ended (signal 9)", pause=1.0, restart=1)
    alerts.tick()
    assert dt.datetime.fromisoformat(site.last["startsAt"]) == times.clock.now()


def test_an_alertmanager_that_was_unavailable_gets_everything(alerts, site, times):
    """What it does not accept is resent soon, the end included; a restarted one gets everything at once."""
    site.refuses = True
    alerts.on_ended("Alertmanager", "ended (signal 9)", pause=1.0, restart=1)
    alerts.tick()
    times.passes(HOLD)
    alerts.on_recovered("Alertmanager", seconds=2.0)
    alerts.tick()
    assert alerts.open == {"AlertmanagerDown"}
    site.refuses = False
    times.passes(2.0)
    alerts.tick()
    assert "endsAt" in site.last
    assert alerts.open == frozenset()
    alerts.on_ended("Kafka", "ended (signal 9)", pause=1.0, restart=1)
    alerts.tick()
    alerts.resend_all()
    alerts.tick()
    assert [request[1][0]["labels"]["alertname"] for request in site.requests[-2:]] == ["KafkaDown", "KafkaDown"]


def test_an_alertmanager_that_does_not_listen(times):
    """An Alertmanager that refuses connections is tried again, and nothing is raised."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    server.server_close()
    url = f"http://127.0.0.1:{server.server_address[1]}"
    alerts = ServiceAlerts(url, clock=times.clock, monotonic=times, hold_seconds=HOLD, last_log_line=lambda _: "")
    alerts.on_ended("Kafka", "ended (signal 9)", pause=1.0, restart=1)
    alerts.tick()
    assert alerts.open == {"KafkaDown"}


def test_the_end_of_the_stack_is_an_alert_of_its_own(alerts, site):
    """Its name differs from that of the service, so that Alertmanager delivers it at once, not as an update of a known group."""
    alerts.on_ended("The worker", "ended (exit code 1)", pause=1.0, restart=5)
    alerts.on_given_up("The worker", "ended (exit code 1)")
    alerts.tick()
    sent = {alert["labels"]["alertname"]: alert for alert in site.requests[-1][1]}
    assert set(sent) == {"WorkerDown", STOPPED}
    assert "Tiến trình xử lý sự kiện (worker) không khởi động lại được" in sent[STOPPED]["annotations"]["description"]


def test_every_service_has_an_alert_of_its_own():
    """The names follow the usual form: SomethingDown."""
    names = ["Kafka", "The worker", "The exporter", "ClickHouse", "Prometheus", "Alertmanager", "The in-memory broker"]
    assert [alert_name(name) for name in names] == [
        "KafkaDown",
        "WorkerDown",
        "ExporterDown",
        "ClickHouseDown",
        "PrometheusDown",
        "AlertmanagerDown",
        "InMemoryBrokerDown",
    ]
