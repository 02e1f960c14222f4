"""Which alert mutes which, asked of a real Alertmanager with the generated routes."""

from __future__ import annotations

import datetime as dt

import httpx
import pytest

from dashboards.alertmanager.generate import example
from deploy.native.processes import wait_until
from deploy.native.services.alertmanager import AlertmanagerServer

pytestmark = pytest.mark.integration

AGENCY = {"scope": "agency", "agency": "H17", "kpi": "I1", "window": "1d"}
LOW = {"alertname": "AgencyRateLow", **AGENCY}
DROPPED = {"alertname": "AgencyRateDropped", **AGENCY, "window": "7d"}
SURGED = {"alertname": "AgencyRateSurged", **AGENCY}
OFF_PACE = {"alertname": "AgencyOffPace", **AGENCY, "window": "ytd"}
LATE = {"alertname": "AgencyAcceptedLate", "scope": "agency", "agency": "H17"}
SILENT = {"alertname": "AgencySilent", "scope": "agency", "agency": "H17"}
WATCHDOG = {"alertname": "Watchdog", "scope": "meta"}
RULES_FAIL = {"alertname": "RuleFailures", "scope": "meta"}
DRIFT = {"alertname": "TallyDrift", "scope": "pipeline"}
FINDINGS = {"alertname": "FindingsOld", "scope": "pipeline"}
ON_AGENCY = [{**LOW, "rung": rung} for rung in ("zero", "below5", "below10", "target")] + [
    DROPPED,
    SURGED,
    OFF_PACE,
    LATE,
    SILENT,
]


def rung(name, **labels):
    """AgencyRateLow of H17 at a rung."""
    return {**LOW, "rung": name, **labels}


#: What fires beside one another, and what of it is muted.
CASES = {
    "the ladder": (
        [rung("zero"), rung("below5"), rung("below10"), rung("target")],
        [rung("below5"), rung("below10"), rung("target")],
    ),
    "the ladder of another window, indicator or agency": (
        [rung("zero"), rung("below5", window="7d"), rung("below5", kpi="I5"), rung("below5", agency="H18")],
        [],
    ),
    "a drop under five percent": ([rung("below5", window="ytd"), DROPPED], [DROPPED]),
    "a drop at the warning": ([rung("below10"), DROPPED], []),
    "a drop of another indicator or agency": ([rung("zero", kpi="I5"), rung("zero", agency="H18"), DROPPED], []),
    "a surge is never muted by the ladder": ([rung("below5"), SURGED, OFF_PACE, LATE], []),
    "a silent agency": ([SILENT, rung("zero"), DROPPED, SURGED, OFF_PACE, LATE], [rung("zero"), DROPPED, SURGED, OFF_PACE, LATE]),
    "another silent agency": ([{**SILENT, "agency": "H18"}, rung("zero"), LATE], []),
    **{
        f"{fault} mutes agencies and nothing else": (
            [{"alertname": fault, "scope": "pipeline"}, WATCHDOG, RULES_FAIL, DRIFT, *ON_AGENCY],
            ON_AGENCY,
        )
        for fault in (
            *("ExporterDown", "ClickHouseDown", "KafkaDown", "WorkerDown", "NoPartitionsAssigned"),
            *("NoEventsYet", "PipelineStalled", "LagHigh", "BacklogHigh"),
        )
    },
    "faults that leave rates right": (
        [FINDINGS, DRIFT, {"alertname": "DeadLetterRatioHigh", "scope": "pipeline"}, rung("below5"), OFF_PACE, LATE],
        [],
    ),
}


@pytest.fixture(scope="module")
def alertmanager(tmp_path_factory, alertmanager_program):
    """A real one with the routes of the example of a recipients file; nobody takes its messages."""
    folder = tmp_path_factory.mktemp("alertmanager")
    server = AlertmanagerServer(data_dir=folder / "data", log_dir=folder / "logs", binary=alertmanager_program)
    server.config.parent.mkdir()
    server.config.write_text(example(), encoding="utf-8")
    server.start()
    yield server
    server.stop()


@pytest.mark.parametrize("what", CASES)
def test_an_alert_mutes_exactly_what_it_explains(alertmanager, what):
    """Alerts that fire together; of the others none is muted. The heartbeat never is."""
    firing, muted = CASES[what]
    url, now = f"{alertmanager.url}/api/v2/alerts", dt.datetime.now(dt.UTC)

    def post(ends):
        body = [
            {"labels": {**labels, "case": what}, "startsAt": now.isoformat(), "endsAt": ends.isoformat()} for labels in firing
        ]
        httpx.post(url, json=body, trust_env=False).raise_for_status()

    def listed():
        found = httpx.get(url, trust_env=False).raise_for_status().json()
        return {key(alert["labels"]): alert["status"]["state"] == "suppressed" for alert in found}

    post(now + dt.timedelta(minutes=10))
    try:
        expected = {key({**labels, "case": what}): labels in muted for labels in firing}
        wait_until(lambda: listed().keys() == expected.keys(), timeout=20, what="the alerts")
        assert listed() == expected
    finally:
        post(dt.datetime.now(dt.UTC))
        wait_until(lambda: not listed(), timeout=20, what="the alerts to end")


def key(labels):
    """An alert, as something that can be compared."""
    return tuple(sorted(labels.items()))
