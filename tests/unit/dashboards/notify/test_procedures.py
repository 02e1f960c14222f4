"""The procedures in messages about rates: which are named, and that a message never waits for them long."""

from __future__ import annotations

import datetime as dt
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from dashboards.notify import procedures as module
from dashboards.notify.procedures import Procedures
from domain.agencies import AgencyRegistry
from domain.periods import VIETNAM
from pipeline.report.request import PARAMETERS, read_request
from tests.alert_messages import alert

NOW = dt.datetime(2026, 11, 26, 5, 22, tzinfo=VIETNAM)


def row(code, before, after):
    """The counts of a procedure in both periods, as the exporter writes them."""
    counts = [{"numerator": part[0], "denominator": part[1]} for part in (before, after)]
    return {"procedure": code, "before": counts[0], "after": counts[1]}


ROWS = [
    row("1.1", (30, 40), (30, 40)),  # far above the threshold
    row("1.2", (10, 100), (0, 100)),
    row("1.3", (20, 30), (1, 31)),
    row("1.4", (0, 50), (0, 50)),
    row("1.5", (0, 20), (0, 20)),
]


@pytest.fixture
def asked(monkeypatch):
    """What is asked; ``answer`` is what comes back, an error is raised."""
    found = type("Asked", (), {"queries": [], "answer": {"procedures": ROWS}})()

    def get(client, url, *, params):
        assert client.timeout.read <= 5
        found.queries.append((url, params))
        if isinstance(found.answer, Exception):
            raise found.answer
        content = {"json": found.answer} if not isinstance(found.answer, bytes) else {"content": found.answer}
        return httpx.Response(200, request=httpx.Request("GET", url), **content)

    monkeypatch.setattr(module.httpx.Client, "get", get)
    return found


def told(*alerts):
    """The procedures of the first alert."""
    return Procedures("http://exporter:8080/").explained(alerts, NOW)[0].annotations.get("procedures", "")


def test_those_that_lack_most_dossiers_explain_a_low_rate(asked):
    """Three at most, the one that lacks most dossiers to the threshold first; one above the threshold explains nothing."""
    assert told(alert()) == "1.2 0/100; 1.4 0/50; 1.5 0/20"
    assert told(alert(threshold="0.001")) == "1.2 0/100; 1.4 0/50; 1.5 0/20"
    asked.answer = {"procedures": ROWS[:1]}
    assert told(alert()) == ""


def test_those_that_moved_the_rate_explain_a_change(asked):
    """Of a drop those that lowered the rate most against one week earlier, of a surge those that raised it."""
    assert told(alert("AgencyRateDropped", rung="", previous="24/100")).startswith("1.3 1/31; 1.2 0/100")
    asked.answer = {"procedures": [row("1.3", (1, 31), (20, 31)), row("1.2", (0, 100), (10, 100)), row("1.1", (9, 9), (0, 9))]}
    assert told(alert("AgencyRateSurged", rung="")) == "1.3 20/31; 1.2 10/100"


@pytest.mark.parametrize(
    ("window", "first"), [("1d", "2026-11-25"), ("7d", "2026-11-20"), ("month", "2026-11-01"), ("ytd", "2026-01-01")]
)
def test_the_question_is_one_that_the_exporter_knows(asked, window, first):
    """Agency, indicator and civil days of the window, compared with those of one week earlier, as the report reads them."""
    told(alert(window=window))
    url, params = asked.queries[0]
    assert url == "http://exporter:8080/api/v1/report/explanation"
    parsed = {name: values[0] for name, values in parse_qs(urlsplit(str(httpx.URL(url, params=params))).query).items()}
    assert (parsed.pop("agency"), parsed.pop("indicator")) == ("H26", "I1")
    assert set(parsed) <= set(PARAMETERS)
    request = read_request(parsed, registry=AgencyRegistry.packaged(), today=NOW.date())
    assert (str(request.period.period.start), request.period.period.end) == (first, NOW.date())
    assert request.period.period.start - request.compared.period.start == dt.timedelta(days=7)


def test_a_message_is_never_lost_for_them(asked):
    """Without an answer, with a wrong one, for an end, several agencies or another alert the alerts stay as they are."""
    for answer in (httpx.ConnectTimeout("late"), b"<html>", {"error": "no"}, {"procedures": [{"procedure": "1.1"}]}, []):
        asked.answer = answer
        assert told(alert()) == "", answer
    asked.answer = {"procedures": ROWS}
    asked.queries.clear()
    assert told(alert(firing=False)) == told(alert(), alert(agency="G01")) == told(alert("AgencyOffPace", rung="")) == ""
    assert not asked.queries
