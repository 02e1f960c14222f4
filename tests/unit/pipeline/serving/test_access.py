"""Who may do what: every endpoint needs its role, and a role comes from a token or from being on this machine.

A proxy on this machine does not count as this machine.
"""

from __future__ import annotations

import asyncio
import base64
import datetime as dt
from contextlib import closing
from functools import partial
from unittest.mock import Mock

import httpx
import pytest
import structlog
from aiohttp import HttpVersion11
from aiohttp.test_utils import make_mocked_request
from prometheus_client import CollectorRegistry

from dashboards.notify.procedures import Procedures
from domain.clock import ManualClock
from pipeline.audit.routes import audit_routes
from pipeline.audit.service import AuditService
from pipeline.dead_letters.routes import dead_letter_routes
from pipeline.dead_letters.service import DeadLetterService
from pipeline.decode.decoder import Decoder
from pipeline.decode.validator import EventValidator
from pipeline.dossiers.exclusion import ExclusionService
from pipeline.dossiers.routes import dossier_routes
from pipeline.dossiers.service import DossierService
from pipeline.findings.routes import finding_routes
from pipeline.findings.service import FindingService
from pipeline.serving import requests
from pipeline.serving import server as serving
from pipeline.serving.answer_sources import Api, Health
from pipeline.serving.identity import Identities, Proof
from pipeline.serving.server import HttpServer
from pipeline.settings import HttpSettings
from tests.alert_messages import alert
from tests.factories import TOPIC
from tests.fakes import MemoryFindingReader, MemoryStore, NothingToCheck
from tests.reports import report_route, verification_route

NOW = dt.datetime(2024, 8, 20, 8, tzinfo=dt.UTC)
SECRET, READER = "a-token-of-sixteen", "a-token-that-reads"
#: Every endpoint that gives raw messages or changes something.
GUARDED = [
    ("GET", "/api/v1/events?from=2024-08-20&to=2024-08-20"),
    ("GET", "/api/v1/dead-letters"),
    ("GET", f"/api/v1/dead-letters/{TOPIC}/0/1"),
    ("POST", "/api/v1/dead-letters/replay"),
    ("POST", "/api/v1/dead-letters/drop"),
    ("POST", "/api/v1/dead-letters/accept"),
    ("GET", "/api/v1/audit/days"),
    ("GET", "/api/v1/audit/days/2024-08-20"),
    ("GET", "/api/v1/audit/days/2024-08-20/contradictions"),
    ("GET", "/api/v1/audit/repeats"),
    ("GET", "/api/v1/audit/partitions"),
    ("GET", "/api/v1/audit/partitions/0?begin=0&end=1"),
    ("GET", "/api/v1/findings?from=2024-08-20&to=2024-08-20"),
    ("GET", "/api/v1/findings/shards?from=2024-08-20&to=2024-08-20"),
    ("GET", "/api/v1/report/verification?day=2024-08-20&number=0&of=1"),
    ("GET", "/api/v1/report/verification/shards?day=2024-08-20"),
    ("POST", "/api/v1/report/verification?day=2024-08-20"),
    ("GET", "/api/v1/dossiers/H17-240102-0001"),
    ("POST", "/api/v1/dossiers/H17-240102-0001/exclusion"),
    ("POST", "/api/v1/audit/repair"),
    ("POST", "/api/v1/audit/tidy"),
]
OPEN = [
    *("/metrics", "/livez", "/healthz", "/readyz", "/api/v1/status", "/api/v1/misplaced"),
    "/api/v1/report?from=2024-08-20&to=2024-08-20",
]
FOR_EVERYBODY = {"/metrics", "/livez", "/healthz", "/readyz"}
PROXIED = [
    {"Forwarded": "for=192.0.2.1"},
    {"Via": "1.1 gateway"},
    {"X-Real-IP": "192.0.2.1"},
    {"X-Forwarded-For": "192.0.2.1"},
    {"x-forwarded-host": "portal.example"},
    {"X-Forwarded-Prefix": "/x"},
]


class NoLetters:
    """A store without dead letters."""

    def counts(self, *_):
        return {}

    def entries(self, *_, **__):
        return []

    letters = entries

    def find(self, *_):
        return None

    def drop(self, *_):
        return 0


@pytest.fixture
async def serve(registry):
    """Start a process with every endpoint; returns its address."""
    servers = []

    async def start(**settings):
        store = MemoryStore(now=lambda: NOW)
        api = Api(
            registry=CollectorRegistry(),
            agencies=registry,
            clock=ManualClock(NOW),
            health=lambda: Health(healthy=True, ready=True),
            reader=store,
            routes=(
                report_route(store, registry, NOW),
                partial(
                    dead_letter_routes,
                    DeadLetterService(
                        NoLetters(),
                        validator=EventValidator(registry),
                        clock=ManualClock(NOW),
                        sender=Mock,
                        limits=Mock(),
                        ends=Mock(),
                        future_tolerance=dt.timedelta(1),
                    ),
                ),
                partial(finding_routes, FindingService(MemoryFindingReader(store), registry)),
                verification_route(store, registry, NOW),
                partial(
                    dossier_routes,
                    DossierService(store, store, registry),
                    ExclusionService(store, reader=store, index=store, recount=Mock()),
                ),
                partial(
                    audit_routes,
                    AuditService(
                        store,
                        store=store,
                        repair=store,
                        dossiers=NothingToCheck(),
                        index=store,
                        topic=(TOPIC, Mock),
                        decoder=Decoder(registry),
                        clock=ManualClock(NOW),
                        future_tolerance=dt.timedelta(1),
                    ),
                ),
            ),
        )
        servers.append(HttpServer(api, HttpSettings(port=0, **settings)))
        return await servers[-1].start()

    yield start
    for server in servers:
        await server.close()


@pytest.mark.parametrize("headers", PROXIED, ids=lambda headers: next(iter(headers)))
async def test_a_request_through_a_proxy_gets_nothing_but_metrics_and_health(serve, headers):
    """Behind a proxy on this machine every peer is 127.0.0.1: without a token, figures, raw messages and changes are refused."""
    async with httpx.AsyncClient(base_url=await serve(), trust_env=False, headers=headers) as client:
        for method, path in [*GUARDED, *(("GET", path) for path in (*OPEN, "/", "/runbook/vi"))]:
            answer = await client.request(method, path, **({"json": {}} if method == "POST" else {}))
            if path in FOR_EVERYBODY:
                assert answer.status_code == 200, path
                continue
            assert answer.status_code == 401, path
            assert answer.headers["WWW-Authenticate"].startswith("Basic ")
            assert "PORTALPULSE_HTTP__OPERATE_TOKEN" in answer.json()["error"]


async def test_everybody_may_read_figures_where_the_setting_says_so(serve):
    """With anonymous_read figures are for everybody; raw messages and changes are not."""
    address = await serve(anonymous_read=True)
    async with httpx.AsyncClient(base_url=address, trust_env=False, headers=PROXIED[0]) as client:
        for path in OPEN:
            assert (await client.get(path)).status_code == 200, path
        for method, path in GUARDED:
            answer = await client.request(method, path, **({"json": {}} if method == "POST" else {}))
            assert answer.status_code == 403, path
            assert "PORTALPULSE_HTTP__OPERATE_TOKEN" in answer.json()["error"]


async def test_a_browser_sends_the_token_as_a_password(serve):
    """HTTP Basic with any user and the token as password reads figures from elsewhere; it changes and reads nothing raw."""
    address = await serve(operate_token=SECRET)
    async with httpx.AsyncClient(base_url=address, trust_env=False, headers=PROXIED[0]) as client:
        for auth in (("anybody", SECRET), ("", SECRET)):
            for path in OPEN:
                assert (await client.get(path, auth=auth)).status_code == 200, path
            for method, path in GUARDED:
                answer = await client.request(method, path, auth=auth, **({"json": {}} if method == "POST" else {}))
                assert answer.status_code == 403, path
        for header in (
            "Basic",
            "Basic !",
            f"Basic {SECRET}",
            "Basic " + base64.b64encode(SECRET.encode()).decode(),
            b"Basic \xff",
        ):
            answer = await client.get("/api/v1/status", headers={"Authorization": header})
            assert answer.status_code == 401, header
            assert "token as password" in answer.json()["error"]
        assert (await client.get("/api/v1/status", auth=("anybody", SECRET + "x"))).status_code == 401


async def test_nginx_as_it_comes(serve):
    """By default nginx adds no header and uses HTTP/1.0: such a request is recognised as proxied, too."""
    host, port = (await serve()).removeprefix("http://").split(":")
    for version, status in ((b"1.0", b" 401 "), (b"1.1", b" 200 ")):
        reading, writing = await asyncio.open_connection(host, int(port))
        writing.write(b"GET /api/v1/dead-letters HTTP/%s\r\nHost: 127.0.0.1:8080\r\nConnection: close\r\n\r\n" % version)
        assert status in await reading.readline()
        writing.close()


async def test_without_a_proxy_this_machine_is_served(serve):
    """The commands of this machine need no token."""
    async with httpx.AsyncClient(base_url=await serve(), trust_env=False) as client:
        for method, path in GUARDED:
            answer = await client.request(method, path, **({"json": {}} if method == "POST" else {}))
            assert answer.status_code != 403, path


async def test_a_parameter_or_field_that_does_not_exist_is_refused(serve):
    """Ignored, a misspelt name would select other figures, or more to change, than was meant. Probes may add parameters."""
    async with httpx.AsyncClient(base_url=await serve(), trust_env=False) as client:
        for method, path in [*GUARDED, *(("GET", path) for path in [*OPEN, "/api/v1/progress"])]:
            answer = await client.request(method, f"{path}{'&' if '?' in path else '?'}form=x", json={})
            wanted = 400 if path.startswith("/api/") else 200
            assert answer.status_code == wanted, path
            assert wanted == 200 or "There is no parameter 'form'." in answer.json()["error"], path
        for _, path in (each for each in GUARDED if each[0] == "POST"):
            answer = await client.post(path, json={"form": 1})
            assert (answer.status_code, "There is no field 'form'." in answer.text) == (400, True), path


async def test_with_a_token_only_the_token_counts(serve):
    """With a token set, this machine is refused without it, and a proxy is served with it, whatever Host it names."""
    address = await serve(operate_token=f"{SECRET},{SECRET}2", read_token=f"{READER},{READER}2", requests_per_second=0)
    proxied = {"X-Forwarded-For": "192.0.2.1", "Host": "portal.example"}
    async with httpx.AsyncClient(base_url=address, trust_env=False) as client:
        for method, path in [*GUARDED, *(("GET", path) for path in OPEN if path not in FOR_EVERYBODY)]:
            body = {"json": {}} if method == "POST" else {}
            assert (await client.request(method, path, **body)).status_code == 401, path
            for token in (SECRET, f"{SECRET}2"):
                answer = await client.request(method, path, headers={"Authorization": f"Bearer {token}", **proxied}, **body)
                assert answer.status_code not in {401, 403, 429}, path
            expected = {403} if (method, path) in GUARDED else {200}
            for token in (READER, f"{READER}2"):
                answer = await client.request(method, path, headers={"Authorization": f"Bearer {token}", **proxied}, **body)
                assert {answer.status_code} == expected, path
        for path in FOR_EVERYBODY:
            assert (await client.get(path)).status_code == 200, path


async def test_a_right_token_is_served_among_wrong_ones(serve):
    """Wrong tokens of an address are soon answered with 429 and a time to wait; a right one of the same address is served."""
    async with httpx.AsyncClient(base_url=await serve(operate_token=SECRET), trust_env=False) as client:
        wrong = [
            f"Bearer {SECRET}x",
            "Bearer",
            "Bearer x",
            SECRET,
            f"Basic {SECRET}",
            b"Bearer \xff",
            f"Bearer {SECRET},{SECRET}",
        ]
        for header in wrong:
            answer = await client.get("/api/v1/status", headers={"Authorization": header})
            assert answer.status_code == 401, header
        twice = [("Authorization", f"Bearer {SECRET}"), ("Authorization", "Bearer x")]
        assert (await client.get("/api/v1/status", headers=twice)).status_code == 401
        async with asyncio.timeout(30):
            while (answer := await client.get("/api/v1/status", headers={"Authorization": "Bearer x"})).status_code != 429:
                assert answer.status_code == 401
        assert 1 <= int(answer.headers["Retry-After"]) <= 5
        assert (await client.get("/api/v1/status", headers={"Authorization": f"Bearer {SECRET}"})).status_code == 200
        assert (await client.get("/metrics", headers={"Authorization": "Bearer x"})).status_code == 200


async def test_the_relay_reads_with_its_token(serve):
    """The relay asks for procedures with the read token. A refusal is logged, and the message goes without them."""
    address = await serve(read_token=READER, operate_token=SECRET)
    for token, refused in (("", True), ("a-token-that-is-wrong", True), (READER, False)):
        procedures = Procedures(address, token=token)
        with structlog.testing.capture_logs() as logged, closing(procedures._client):
            await asyncio.to_thread(procedures.explained, [alert()], NOW)
        assert ("procedures_refused" in {entry["event"] for entry in logged}) == refused, token


async def test_too_many_requests_are_told_when_to_come_again(serve):
    """Each token and each peer has its own number of requests; probes have none, and scrapes are counted for themselves."""
    address = await serve(operate_token=SECRET, read_token=READER, requests_per_second=0.1)
    async with httpx.AsyncClient(base_url=address, trust_env=False) as client:
        operating, reading = ({"Authorization": f"Bearer {token}"} for token in (SECRET, READER))
        assert (await client.get("/api/v1/status", headers=operating)).status_code == 200
        answer = await client.get("/api/v1/status", headers=operating)
        assert (answer.status_code, answer.headers["Retry-After"]) == (429, "10")
        assert "Try again in 10 s." in answer.json()["error"]
        assert (await client.get("/api/v1/status", headers=reading)).status_code == 200
        assert [(await client.get("/metrics")).status_code for _ in range(2)] == [200, 429]
        assert {(await client.get(path)).status_code for path in sorted(FOR_EVERYBODY - {"/metrics"}) * 3} == {200}


async def test_a_foreign_name_of_this_machine_is_refused(serve):
    """A page that points its own name to 127.0.0.1 has the browser of this machine ask; without a token its Host is refused."""
    address = await serve(allowed_hosts="board.example, Other")
    async with httpx.AsyncClient(base_url=address, trust_env=False) as client:
        for host in (
            "evil.example",
            "evil.example:8080",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "",
            "[::2]",
            "0.0.0.0",
        ):
            for method, path in (GUARDED[0], GUARDED[3], ("GET", "/api/v1/status"), ("GET", "/")):
                answer = await client.request(method, path, headers={"Host": host}, **({"json": {}} if method == "POST" else {}))
                assert (answer.status_code, "The Host header" in answer.text) == (403, True), (host, path)
            assert (await client.get("/metrics", headers={"Host": host})).status_code == 200
        for host in ("localhost", "LOCALHOST:1", "127.0.0.1", "127.8.8.8:80", "[::1]:8080", "board.example:8080", "other"):
            assert (await client.get("/api/v1/status", headers={"Host": host})).status_code == 200, host


async def test_a_change_from_another_page_is_refused(serve):
    """A browser says which page makes it send a request: another one may change nothing, also with a token."""
    for settings, headers in (({}, {}), ({"operate_token": SECRET}, {"Authorization": f"Bearer {SECRET}"})):
        address = await serve(**settings)
        own, host = address, address.removeprefix("http://")
        async with httpx.AsyncClient(base_url=address, trust_env=False, headers=headers) as client:

            async def drop(**sent: str) -> int:
                sent = {name.replace("_", "-"): value for name, value in sent.items()}
                return (await client.post("/api/v1/dead-letters/drop", json={}, headers=sent)).status_code

            allowed = await drop()
            assert allowed not in {401, 403}
            assert await drop(Origin=own, Sec_Fetch_Site="same-origin") == allowed
            for origin in ("http://evil.example", "null", "", "http://[", f"http://{host}.evil.example", f"http://x:{host}"):
                assert await drop(Origin=origin) == 403, origin
            for site in ("cross-site", "same-site"):
                assert await drop(Sec_Fetch_Site=site) == 403, site


async def test_bodies_are_small(serve, monkeypatch):
    """A body larger than its endpoint takes is refused, and one that does not arrive in time, with a sentence each."""
    monkeypatch.setattr(requests, "BODY_SECONDS", 0.1)
    address = await serve()
    async with httpx.AsyncClient(base_url=address, trust_env=False) as client:
        answer = await client.post("/api/v1/dead-letters/drop", json={"topic": "x" * (64 << 10)})
        assert (answer.status_code, "larger" in answer.json()["error"]) == (413, True)
    host, port = address.removeprefix("http://").split(":")
    reading, writing = await asyncio.open_connection(host, int(port))
    head = ("POST /api/v1/dead-letters/drop HTTP/1.1", "Host: localhost", "Content-Type: application/json", "Content-Length: 9")
    writing.write("\r\n".join((*head, "", "{")).encode())
    assert b" 408 " in await reading.readline()
    writing.close()


async def test_a_connection_that_sends_no_whole_request_is_closed(serve, monkeypatch):
    """Silence, and a header that never ends, keep a connection for a limited time only."""
    monkeypatch.setattr(serving, "IDLE_SECONDS", 0.2)
    host, port = (await serve()).removeprefix("http://").split(":")
    for begun in (b"", b"GET / HTTP/1.1\r\nX: 1\r\n"):
        reading, writing = await asyncio.open_connection(host, int(port))
        writing.write(begun)
        async with asyncio.timeout(30):
            assert await reading.read() == b""
        writing.close()


@pytest.mark.parametrize(
    ("peer", "trusted"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("172.17.0.1", False),
        ("10.0.0.1", False),
        (None, False),
        ("", False),
    ],
)
def test_another_machine_gets_no_raw_data(peer, trusted):
    """A process that listens on every address, as in a container, gives raw messages to its own machine only."""
    transport = Mock()
    transport.get_extra_info.side_effect = lambda name, default=None: (peer, 1) if name == "peername" and peer else default
    headers = {"Host": "localhost"}
    request = make_mocked_request("GET", "/", headers=headers, transport=transport, version=HttpVersion11)
    proof = Identities(read=(), operate=()).of(request).proof
    assert proof is (Proof.THIS_MACHINE if trusted else Proof.ANOTHER_MACHINE)


def test_a_token_is_never_shown():
    """No representation of the settings contains the token."""
    assert SECRET not in repr(HttpSettings(operate_token=SECRET, read_token=READER))
    assert READER not in repr(HttpSettings(operate_token=SECRET, read_token=READER))
