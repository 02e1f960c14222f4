"""The data of the board over HTTP: one computation for all, a snapshot and then changes, and the document that describes them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from unittest.mock import Mock

import httpx
import jsonschema
import pytest
from prometheus_client import CollectorRegistry

from deploy.native.processes import wait_until
from pipeline.board.changes import merged
from pipeline.board.hub import FRAMES, LARGE_BYTES, Hub, rest_seconds
from pipeline.board.openapi import DOCUMENT
from pipeline.board.stream import MAX_STREAMS
from pipeline.serving.answer_sources import Api, Health
from pipeline.serving.requests import Threads
from pipeline.serving.routes import base_routes
from pipeline.serving.server import _CONNECTIONS
from pipeline.settings import Settings
from pipeline.wiring.board import ProcessFigures
from pipeline.wiring.board import board_sources as wired_sources
from pipeline.wiring.features import feature_routes
from sinks.errors import Retryable
from tests.board import BoardReader, board_sources, served


@contextlib.asynccontextmanager
async def listening(address, *, period="ytd", headers=None):
    """The events of a stream: an iterator of (event, id, data), and the headers of the answer."""
    async with (
        httpx.AsyncClient(trust_env=False, timeout=20) as client,
        client.stream("GET", f"{address}/api/v1/stream", params={"period": period}, headers=headers or {}) as answer,
    ):

        async def events():
            fields = {}
            async for line in answer.aiter_lines():
                if line:
                    name, _, text = line.partition(": ")
                    fields[name] = text
                elif "data" in fields:
                    yield fields["event"], fields["id"], json.loads(fields["data"])
                    fields = {}

        yield events(), answer.headers


async def test_a_snapshot_then_changes_then_resumed(registry):
    """The snapshot comes first, then what differs; who returns gets what was missed and no snapshot."""
    reader = BoardReader(registry)
    async with served(board_sources(reader, registry), registry) as server:
        async with listening(server.address) as (events, headers):
            assert headers["Content-Type"].startswith("text/event-stream")
            assert (headers["X-Accel-Buffering"], headers["Cache-Control"]) == ("no", "no-store")
            event, first, data = await anext(events)
            assert event == "snapshot"
            assert data["agencies"]["H17"]["numerator"] == 1480
            reader.ratios["H17"] = (1600, 4000)
            event, last, change = await anext(events)
            while "agencies" not in change:
                event, last, change = await anext(events)
            assert event == "change"
            assert set(change["agencies"]) == {"H17"} | {
                code for code in change["agencies"] if "rank" in change["agencies"][code]
            }
            assert change["agencies"]["H17"]["rate"] == "40.00"
        async with listening(server.address, headers={"Last-Event-ID": first}) as (events, _):
            event, number, missed = await anext(events)
            assert event == "change"
            while number != last:
                event, number, more = await anext(events)
                missed = merged(missed, more)
            assert missed["agencies"]["H17"]["rate"] == "40.00"
        for unknown in ("", "0", "ffffffff-1", first.partition("-")[0] + "-999", first.partition("-")[0] + "-x"):
            async with listening(server.address, headers={"Last-Event-ID": unknown}) as (events, _):
                assert (await anext(events))[0] == "snapshot", unknown


async def test_many_clients_cost_one_computation(registry):
    """Twenty streams of a period read the storage as often as one, and in steps; without one nothing is read."""
    reader = BoardReader(registry)
    async with served(board_sources(reader, registry), registry) as server, contextlib.AsyncExitStack() as opened:
        began = time.monotonic()
        streams = [(await opened.enter_async_context(listening(server.address)))[0] for _ in range(20)]
        for events in streams:
            await anext(events)
        await asyncio.to_thread(wait_until, lambda: reader.reads["last events"] >= 3, timeout=60, what="three computations")
        # Twenty computations of their own would be as many reads at once.
        assert reader.reads["last events"] <= (time.monotonic() - began) / 0.5 + 2
        await opened.aclose()
        await asyncio.sleep(1.2)  # the last computation may be on its way
        before = reader.reads.total()
        await asyncio.sleep(1.2)
        assert reader.reads.total() == before


async def test_a_storage_that_fails_is_said_and_figures_stay(registry):
    """While the storage fails a stream goes on with the last figures and says since when; a page that begins then is refused."""
    reader = BoardReader(registry)
    async with served(board_sources(reader, registry), registry) as server:
        async with listening(server.address) as (events, _):
            await anext(events)
            reader.down = True
            number, _ = await until_change(events, lambda data: data.get("storage", {}).get("unavailable_since"))
            assert number
            reader.down = False
            await until_change(events, lambda data: "storage" in data and data["storage"]["unavailable_since"] is None)
        reader.down = True
        async with httpx.AsyncClient(trust_env=False, base_url=server.address) as client:
            answer = await client.get("/api/v1/stream", params={"period": "24h"})
            assert answer.status_code == 503
            assert "no answer" in answer.json()["error"]


async def until_change(events, condition):
    """The first change that fulfils a condition: its number and its data."""
    async for _, number, data in events:
        if condition(data):
            return number, data
    raise AssertionError("the stream ended")


async def test_a_server_with_open_streams_closes_at_once(registry):
    """Streams never end by themselves: the server ends them when it closes."""
    async with (
        served(board_sources(BoardReader(registry), registry), registry) as server,
        listening(server.address) as (events, _),
    ):
        await anext(events)
        server._runner._shutdown_timeout = 3600  # what a server waits for streams that do not end
        async with asyncio.timeout(60):
            await server.close()
        with contextlib.suppress(httpx.HTTPError):
            async for _ in events:  # what was sent before
                pass


async def test_streams_leave_room_for_others(registry, monkeypatch):
    """One stream too many is refused with the time to wait; streams are fewer than connections, so that scrapes find room."""
    assert MAX_STREAMS < _CONNECTIONS
    monkeypatch.setattr("pipeline.board.stream.MAX_STREAMS", 1)
    async with (
        served(board_sources(BoardReader(registry), registry), registry) as server,
        listening(server.address) as (events, _),
    ):
        await anext(events)
        async with httpx.AsyncClient(trust_env=False, base_url=server.address) as client:
            answer = await client.get("/api/v1/stream")
            assert (answer.status_code, answer.headers["Retry-After"]) == (503, "10")
            assert (await client.get("/metrics")).status_code == 200


async def test_chosen_days_leave_room_for_others(registry, monkeypatch):
    """Days at which somebody looks stay; those that are not open make room, and where all are open the next ones are refused."""
    monkeypatch.setattr("pipeline.board.board.MOST_CHOSEN", 2)
    days = [{"period": "any", "from": "2024-01-01", "to": f"2024-01-{number:02d}"} for number in range(1, 5)]
    async with (
        served(board_sources(BoardReader(registry), registry), registry) as server,
        httpx.AsyncClient(trust_env=False, base_url=server.address) as client,
        client.stream("GET", "/api/v1/stream", params=days[0]) as first,
    ):
        assert first.status_code == 200
        for query in days[1:]:
            assert (await client.get("/api/v1/snapshot", params=query)).json()["period"]["last"] == query["to"]
        async with client.stream("GET", "/api/v1/stream", params=days[1]):
            refused = await client.get("/api/v1/stream", params=days[2])
            assert (refused.status_code, "Pages show 2 different periods" in refused.json()["error"]) == (503, True)
            assert (await client.get("/api/v1/snapshot", params=days[2])).status_code == 503
            assert (await client.get("/api/v1/snapshot", params=days[0])).status_code == 200


class Numbers:
    """Data that a test counts up, computed at once."""

    def __init__(self):
        self.value, self.failing = 0, False

    def build(self):
        if self.failing:
            raise Retryable("gone")
        self.value += 1
        return {"value": self.value}


async def test_who_is_too_far_behind_gets_the_newest_snapshot():
    """A position is kept for a few frames only, so that a slow client costs no memory; nothing new within the wait is empty."""
    numbers, now = Numbers(), [0.0]

    async def at_once(action):
        return action()

    hub = Hub(numbers.build, in_thread=at_once, interval=1, now=lambda: 0, monotonic=lambda: now[0])
    frames, seen = await hub.frames(None, wait=0)
    assert b"event: snapshot\n" in frames
    assert await hub.frames(seen, wait=0.01) == (b"", seen)
    for _ in range(FRAMES):
        now[0] += 1
        await hub.data()
    frames, newest = await hub.frames(seen, wait=0)
    assert frames.count(b"event: change\n") == FRAMES
    assert newest == seen + FRAMES
    now[0] += 1
    await hub.data()
    frames, newest = await hub.frames(seen, wait=0)
    assert b"event: snapshot\n" in frames
    assert b'"value":%d' % numbers.value in frames
    assert hub.position(f"{frames.split(b'id: ')[1].split(b'-')[0].decode()}-{newest}") == newest


@pytest.mark.parametrize(
    ("took", "sent_bytes", "rest"), [(0.1, 0, 0.4), (0.1, LARGE_BYTES - 1, 0.4), (0.1, LARGE_BYTES, 0.9), (0.3, 100, 0.9)]
)
def test_updates_rest_longer_where_they_cost_more(took, sent_bytes, rest):
    """Half a second between two updates, a second where most rows change, and three times what computing took at least."""
    assert rest_seconds(took, interval=0.5, sent_bytes=sent_bytes) == pytest.approx(rest)


def schema_of(name):
    """A schema of the document, with what it refers to."""
    return {"$ref": f"#/components/schemas/{name}", "components": DOCUMENT["components"]}


async def test_the_answers_are_those_of_the_document(registry):
    """Every answer of the board passes the schema of the OpenAPI document, in every period, and an unknown one is refused."""
    async with (
        served(board_sources(BoardReader(registry), registry), registry) as server,
        httpx.AsyncClient(trust_env=False, base_url=server.address) as client,
    ):
        for period, days in (("24h", {}), ("month", {}), ("any", {"from": "2024-05-01", "to": "2024-08-20"}), ("ytd", {})):
            query = {"period": period, **days}
            answer = (await client.get("/api/v1/snapshot", params=query)).raise_for_status().json()
            jsonschema.validate(answer, schema_of("Snapshot"))
            assert answer["period"]["name"] == period
            for code in ("H41", "H35"):
                detail = (await client.get(f"/api/v1/agencies/{code}", params=query)).raise_for_status().json()
                jsonschema.validate(detail, schema_of("Agency"))
        assert detail["figures"] == answer["agencies"]["H35"]
        jsonschema.validate((await client.get("/api/v1/alerts")).json(), schema_of("Alerts"))
        assert (await client.get("/api/v1/openapi.json")).json() == json.loads(json.dumps(DOCUMENT))
        assert (await client.get("/api/v1/agencies/X99")).status_code == 404
        for path in ("/api/v1/snapshot", "/api/v1/stream", "/api/v1/agencies/H17"):
            refused = await client.get(path, params={"period": "week"})
            assert (refused.status_code, "24h, month, ytd, any" in refused.json()["error"]) == (400, True)
            jsonschema.validate(refused.json(), schema_of("Error"))


def test_the_document_has_every_path_and_parameter():
    """What is read below /api/v1 is what the OpenAPI document describes, with the same parameters."""
    settings, clickhouse, threads = Settings(), Mock(), Threads(Mock(), Mock())
    clickhouse.parts.return_value = ()
    sources = wired_sources(settings, clickhouse, ProcessFigures())
    api = Api(CollectorRegistry(), Mock(), Mock(), lambda: Health(healthy=True, ready=True), reader=Mock())
    routes = [*base_routes(api, None, None, threads)]
    for factory in feature_routes(settings, clickhouse, sources):
        routes += factory(threads)
    served_paths = {
        route.path: set(getattr(route.handler, "__parameters__", ()))
        for route in routes
        if route.method == "GET" and route.path.startswith("/api/v1/")
    }
    described = {
        path: {each["name"] for each in operations["get"]["parameters"] if each["in"] == "query"}
        for path, operations in DOCUMENT["paths"].items()
    }
    assert described == served_paths
