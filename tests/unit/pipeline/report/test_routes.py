"""Reports over HTTP."""

from __future__ import annotations

import asyncio
import datetime as dt

import httpx
import pytest
from prometheus_client import CollectorRegistry

from domain.clock import ManualClock
from domain.errors import UnavailableError
from domain.indicators import ReturnAtCounter
from pipeline.cli import remote, remote_report
from pipeline.report.completeness import TopicOffsets
from pipeline.serving.answer_sources import Api, Health
from pipeline.serving.server import HttpServer
from pipeline.settings import HttpSettings
from tests.contract.store_suite import StoreUnderTest
from tests.factories import an_event
from tests.fakes import MemoryStore
from tests.reports import report_route

EVENTS = dt.datetime(2024, 8, 20, 8, tzinfo=dt.UTC)
NOW = EVENTS + dt.timedelta(days=1)
PATH = "/api/v1/report?day=2024-08-20"


def filled():
    """A store with three settled dossiers."""
    store = MemoryStore(now=lambda: EVENTS)
    events = [an_event(occurred_at=EVENTS), an_event(occurred_at=EVENTS, service_level="mot_phan")]
    events.append(an_event(agency="G01", occurred_at=EVENTS))
    StoreUnderTest(store, store, dict, dict, lambda *_: None).store_and_recount(events)
    return store


@pytest.fixture
async def started(registry):
    """Start a process over a store; returns its address."""
    servers = []

    async def start(*, reader=None, **sources):
        api = Api(
            registry=CollectorRegistry(),
            agencies=registry,
            clock=ManualClock(NOW),
            health=lambda: Health(healthy=True, ready=True),
            reader=reader or filled(),
            routes=(report_route(reader or filled(), registry, NOW, **sources),),
        )
        servers.append(HttpServer(api, HttpSettings(port=0, anonymous_read=True)))
        return await servers[-1].start()

    yield start
    for server in servers:
        await server.close()


@pytest.fixture
def ask(started):
    """Start a process over a store and ask it for a path."""

    async def request(path=PATH, *, headers=None, **sources):
        async with httpx.AsyncClient(base_url=await started(**sources), trust_env=False, timeout=30) as client:
            return await client.get(path, headers=headers)

    return request


async def test_report(ask):
    """The report has the form that docs/reports.md describes."""
    answer = await ask()
    assert answer.status_code == 200
    report = answer.json()
    assert report["period"] == {
        "kind": "day", "name": "2024-08-20", "calendar": "civil", "from": "2024-08-20", "to": "2024-08-20",
    }  # fmt: skip
    rows = {(row["scope"], row["code"]): row for row in report["rows"]}
    figure = rows["agency", "H17"]["indicators"]["I1"]
    assert (figure["numerator"], figure["denominator"], figure["percent"], figure["rank"]) == (1, 2, "50.00", 2)
    figure = rows["nation", "VN"]["indicators"]["I1"]
    assert (figure["numerator"], figure["denominator"], figure["percent"]) == (2, 3, "66.66")
    assert rows["agency", "H18"]["indicators"]["I1"]["percent"] is None
    assert rows["agency", "H17"]["counts"]["settled"] == 2
    assert report["completeness"]["final"]


async def test_a_report_has_the_i1_of_the_process(ask):
    """The setting of the process that answers decides, for the figures and for what moved them."""
    for at_counter in ReturnAtCounter:
        assert (await ask(at_counter=at_counter)).json()["return_at_counter"] == at_counter.value
        path = f"{PATH.replace('report', 'report/explanation')}&compare=previous&agency=H17"
        assert (await ask(path, at_counter=at_counter)).json()["return_at_counter"] == at_counter.value


async def test_a_report_says_what_is_not_counted(ask):
    """Messages that lie in the topic uncounted, and a period that is not over, are named; ``wait`` limits the wait."""
    report = (await ask(f"{PATH}&wait=0", offsets=lambda: TopicOffsets({0: 9}, {0: 2}))).json()
    assert [reason["code"] for reason in report["completeness"]["reasons"]] == ["messages_waiting"]
    assert report["completeness"]["messages_waiting"] == 7
    report = (await ask("/api/v1/report?month=2024-08")).json()
    assert [reason["code"] for reason in report["completeness"]["reasons"]] == ["period_not_over"]

    def unavailable():
        raise UnavailableError("No broker answers.")

    report = (await ask(offsets=unavailable)).json()
    assert [reason["code"] for reason in report["completeness"]["reasons"]] == ["unknown"]


class ConstantTraffic:
    """A topic to which messages come as fast as they are counted, so that some always wait."""

    def __init__(self, partitions=1):
        self.partitions, self.asked = range(partitions), 0

    def __call__(self):
        self.asked += 1
        assert self.asked < 50, "the wait does not end"
        ends = dict.fromkeys(self.partitions, 10**12 + 100 * self.asked)
        return TopicOffsets(ends, {number: end - 250 for number, end in ends.items()})


@pytest.mark.parametrize("partitions", [1, 1024])
async def test_a_wait_ends_under_constant_traffic(started, monkeypatch, partitions):
    """`report --wait` waits for what lay in the topic at its first question; then the figures are final, though messages wait."""
    monkeypatch.setattr(remote_report, "_WAIT_SECONDS", 0.0)
    traffic = ConstantTraffic(partitions)
    process = remote.Process(await started(offsets=traffic))
    begin = await asyncio.to_thread(remote_report.fetch_report, process, {"day": "2024-08-20"} | {"wait": "0"})
    assert begin["completeness"]["messages_waiting"] == 250 * partitions
    found = await asyncio.to_thread(remote_report.fetch_report, process, {"day": "2024-08-20"}, wait=True)
    assert found["completeness"]["final"]
    assert traffic.asked == 1 + 4


async def test_a_report_names_excluded_dossiers_only_to_trusted_requests(ask):
    """Everybody sees how many there are and what they would count as; code, reason and name may identify people."""
    whole = {"dossier_code": "H17-240820-0001", "reason": "a test", "name": "an operator", "milestones": []}
    for headers, listed in (
        ({}, whole),
        ({"Via": "1.1 proxy"}, {"dossier_code": None, "reason": None, "name": None, "milestones": []}),
    ):
        asked = []
        answer = await ask(excluded=lambda period, asked=asked: asked.append(period) or [whole], headers=headers)
        assert answer.json()["excluded"] == [listed]
        assert [(str(period.start), str(period.end)) for period in asked] == [("2024-08-20", "2024-08-20")]


@pytest.mark.parametrize(
    "query",
    ["", "month=2024-13", "ytd=x", "day=2024-08-20&wait=-1", "day=2024-08-20&month=2024-08", "x=1", "day=2024-08-20&question=x"],
)
async def test_a_wrong_request_is_a_400(ask, query):
    """One sentence that says what is wrong."""
    answer = await ask(f"/api/v1/report?{query}")
    assert answer.status_code == 400
    assert 10 < len(answer.json()["error"]) < 300


async def test_the_page_to_print_and_the_definitions(ask):
    """The page has the figures of the API, by default of the year to date; no script may run in it; a wrong name is refused."""
    page = await ask("/report?day=2024-08-20&lang=en")
    assert page.status_code == 200
    assert page.headers["Content-Type"].startswith("text/html")
    assert "script-src" not in page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert 'data-code="H17"' in page.text
    assert '<html lang="en"' in page.text
    assert "2024" in (await ask("/report")).text
    for path in ("/report?lang=fr", "/report?periods=x", "/definitions/fr", "/report?day=x"):
        assert (await ask(path)).status_code == 400, path
    for language, name in (("vi", "Tỷ lệ hồ sơ trực tuyến toàn trình"), ("en", "Dossiers settled toàn trình")):
        text = (await ask(f"/definitions/{language}")).text
        assert name in text
        assert f'<html lang="{language}"' in text
        assert 'id="I2a"' in text
