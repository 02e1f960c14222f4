"""The HTTP endpoints, over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import json
import logging
import socket
import threading
from functools import partial

import httpx
import pytest
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.parser import text_string_to_metric_families

from domain.clock import ManualClock
from domain.errors import UnavailableError
from pipeline.addresses import SIGNATURE
from pipeline.audit.routes import audit_routes
from pipeline.audit.service import AuditService
from pipeline.decode.decoder import Decoder
from pipeline.serving.answer_sources import Api, Health, Progress
from pipeline.serving.exporter import AgencyCollector
from pipeline.serving.policies import PolicyCollector
from pipeline.serving.server import _CONNECTIONS, HttpServer
from pipeline.settings import HttpSettings, ThresholdPolicy
from sinks.contract.dead_letters import DeadLetter
from sinks.contract.tallies import Counts
from sinks.errors import Fatal, Retryable
from tests.contract.store_suite import StoreUnderTest
from tests.factories import TOPIC, an_event
from tests.fakes import MemoryStore, NothingToCheck
from tests.reports import report_route

NOW = dt.datetime(2024, 8, 20, 8, tzinfo=dt.UTC)
FREE = HttpSettings(port=0)
FINE = Health(healthy=True, ready=True)


class UnavailableStore(MemoryStore):
    """A storage that does not answer."""

    def _fail(self, *_):
        raise Retryable("ClickHouse at h:1: no answer")

    ping = totals = counts_of_days = counts_between = events_by_day = last_events = dead_letters_by_reason = arrivals = _fail


@pytest.fixture
async def ask(registry):
    """Start a server over what a test gives and ask it for one path."""
    servers = []

    async def request(path, *, reader=None, health=FINE, lag=None, progress=None, headers=None):
        collectors = CollectorRegistry()
        Counter("alive", "Always.", registry=collectors)
        figures = None
        if reader is not None:
            figures = CollectorRegistry()
            figures.register(AgencyCollector(reader, registry=registry, clock=ManualClock(NOW)))
            collectors.register(PolicyCollector(registry=registry, clock=ManualClock(NOW), policies=(ThresholdPolicy(),)))
        api = Api(
            registry=collectors,
            agencies=registry,
            clock=ManualClock(NOW),
            health=lambda: health,
            reader=reader,
            figures=figures,
            routes=() if reader is None else (report_route(reader, registry, NOW),),
            consumer_lag=lambda: lag,
            progress=None if progress is None else lambda: progress,
        )
        server = HttpServer(api, FREE)
        servers.append(server)
        async with httpx.AsyncClient(base_url=await server.start(), trust_env=False) as client:
            return await client.get(path, headers=headers)

    yield request
    for server in servers:
        await server.close()


def filled() -> MemoryStore:
    """A store with three events and a dead letter."""
    store = MemoryStore(now=lambda: NOW)
    StoreUnderTest(store, store, dict, dict, lambda *_: None).store_and_recount(
        [an_event(occurred_at=NOW), an_event(occurred_at=NOW, service_level="mot_phan"), an_event(agency="G01", occurred_at=NOW)]
    )
    store.insert_dead_letters([DeadLetter(TOPIC, 0, 7, None, b"{", "not_json", "")])
    return store


async def test_metrics(ask):
    """/metrics is Prometheus text that parses, gauges of the agencies included."""
    answer = await ask("/metrics", reader=filled())
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    names = {family.name for family in text_string_to_metric_families(answer.text)}
    assert {"alive", "agency_kpi_numerator", "portalpulse_dead_letters"} <= names


async def test_metrics_without_the_storage(ask):
    """A scrape that cannot read the storage says so and has none of its figures; the process's own metrics are there."""
    answer = await ask("/metrics", reader=UnavailableStore())
    assert answer.status_code == 200
    names = {family.name for family in text_string_to_metric_families(answer.text)}
    assert {"alive", "agency_info", "agency_threshold_ratio", "agency_min_volume", "portalpulse_build_info"} <= names
    assert "portalpulse_storage_up 0.0" in answer.text.splitlines()
    assert "agency_kpi_numerator" not in answer.text
    assert "portalpulse_newest_event_timestamp_seconds" not in answer.text


async def test_a_storage_that_fails_within_a_scrape(ask):
    """Figures that were read partly are not served: a shortened list of agencies would look complete."""

    class FailingMidway(MemoryStore):
        def arrivals(self, *_):
            raise Retryable("gone")

    answer = await ask("/metrics", reader=FailingMidway())
    assert "portalpulse_storage_up 0.0" in answer.text.splitlines()
    assert "agency_kpi" not in answer.text


class Hanging(MemoryStore):
    """A storage that does not answer until the test allows it; counts its calls."""

    def __init__(self):
        super().__init__(now=lambda: NOW)
        self.free = threading.Event()
        self.asked = threading.Semaphore(0)
        self.pings = self.scrapes = self.steps = 0

    def ping(self):
        self.pings += 1
        self.free.wait()

    def counts_between(self, *_):
        if not self.free.is_set():
            self.scrapes += 1
            self.asked.release()
        self.free.wait()
        return {}

    def civil_days(self, *_):
        self.steps += 1
        self.asked.release()
        self.free.wait()
        return {}


@pytest.fixture
async def hanging(registry):
    """A process over a storage that hangs: a client with its store."""
    store = Hanging()
    own, figures = CollectorRegistry(), CollectorRegistry()
    Counter("alive", "Always.", registry=own)
    figures.register(AgencyCollector(store, registry=registry, clock=ManualClock(NOW)))
    api = Api(
        registry=own,
        agencies=registry,
        clock=ManualClock(NOW),
        health=lambda: FINE,
        reader=store,
        figures=figures,
        routes=(
            report_route(store, registry, NOW),
            partial(
                audit_routes,
                AuditService(
                    store,
                    store=store,
                    repair=store,
                    dossiers=NothingToCheck(),
                    index=store,
                    topic=(TOPIC, lambda: None),
                    decoder=Decoder(registry),
                    clock=ManualClock(NOW),
                    future_tolerance=dt.timedelta(days=1),
                ),
            ),
        ),
    )
    server = HttpServer(api, FREE)
    async with httpx.AsyncClient(base_url=await server.start(), trust_env=False, timeout=60) as client:
        client.store = store
        yield client
        store.free.set()
    await server.close()


async def given_up(client, path):
    """Ask for ``path`` and leave before the answer; the storage hangs, so there is none."""
    with pytest.raises(httpx.ReadTimeout):
        await client.get(path, timeout=httpx.Timeout(60, read=0.3))


async def test_a_hanging_storage_leaves_the_own_metrics(hanging):
    """While the storage hangs a scrape answers with the process's own metrics before Prometheus gives up."""
    # Far more than the second that the scrape waits, and less than the half minute of a scrape without the header.
    answer = await hanging.get("/metrics", headers={"X-Prometheus-Scrape-Timeout-Seconds": "1"}, timeout=20)
    assert answer.status_code == 200
    assert {"alive_total 0.0", "portalpulse_storage_up 0.0"} <= set(answer.text.splitlines())


async def test_scrapes_that_were_given_up_are_not_computed(hanging):
    """When scrapes give up, one computation keeps running, and it answers the scrape that comes soon after them."""
    for _ in range(5):
        await given_up(hanging, "/metrics")
    assert hanging.store.scrapes == 1
    hanging.store.free.set()
    answer = await hanging.get("/metrics")
    assert "portalpulse_storage_up 1.0" in answer.text.splitlines()
    assert hanging.store.scrapes == 1


async def test_too_many_waiting_scrapes_are_refused(hanging):
    """Beyond a few waiting scrapes the next one is refused at once, and those that wait are answered."""
    waiting = [asyncio.create_task(hanging.get("/metrics")) for _ in range(8)]
    await asyncio.to_thread(hanging.store.asked.acquire)

    async def refused():
        return (await hanging.get("/metrics", headers={"X-Prometheus-Scrape-Timeout-Seconds": "0.1"})).status_code == 503

    async with asyncio.timeout(60):
        while not await refused():
            pass
    hanging.store.free.set()
    assert {answer.status_code for answer in await asyncio.gather(*waiting)} == {200}


async def test_abandoned_long_requests_starve_nothing(hanging):
    """Audit steps whose clients left keep their own threads; scrapes, probes and figures are answered as before."""
    for _ in range(4):
        step = asyncio.create_task(hanging.get("/api/v1/audit/days"))
        await asyncio.to_thread(hanging.store.asked.acquire)
        step.cancel()
    for _ in range(2):
        await given_up(hanging, "/api/v1/audit/days")
    assert (await hanging.get("/healthz")).status_code == 200
    hanging.store.ping = lambda: None
    hanging.store.counts_between = lambda *_: {}
    assert (await hanging.get("/readyz")).status_code == 200
    assert "portalpulse_storage_up 1.0" in (await hanging.get("/metrics")).text.splitlines()
    assert (await hanging.get("/api/v1/report?from=2024-01-01&to=2024-01-02")).status_code == 200
    hanging.store.free.set()
    assert (await hanging.get("/api/v1/audit/days")).status_code == 200
    assert hanging.store.steps == 5  # a step whose client left before it began was never begun


async def test_probes_of_a_hanging_storage(hanging):
    """/readyz says that the storage does not answer, and a hundred probes ask it once."""
    answers = await asyncio.gather(*(hanging.get("/readyz") for _ in range(100)))
    assert {answer.status_code for answer in answers} == {503}
    assert all("does not answer within" in answer.json()["reason"] for answer in answers)
    assert hanging.store.pings == 1


async def test_a_hanging_scrape_starves_no_probe(hanging):
    """The probe of the storage has its own thread: it does not wait behind a scrape that hangs."""
    hanging.store.ping = lambda: None
    await given_up(hanging, "/metrics")
    assert (await hanging.get("/readyz")).status_code == 200


async def test_a_worker_without_figures_still_has_metrics(ask):
    """A process without a reader serves its own counters and names the process that has the figures."""
    assert (await ask("/metrics")).status_code == 200
    for path in ("/api/v1/report?from=2024-01-01&to=2024-01-31", "/api/v1/status", "/api/v1/misplaced"):
        answer = await ask(path)
        assert answer.status_code == 404
        assert "exporter" in answer.json()["error"]


async def test_every_answer_is_signed(ask):
    """Every answer, also a refusal, has the header by which commands recognise a process of portalpulse."""
    for path in ("/healthz", "/readyz", "/metrics", "/api/v1/status", "/api/v1/report", "/no-such-path"):
        assert SIGNATURE in (await ask(path, reader=filled())).headers, path


async def test_healthz(ask):
    """/healthz is about progress alone: the storage may be unavailable."""
    assert (await ask("/healthz", reader=UnavailableStore())).status_code == 200
    sick = await ask("/healthz", health=Health(healthy=False, ready=True, reason="no progress for 130 s"))
    assert sick.status_code == 503
    assert sick.json() == {"healthy": False, "reason": "no progress for 130 s"}


async def test_readyz(ask):
    """/readyz is 200 when the worker takes part and the storage answers, else 503 with the reason."""
    assert (await ask("/readyz", reader=filled())).json() == {"ready": True, "reason": "", "unread_offsets": 0}
    waiting = await ask("/readyz", reader=filled(), health=Health(healthy=True, ready=False, reason="waiting"))
    assert (waiting.status_code, waiting.json()) == (503, {"ready": False, "reason": "waiting", "unread_offsets": 0})
    unavailable = await ask("/readyz", reader=UnavailableStore())
    assert unavailable.status_code == 503
    assert "no answer" in unavailable.json()["reason"]
    unread = await ask("/readyz", reader=filled(), health=Health(healthy=True, ready=True, unread_offsets=7))
    assert (unread.status_code, unread.json()["unread_offsets"]) == (200, 7)


@pytest.mark.parametrize(
    "query",
    [
        "",
        "from=2024-01-01",
        "to=2024-01-01",
        "from=&to=",
        "from=2024-02-30&to=2024-03-01",
        "from=01-01-2024&to=31-01-2024",
        "from=2024-01-31&to=2024-01-01",
        "from=2024-01-01T00:00:00&to=2024-01-31",
        "from=2024-01-01&to=99999-01-01",
        "from=%00&to=2024-01-01",
        "from=2024-W33&to=2024-W34",
        "from=2024-W33-1&to=2024-08-20",
        "from=2024-08-1%D9%A0&to=2024-08-20",
        "from=" + "9" * 5_000 + "&to=2024-01-01",
    ],
)
async def test_a_wrong_period_is_a_400(ask, query):
    """Missing, malformed, impossible and reversed days are a 400 with a message of bounded length."""
    answer = await ask(f"/api/v1/report?{query}", reader=filled())
    assert answer.status_code == 400
    assert 10 < len(answer.json()["error"]) < 300


async def test_a_parameter_given_twice_is_a_400(ask):
    """A parameter with two values is refused, not silently ignored; agencies may be repeated."""
    answer = await ask("/api/v1/report?from=2024-01-01&from=2023-01-01&to=2024-08-20", reader=filled())
    assert answer.status_code == 400
    assert "'from'" in answer.json()["error"]
    several = await ask("/api/v1/events?from=2024-08-20&to=2024-08-20&agency=H17&agency=G01", reader=filled())
    assert several.status_code == 200


async def test_what_is_not_http_is_refused_without_a_traceback(registry, monkeypatch):
    """Bytes that are not HTTP get a 400 and leave no traceback in the log; an error of the program does."""
    kept = []
    handler = logging.Handler()
    handler.emit = kept.append
    logger = logging.getLogger("aiohttp.server")
    monkeypatch.setattr(logger, "handlers", [handler])
    monkeypatch.setattr(logger, "disabled", False)  # another test may have configured logging
    api = Api(registry=CollectorRegistry(), agencies=registry, clock=ManualClock(NOW), health=lambda: 1 / 0)
    server = HttpServer(api, FREE)
    address = await server.start()
    try:
        for bytes_ in (b"GET /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n", b"GET / HTTP/1.1\r\n: \x00\r\n\r\n"):
            reading, writing = await asyncio.open_connection("127.0.0.1", int(address.rpartition(":")[2]))
            writing.write(bytes_)
            assert b" 400 " in await reading.readline()
            writing.close()
        assert kept == []
        async with httpx.AsyncClient(base_url=address, trust_env=False) as client:
            assert (await client.get("/healthz")).status_code == 500
        assert [record.exc_info[0] for record in kept] == [ZeroDivisionError]
    finally:
        await server.close()


async def test_status(ask):
    """The status names the clock, what is stored and tallied, the newest event, the dead letters and the lag."""
    answer = await ask("/api/v1/status", reader=filled(), lag=5)
    assert answer.json() == {
        "clock": "2024-08-20T08:00:00+00:00",
        "events": {"stored": 3, "tallied": 3},
        "lag_rows": 0,
        "newest_event": "2024-08-20T08:00:00+00:00",
        "dead_letters": {"not_json": 1},
        "consumer_lag": 5,
    }
    empty = (await ask("/api/v1/status", reader=MemoryStore())).json()
    assert (empty["newest_event"], empty["consumer_lag"], empty["events"]) == (None, None, {"stored": 0, "tallied": 0})


async def test_misplaced_events(ask):
    """The answer names each unit with events of days on which it was not in force, and the agency responsible for them."""
    store = filled()
    assert (await ask("/api/v1/misplaced", reader=store)).json() == {"units": []}
    store.write(store.days, ("H62", dt.date(2025, 7, 1)), Counts(events=4), NOW)
    assert (await ask("/api/v1/misplaced", reader=store)).json() == {
        "units": [{"stored_unit": "H62", "unit": "H44", "from": "2025-07-01", "to": "2025-07-01", "events": 4}]
    }


@pytest.mark.parametrize("path", ["/api/v1/report?from=2024-01-01&to=2024-01-31", "/api/v1/status", "/api/v1/misplaced"])
async def test_figures_without_storage_are_a_503(ask, path):
    """Without the storage figures are unavailable, not empty."""
    answer = await ask(path, reader=UnavailableStore())
    assert answer.status_code == 503
    assert "no answer" in answer.json()["error"]


async def test_a_fault_of_ours_is_no_empty_answer(ask):
    """A fatal storage error is a 503, too."""

    class Broken(MemoryStore):
        def counts_of_days(self, *_):
            raise Fatal("a table is missing")

    answer = await ask("/api/v1/report?from=2024-01-01&to=2024-01-31", reader=Broken())
    assert answer.status_code == 503


async def test_events(ask):
    """Stored events of whole days come as NDJSON, all agencies or some, and none where there are none."""
    day = "from=2024-08-20&to=2024-08-20"
    answer = await ask(f"/api/v1/events?{day}", reader=filled())
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/x-ndjson"
    agencies = [json.loads(line)["agency_code"] for line in answer.text.splitlines()]
    assert sorted(agencies) == ["G01", "H17", "H17"]
    some = await ask(f"/api/v1/events?{day}&agency=G01,H18&agency=H19", reader=filled())
    assert [json.loads(line)["agency_code"] for line in some.text.splitlines()] == ["G01"]
    none = await ask("/api/v1/events?from=2020-01-01&to=2020-01-01", reader=filled())
    assert (none.status_code, none.text) == (200, "")
    assert (await ask("/api/v1/events?from=x&to=y", reader=filled())).status_code == 400
    misspelt = await ask(f"/api/v1/events?{day}&agency=h17", reader=filled())
    assert (misspelt.status_code, misspelt.json()["error"][:26]) == (400, "There is no agency 'h17'. ")
    assert (await ask(f"/api/v1/events?{day}")).status_code == 404


async def test_events_of_a_storage_that_is_unavailable(ask):
    """When the storage does not answer there is a 503, not an empty list of events."""

    class Unavailable(MemoryStore):
        def events(self, *_):
            raise Retryable("no answer")
            yield b""

    answer = await ask("/api/v1/events?from=2024-08-20&to=2024-08-20", reader=Unavailable())
    assert answer.status_code == 503
    assert "no answer" in answer.json()["error"]


async def test_events_of_a_storage_that_fails_midway(ask):
    """When the storage fails in the middle the connection is closed: a shortened list never looks complete."""

    class FailingMidway(MemoryStore):
        def events(self, *_):
            yield b"{}\n" * 1000
            raise Retryable("gone")

    with pytest.raises(httpx.RemoteProtocolError):
        await ask("/api/v1/events?from=2024-08-20&to=2024-08-20", reader=FailingMidway())


async def test_progress(ask):
    """A worker reports its own counters; a process without counters says so."""
    answer = await ask("/api/v1/progress", progress=Progress(stored=7, visible=5, exact=4))
    assert answer.json() == {"stored": 7, "tallied_minutes": 5, "exact": 4}
    assert (await ask("/api/v1/progress")).status_code == 404


async def test_a_taken_port_is_one_sentence(registry):
    """A port in use is an error with a remedy, and the server releases its resources."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        api = Api(registry=CollectorRegistry(), agencies=registry, clock=ManualClock(NOW), health=lambda: FINE)
        server = HttpServer(api, HttpSettings(port=taken.getsockname()[1]))
        with pytest.raises(UnavailableError, match=r"cannot be used.*PORTALPULSE_HTTP__PORT"):
            await server.start()
        await server.close()


async def test_a_host_of_another_machine(registry):
    """For an address that this machine does not have the remedy is the host, not the port."""
    api = Api(registry=CollectorRegistry(), agencies=registry, clock=ManualClock(NOW), health=lambda: FINE)
    with pytest.raises(UnavailableError, match=r"192\.0\.2\.1 cannot be used.*PORTALPULSE_HTTP__HOST"):
        await HttpServer(api, HttpSettings(host="192.0.2.1", port=0)).start()


async def test_connections_that_are_never_used_leave_room(registry):
    """Idle connections do not exhaust the descriptors of the worker: beyond the limit the oldest are closed."""
    api = Api(registry=CollectorRegistry(), agencies=registry, clock=ManualClock(NOW), health=lambda: FINE)
    server = HttpServer(api, FREE)
    address = await server.start()
    opened = [await asyncio.open_connection("127.0.0.1", int(address.rpartition(":")[2])) for _ in range(_CONNECTIONS)]
    try:
        for reading, writing in opened[:2]:
            writing.write(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
            assert b" 200 " in await reading.readline()
            writing.write(b"GET /hea")
        async with httpx.AsyncClient(base_url=address, trust_env=False) as client:
            assert (await client.get("/healthz")).status_code == 200
            with contextlib.suppress(ConnectionError):  # closed or reset: either way it is over
                await asyncio.wait_for(opened[0][0].read(), timeout=60)
            assert (await client.get("/healthz")).status_code == 200
        assert not opened[-1][0].at_eof()
    finally:
        for _, writing in opened:
            writing.close()
        await server.close()


async def test_head_sends_no_body(registry):
    """A HEAD request gets no events: a client would take them for the beginning of the next answer."""
    api = Api(registry=CollectorRegistry(), agencies=registry, clock=ManualClock(NOW), health=lambda: FINE, reader=filled())
    server = HttpServer(api, FREE)
    address = await server.start()
    try:
        reading, writing = await asyncio.open_connection("127.0.0.1", int(address.rpartition(":")[2]))
        writing.write(b"HEAD /api/v1/events?from=2024-08-20&to=2024-08-20 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        answer = await reading.read()
        writing.close()
        assert answer.endswith(b"\r\n\r\n")
        assert b"event_id" not in answer
    finally:
        await server.close()


async def test_an_address_of_version_six(registry):
    """On an IPv6 address the URL that is logged is usable."""
    api = Api(registry=CollectorRegistry(), agencies=registry, clock=ManualClock(NOW), health=lambda: FINE)
    server = HttpServer(api, HttpSettings(host="::1", port=0))
    try:
        address = await server.start()
        async with httpx.AsyncClient(trust_env=False) as client:
            assert (await client.get(f"{address}/healthz")).status_code == 200
    finally:
        await server.close()
