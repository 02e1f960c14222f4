"""The JSON of the audit, byte for byte: programs read it."""

from __future__ import annotations

import json
from functools import partial

import httpx
from prometheus_client import CollectorRegistry

from domain.clock import ManualClock
from pipeline.audit.json_format import encode_report
from pipeline.audit.options import AuditOptions, KafkaCheck
from pipeline.audit.routes import audit_routes
from pipeline.audit.run import run_audit
from pipeline.serving.answer_sources import Api, Health
from pipeline.serving.server import HttpServer
from pipeline.settings import HttpSettings
from sinks.errors import Retryable
from tests.factories import LATEST
from tests.fakes import MemoryStore
from tests.unit.pipeline.audit.helpers import EXPECTED, RecordedProgress, expected

STEPS = [name for name in EXPECTED if not name.startswith("report")]


def printed(report):
    """What the command prints."""
    return json.dumps(encode_report(report), ensure_ascii=False, indent=2)


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
