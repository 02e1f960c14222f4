"""Pages and figures need this machine, the token or anonymous_read; raw messages and changes need this machine or the token.

A proxy on this machine does not count as this machine.
"""

from __future__ import annotations

import asyncio
import base64
import datetime as dt
from functools import partial
from unittest.mock import Mock

import httpx
import pytest
from aiohttp import HttpVersion11, web
from aiohttp.test_utils import make_mocked_request
from prometheus_client import CollectorRegistry

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
from pipeline.serving.access import TOKEN, ForbiddenError, require_trust
from pipeline.serving.answer_sources import Api, Health
from pipeline.serving.server import HttpServer
from pipeline.settings import HttpSettings
from tests.factories import TOPIC
from tests.fakes import MemoryFindingReader, MemoryStore, NothingToCheck
from tests.reports import report_route, verification_route

NOW = dt.datetime(2024, 8, 20, 8, tzinfo=dt.UTC)
SECRET = "a-token-of-sixteen"
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
    *("/metrics", "/healthz", "/readyz", "/api/v1/status", "/api/v1/misplaced"),
    "/api/v1/report?from=2024-08-20&to=2024-08-20",
]
FOR_EVERYBODY = {"/metrics", "/healthz", "/readyz"}
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
            assert "PORTALPULSE_HTTP__TOKEN" in answer.json()["error"]


async def test_everybody_may_read_figures_where_the_setting_says_so(serve):
    """With anonymous_read figures are for everybody; raw messages and changes are not."""
    address = await serve(anonymous_read=True)
    async with httpx.AsyncClient(base_url=address, trust_env=False, headers=PROXIED[0]) as client:
        for path in OPEN:
            assert (await client.get(path)).status_code == 200, path
        for method, path in GUARDED:
            answer = await client.request(method, path, **({"json": {}} if method == "POST" else {}))
            assert answer.status_code == 403, path
            assert "PORTALPULSE_HTTP__TOKEN" in answer.json()["error"]


async def test_a_browser_sends_the_token_as_a_password(serve):
    """HTTP Basic with any user and the token as password reads figures from elsewhere; it changes and reads nothing raw."""
    address = await serve(token=SECRET)
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
    """With a token set, this machine is refused without it, and a proxy is served with it; figures stay open."""
    async with httpx.AsyncClient(base_url=await serve(token=SECRET), trust_env=False) as client:
        for method, path in GUARDED:
            body = {"json": {}} if method == "POST" else {}
            for header in (None, "Bearer", f"Bearer {SECRET}x", f"Basic {SECRET}", b"Bearer \xff"):
                headers = {} if header is None else {"Authorization": header}
                assert (await client.request(method, path, headers=headers, **body)).status_code == 403, (path, header)
            headers = {"X-Forwarded-For": "192.0.2.1"}
            assert (await client.request(method, path, headers=headers, **body)).status_code == 401, path
            headers = {"Authorization": f"Bearer {SECRET}", "X-Forwarded-For": "192.0.2.1"}
            assert (await client.request(method, path, headers=headers, **body)).status_code != 403, path
        for path in OPEN:
            assert (await client.get(path)).status_code == 200, path


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
    app = web.Application()
    app[TOKEN] = ""
    request = make_mocked_request("GET", "/", app=app, transport=transport, version=HttpVersion11)
    if trusted:
        require_trust(request)
    else:
        with pytest.raises(ForbiddenError, match="this machine only"):
            require_trust(request)


def test_a_token_is_never_shown():
    """No representation of the settings contains the token."""
    assert SECRET not in repr(HttpSettings(token=SECRET))
