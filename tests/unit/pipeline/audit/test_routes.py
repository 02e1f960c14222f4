"""The steps of the audit over HTTP."""

from __future__ import annotations

import asyncio
import dataclasses
from functools import partial

import httpx
import pytest
from prometheus_client import CollectorRegistry

from domain.clock import ManualClock
from pipeline.audit.routes import audit_routes
from pipeline.cli.remote import Process
from pipeline.cli.remote_audit import RemoteAudit
from pipeline.serving.answer_sources import Api, Health
from pipeline.serving.server import HttpServer
from pipeline.settings import HttpSettings
from sinks.contract.audit import HashShard
from sinks.contract.dossier_audit import DossierSelection
from sinks.contract.events import UnreadCause, UnreadRange
from sinks.contract.tallies import Counts
from sinks.errors import Retryable
from tests.factories import LATEST, MORNING, TOPIC, a_message, an_event, rows_of
from tests.fakes import Tally
from tests.unit.pipeline.audit.helpers import DAY, TODAY, Log, take

#: An event that is sent, and not stored.
MISSING = an_event()


def a_log():
    """A topic with one acknowledged message that the storage does not hold."""
    return Log(p5=(0, 1, [a_message(MISSING)]))


@pytest.fixture
async def served(service, registry, store):
    """A client of a server over the store and its audit service."""
    api = Api(
        registry=CollectorRegistry(),
        agencies=registry,
        clock=ManualClock(LATEST),
        health=lambda: Health(healthy=True, ready=True),
        reader=store,
        routes=(partial(audit_routes, service(store, a_log())),),
    )
    server = HttpServer(api, HttpSettings(port=0))
    async with httpx.AsyncClient(base_url=await server.start(), trust_env=False) as client:
        yield client
    await server.close()


async def test_every_step_is_answered_over_http(served, service, store):
    """A running process, asked over HTTP as the command line asks it, gives the same answers as the service in this process."""
    take(store, an_event(), an_event(agency="G01"))
    store.insert_events(rows_of([dataclasses.replace(event, portal_id="p") for event in store.kept.values()]))
    store.days["H17", TODAY] = Tally(1, Counts(events=4), MORNING)
    store.minutes["H17", MORNING] = Tally(1, Counts(events=4), MORNING)
    store.insert_unread([UnreadRange(TOPIC, 5, 3, 9, "workers", UnreadCause.DELETED)])
    here, remote = service(store, a_log()), RemoteAudit(Process(str(served.base_url).rstrip("/")))

    async def same(step, *arguments, **options):
        answer = await asyncio.to_thread(getattr(remote, step), *arguments, **options)
        assert answer == getattr(here, step)(*arguments, **options)
        return answer

    assert await same("days", TODAY - DAY, None) == {TODAY: 2}
    assert await same("days", None, TODAY - DAY) == {}
    assert (await same("compare", TODAY, settle=0.0)).drift
    await same("contradictions", TODAY)
    for days in (None, (TODAY - DAY, TODAY)):
        await same("reused_event_ids", days, HashShard(0, 2))
        await same("dossiers", DossierSelection(HashShard(0, 2), days), settle=0.0)
        await same("repair_dossiers", DossierSelection(HashShard(0, 2), days), settle=0.0)
    assert (await same("partitions")).partitions[0].committed == 1
    assert (await same("unread")).ranges[0].end == 9
    assert (await same("verify", 5, 0, 1)).missing == 1
    assert await asyncio.to_thread(remote.repair, TODAY, ["H17"], raise_epoch=True) == 1
    assert store.days["H17", TODAY].counts.events == 1
    assert await asyncio.to_thread(remote.repair, TODAY, None, raise_epoch=False) is None
    assert await same("compact", [TODAY]) == ""


@pytest.mark.parametrize(
    "path",
    [
        "days?from=x",
        "days/2024-13-01",
        "days/2024-01-01?settle=soon",
        "days/2024-01-01?settle=-1",
        "repeats?number=2&of=2",
        "repeats?number=x",
        "dossiers?number=2&of=2",
        "dossiers?settle=soon",
        "repeats?from=2024-01-01",
        "dossiers?from=2024-01-01",
        "partitions/x?begin=0&end=1",
        "partitions/0?begin=0",
    ],
)
async def test_a_wrong_question_is_refused(served, path):
    """A parameter that cannot be read is named with 400."""
    answer = await served.get(f"/api/v1/audit/{path}")
    assert answer.status_code == 400
    assert answer.json()["error"]


async def test_a_repair_is_asked_for_as_json(served):
    """A form of another website cannot start a repair; wrong fields are refused."""
    assert (await served.post("/api/v1/audit/repair", data={"day": "2024-01-02"})).status_code == 403
    assert (await served.post("/api/v1/audit/tidy", data={"days": "2024-01-02"})).status_code == 403
    assert (await served.post("/api/v1/audit/repair", json={"day": "x"})).status_code == 400
    assert (await served.post("/api/v1/audit/repair", json={"day": "2024-01-02", "agencies": "H17"})).status_code == 400
    assert (await served.post("/api/v1/audit/repair", json={"day": "2024-01-02", "raise_epoch": "true"})).status_code == 400
    assert (await served.post("/api/v1/audit/tidy", json={})).status_code == 400
    for day in ("0001-01-01", "1975-12-31", "2106-02-07", "9999-12-31"):  # no table holds such a day
        assert (await served.post("/api/v1/audit/repair", json={"day": day, "agencies": None})).status_code == 400


async def test_a_storage_that_is_unavailable(served, store):
    """A step that fails is 503 with the reason."""

    def unavailable(_):
        raise Retryable("away")

    take(store, an_event())
    store.fault = unavailable
    answer = await served.get("/api/v1/audit/days/2024-01-02")
    assert (answer.status_code, answer.json()) == (503, {"error": "away"})
