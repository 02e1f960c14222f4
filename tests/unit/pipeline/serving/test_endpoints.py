"""Every endpoint of a worker and an exporter, as they are wired, with no, a wrong, a reading and an operating token."""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager, closing

import httpx
from prometheus_client import CollectorRegistry

from domain.clock import SystemClock
from pipeline.serving.answer_sources import Api, Health
from pipeline.serving.roles import ENDPOINTS, Role, endpoint_of
from pipeline.serving.server import HttpServer
from pipeline.settings import HttpSettings, KafkaSettings, Settings
from pipeline.wiring.board import ProcessFigures, board_sources
from pipeline.wiring.features import feature_routes
from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.storage import ClickHouseStorage
from sinks.clickhouse.target import Target
from tests.test_docs import page, table_lines

READER, OPERATOR = "a-token-that-reads", "a-token-that-operates"
#: What a path needs in the place of a name.
NAMES = {"path": "x.js", "language": "vi", "day": "2024-08-20", "partition": "0", "topic": "t", "offset": "0", "code": "H17"}
#: What is sent -> its role.
SENT = {None: Role.PUBLIC, "a-token-that-is-wrong": Role.PUBLIC, READER: Role.READ, OPERATOR: Role.OPERATE}


@asynccontextmanager
async def processes(registry):
    """An exporter and a worker as they are wired, whose storage does not answer: name -> server."""
    settings = Settings(kafka=KafkaSettings(bootstrap="127.0.0.1:1"))
    with closing(ClickHouse(Target.parse("http://127.0.0.1:1", timeout=1))) as clickhouse:
        storage = ClickHouseStorage(clickhouse)
        sources = board_sources(settings, storage, ProcessFigures())
        parts = {"reader": storage.tallies(), "routes": feature_routes(settings, storage, sources)}
        servers = {}
        for name, more in (("exporter", parts), ("worker", {})):
            own, health = CollectorRegistry(), Health(healthy=True, ready=True)
            api = Api(registry=own, agencies=registry, clock=SystemClock(), health=lambda health=health: health, **more)
            options = HttpSettings(port=0, read_token=READER, operate_token=OPERATOR, requests_per_second=0)
            servers[name] = HttpServer(api, options)
            await servers[name].start()
        try:
            yield servers
        finally:
            for server in servers.values():
                await server.close()


def endpoints(server) -> set[tuple[str, str]]:
    """The methods and paths of a server's routes."""
    return {(route.method, route.resource.canonical) for route in server._runner.app.router.routes()}


async def status(client, method, path, token, *, wait: float) -> int | None:
    """The status of an answer, None when the handler works for longer than ``wait`` seconds."""
    named = re.sub(r"\{(\w+)\}", lambda found: NAMES[found[1]], path)
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    body = {"json": {}} if method == "POST" else {}
    try:
        async with client.stream(method, named, headers=headers, timeout=wait, **body) as answer:
            return answer.status_code
    except httpx.TimeoutException:
        return None


async def test_every_endpoint_needs_its_role(registry):
    """No endpoint answers a request whose role is too low: 401 without a known token, 403 with one that only reads."""
    async with processes(registry) as servers:
        found = {name: endpoints(server) for name, server in servers.items()}
        declared = {(method, path) for method, path in ENDPOINTS} | {("HEAD", path) for _, path in ENDPOINTS}
        assert found["exporter"] | found["worker"] <= declared
        assert set(ENDPOINTS) <= found["exporter"] | found["worker"]
        for name, server in servers.items():
            async with httpx.AsyncClient(base_url=server.address, trust_env=False) as client:

                async def checked(method, path, token, role):
                    needed = endpoint_of(method, path).role
                    # A handler that runs may wait for its storage: that is enough to see. A refusal is waited for.
                    answer = await status(client, method, path, token, wait=0.5 if role >= needed else 60)
                    if role >= needed:
                        assert answer not in {401, 403}, (name, method, path, token)  # noqa: B023
                    elif token == "a-token-that-is-wrong":
                        assert answer in {401, 429}, (name, method, path)  # noqa: B023
                    else:
                        assert answer == (401 if role is Role.PUBLIC else 403), (name, method, path, token)  # noqa: B023

                for token, role in SENT.items():
                    await asyncio.gather(*(checked(method, path, token, role) for method, path in sorted(found[name])))


def test_what_changes_something_needs_the_role_operate():
    """Every method but GET needs it, and so do raw bytes; what nobody declared needs it, too."""
    assert {endpoint.role for (method, _), endpoint in ENDPOINTS.items() if method != "GET"} == {Role.OPERATE}
    for path in ("/api/v1/dead-letters", "/api/v1/dead-letters/{topic}/{partition}/{offset}", "/api/v1/events", "/new"):
        assert endpoint_of("GET", path).role is Role.OPERATE, path
    assert endpoint_of("DELETE", "/api/v1/status").role is Role.OPERATE
    assert endpoint_of("HEAD", "/api/v1/status").role is Role.READ


def test_the_table_is_documented():
    """docs/http.md has the table of the code, line by line."""
    expected = [
        f"| `{method} {path}` | {endpoint.role.name.lower()} | {shown_size(endpoint.largest_body)} |"
        for (method, path), endpoint in ENDPOINTS.items()
    ]
    assert [line for line in table_lines(page("http")) if re.match(r"\| `(GET|POST) ", line)][: len(expected)] == expected


def shown_size(size: int) -> str:
    """A number of bytes for people."""
    return f"{size >> 20} MiB" if size >= 1 << 20 else f"{size >> 10} KiB" if size else ""
