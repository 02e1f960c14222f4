"""Alerts on the board: "not connected" and "does not answer" are never "none"."""

from __future__ import annotations

import datetime as dt
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from pipeline.board.alert_sources import AlertSources, OpenAlerts, SourceError, history_of

SINCE = "2024-08-20T08:00:00Z"
LOW = {"alertname": "AgencyRateLow", "agency": "H17", "window": "1d", "rung": "below5", "severity": "critical", "job": "x"}
NOTES = {"summary": "Thấp", "summary_en": "Low", "numerator": "1"}
ALERTMANAGER = [
    {"labels": LOW, "annotations": NOTES, "startsAt": SINCE, "status": {"state": "active"}},
    {"labels": {**LOW, "rung": "below10"}, "annotations": {}, "startsAt": SINCE, "status": {"state": "suppressed"}},
]
PROMETHEUS = {
    "data": {
        "alerts": [{"labels": LOW, "annotations": NOTES, "activeAt": SINCE, "state": state} for state in ("firing", "pending")]
    }
}


@pytest.fixture
def source():
    """A server that answers what a test sets: (status, body) by path."""
    answers = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            status, body = answers.get(self.path.partition("?")[0], (404, b"nothing"))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", answers
    server.shutdown()
    server.server_close()


def asked(sources, *, now=1000.0):
    """What is known after asking once."""
    alerts = OpenAlerts(sources, now=lambda: now)
    alerts.refresh()
    return alerts.state


def test_not_connected():
    """Without addresses nobody is asked, and this is what is said."""
    assert asked(AlertSources()) == {"source": "not_connected", "since": None, "open": []}


def test_alertmanager_and_prometheus(source):
    """Alertmanager says what is muted; Prometheus alone says what fires. Only the labels and texts of the page are passed on."""
    address, answers = source
    answers["/api/v2/alerts"] = 200, json.dumps(ALERTMANAGER).encode()
    answers["/api/v1/alerts"] = 200, json.dumps(PROMETHEUS).encode()
    found = asked(AlertSources(address, address))
    assert found["source"] == "answers"
    assert [(alert["labels"]["rung"], alert["muted"]) for alert in found["open"]] == [("below5", False), ("below10", True)]
    first = found["open"][0]
    assert (first["agency"], first["since"], first["text"]) == ("H17", 1724140800000, {"summary": "Thấp", "summary_en": "Low"})
    assert "job" not in first["labels"]
    assert [alert["muted"] for alert in asked(AlertSources(prometheus=address))["open"]] == [False]


@pytest.mark.parametrize("answer", [(500, b"{}"), (200, b"<html>login</html>"), (200, b"{}"), (200, b"[1]"), (200, b"null")])
def test_a_source_that_does_not_answer(source, answer):
    """An error, a login page and another shape are "silent since", and the last known alerts stay; an answer ends it."""
    address, answers = source
    answers["/api/v2/alerts"] = 200, json.dumps(ALERTMANAGER).encode()
    clock = [0.0]
    alerts = OpenAlerts(AlertSources(alertmanager=address), now=lambda: clock[0] * 1000, monotonic=lambda: clock[0])
    alerts.refresh()
    answers["/api/v2/alerts"] = answer
    alerts.refresh()  # a moment later: nobody is asked
    assert alerts.state["source"] == "answers"
    for clock[0] in (10.0, 20.0):
        alerts.refresh()
        assert (alerts.state["source"], alerts.state["since"], len(alerts.state["open"])) == ("silent", 10_000, 2)
    answers["/api/v2/alerts"] = 200, b"[]"
    clock[0] = 30.0
    alerts.refresh()
    assert alerts.state == {"source": "answers", "since": None, "open": []}


def test_history(source):
    """Spans of samples that follow each other; the last one is open when it reaches the present; none without Prometheus."""
    address, answers = source
    now = dt.datetime(2024, 8, 20, 8, tzinfo=dt.UTC)
    end = int(now.timestamp())
    values = [[end - back, "1"] for back in (90_000, 88_200, 3_600, 1_800, 0)]
    series = {"metric": {"alertname": "AgencyRateLow", "rung": "zero"}, "values": values}
    answers["/api/v1/query_range"] = 200, json.dumps({"data": {"result": [series]}}).encode()
    spans = history_of(AlertSources(prometheus=address), "H17", now)
    assert [(span["from"] // 1000 - end, span["to"] and span["to"] // 1000 - end) for span in spans] == [
        (-3_600, None),
        (-90_000, -88_200),
    ]
    assert history_of(AlertSources(), "H17", now) is None
    answers["/api/v1/query_range"] = 503, b""
    with pytest.raises(SourceError):
        history_of(AlertSources(prometheus=address), "H17", now)
