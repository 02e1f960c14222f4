"""The JSON of the audit, byte for byte: programs read it."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import uuid
from functools import partial
from pathlib import Path

import httpx
import pytest
from prometheus_client import CollectorRegistry

from domain.clock import ManualClock
from pipeline.audit.json_format import encode_report
from pipeline.audit.routes import audit_routes
from pipeline.audit.run import AuditOptions, KafkaCheck, run_audit
from pipeline.serving.api import Api, Health
from pipeline.serving.server import HttpServer
from pipeline.settings import HttpSettings
from sinks.contract.events import UnreadCause, UnreadRange
from sinks.contract.tallies import Counts
from sinks.errors import Retryable
from tests.factories import LATEST, MORNING, TOPIC, a_message, an_event, rows_of
from tests.fakes import MINUTE, MemoryStore, Tally
from tests.unit.pipeline.audit.helpers import DAY, TODAY, Log, RecordedProgress, take

#: The reports and answers that programs rely on: their objects, with the fields in order.
EXPECTED = json.loads(Path(__file__).with_name("json_format.json").read_text(encoding="utf-8"))
STEPS = [name for name in EXPECTED if not name.startswith("report")]


def named(number, **changes):
    """An event with the same id and dossier in every run."""
    return an_event(**{"event_id": uuid.UUID(int=number), "dossier_code": f"H17.1-240102-{number:04d}"} | changes)


@pytest.fixture
def damaged(store):
    """A store with every kind of fault that an audit reports."""
    one = named(1)
    take(
        store,
        one,
        named(2, event_id=one.event_id, agency="G01"),
        named(3, dossier_code=one.dossier_code, occurred_at=MORNING + MINUTE),
        named(4, status=4),
        named(5, occurred_at=MORNING + DAY),
    )
    store.insert_events(rows_of([dataclasses.replace(one, portal_id="p")]))
    store.days["H17", TODAY] = Tally(9_000_000_000, Counts(events=4, settled=1, settled_full=1), MORNING)
    last = MORNING + dt.timedelta(milliseconds=7)
    store.minutes["H17", MORNING] = Tally(1, store.minutes["H17", MORNING].counts, last)
    store.procedures["G01", TODAY + DAY, "9.9"] = Tally(4, Counts(events=4), MORNING)
    store.insert_unread([UnreadRange(TOPIC, part, 0, end, "workers", UnreadCause.DELETED) for part, end in ((3, 2), (1, 5))])
    return store


@pytest.fixture
def log():
    """A topic with every kind of fault that an audit reports."""
    kept = [b"", b"", a_message(named(1)), a_message(named(6)), b"{", None, a_message(named(7))]
    return Log(1, p1=(5, 4, [b""] * 9), p2=(0, 12, [b""] * 9), p3=(2, 6, kept), p4=(0, None, []))


def printed(report):
    """What the command prints."""
    return json.dumps(encode_report(report), ensure_ascii=False, indent=2)


def expected(name):
    """What the command must print."""
    return json.dumps(EXPECTED[name], ensure_ascii=False, indent=2)


def test_the_report(service, damaged, log, clock):
    """The report of an audit keeps the names, the order and the forms of its fields."""
    report = run_audit(
        service(damaged, log), AuditOptions(kafka=KafkaCheck.DEEP), wait=clock.advance, progress=RecordedProgress()
    )
    assert printed(report) == expected("report")


def test_the_report_of_a_repair(service, damaged, log, clock):
    """So does the report of a repair whose replaced rows could not be removed."""

    def fault(step):
        if step.startswith("purge"):
            raise Retryable("too busy")

    damaged.fault = fault
    options = AuditOptions(repair=True, kafka=KafkaCheck.DEEP)
    report = run_audit(service(damaged, log), options, wait=clock.advance, progress=RecordedProgress())
    assert printed(report) == expected("report of a repair")


def test_the_report_of_nothing(service, clock):
    """What was not asked for is null."""
    report = run_audit(
        service(MemoryStore(now=clock.now)), AuditOptions(repeats=False), wait=clock.advance, progress=RecordedProgress()
    )
    assert printed(report) == expected("report of an empty storage")


async def test_every_step(service, damaged, log, registry):
    """The answer of every step over HTTP keeps the names, the order and the forms of its fields."""
    api = Api(
        registry=CollectorRegistry(),
        agencies=registry,
        clock=ManualClock(LATEST),
        health=lambda: Health(healthy=True, ready=True),
        reader=damaged,
        routes=(partial(audit_routes, service(damaged, log)),),
    )
    changes = {
        "repair": ("repair", {"day": "2024-01-02", "agencies": None, "raise_epoch": True}),
        "repair without an epoch": ("repair", {"day": "2024-01-03", "agencies": ["G01"]}),
        "tidy": ("tidy", {"days": ["2024-01-02"]}),
    }
    server = HttpServer(api, HttpSettings(port=0))
    async with httpx.AsyncClient(base_url=f"{await server.start()}/api/v1/audit/", trust_env=False) as client:
        for name in STEPS:
            path, fields = changes.get(name, (name, None))
            answer = await (client.get(path) if fields is None else client.post(path, json=fields))
            assert answer.text == json.dumps(EXPECTED[name]), name
    await server.close()
