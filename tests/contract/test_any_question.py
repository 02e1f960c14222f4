"""Every endpoint with a real ClickHouse and extreme values of every parameter: an answer or a refusal, never a failure."""

from __future__ import annotations

import datetime as dt
import itertools
import json
from functools import partial
from urllib.parse import quote

import httpx
import pytest
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
from pipeline.kafka.topic_reader import KafkaTopicReader
from pipeline.report.completeness import TopicOffsets
from pipeline.report.group_figures import FigureSources
from pipeline.report.routes import ReportSources, report_routes
from pipeline.report.verification.routes import verification_routes
from pipeline.report.verification.service import VerificationService, VerificationSources
from pipeline.serving.answer_sources import Api, Health
from pipeline.serving.server import HttpServer
from pipeline.settings import HttpSettings, KafkaSettings
from sinks.clickhouse.audit import ClickHouseAudit
from sinks.clickhouse.catalogue_store import ClickHouseCatalogue
from sinks.clickhouse.dead_letter_store import ClickHouseDeadLetters
from sinks.clickhouse.dossier_audit import ClickHouseDossierAudit
from sinks.clickhouse.dossier_figures import ClickHouseDossierFigures
from sinks.clickhouse.dossier_index import ClickHouseDossierIndex
from sinks.clickhouse.dossier_reader import ClickHouseDossierReader
from sinks.clickhouse.dossier_table import ClickHouseDossierTable
from sinks.clickhouse.exclusions import ClickHouseExclusions
from sinks.clickhouse.finding_reader import ClickHouseFindingReader
from sinks.clickhouse.raw_messages import ClickHouseRawMessages
from sinks.clickhouse.reader import ClickHouseReader
from sinks.clickhouse.repair import ClickHouseRepair
from sinks.clickhouse.store import ClickHouseStore
from tests.contract.breadth import mainly_served
from tests.factories import LATEST, TOPIC

DAYS = (
    *(
        "0001-01-01",
        "1899-12-31",
        "1969-12-31",
        "1970-01-01",
        "2106-02-07",
        "2149-06-06",
        "2149-06-07",
        "2300-01-01",
        "9999-12-31",
    ),
    *(
        "0000-01-01",
        "10000-01-01",
        "2024-02-30",
        "20240102",
        "2024-W01-2",
        "-001-01-01",
        "",
        " ",
        "\x00",
        "\ud800",
        "é",
        "1" * 5_000,
    ),
)
NUMBERS = (
    "0",
    "-1",
    "2147483647",
    "2147483648",
    "4294967296",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775809",
)
ODD_NUMBERS = (*NUMBERS, "1e3", "nan", "inf", "", "²", "٣", "1_0", " 1", "\x00", "9" * 400, "9" * 5_000)
TEXTS = ("", "\x00", "\ud800", "é", "'", '"', "\\", "%", "{a:String}", "a/b", "..", "\n", "x" * 7_000)
INSTANTS = (
    *(
        "0001-01-01T00:00:00+23:59",
        "9999-12-31T23:59:59-23:59",
        "1969-12-31T23:59:59Z",
        "2299-12-31T23:59:59Z",
        "2300-01-01T00:00Z",
    ),
    *("2024-01-02", "2024-01-02T08:00", "x", "", "\x00"),
)


def quoted(text: str) -> str:
    """A text as a part of an address, byte by byte; surrogates as the bytes that they would be."""
    return quote(text.encode("utf-8", "surrogatepass"), safe="")


def questions():
    """Addresses with every parameter at its extremes."""
    for path in ("report", "events", "audit/days"):
        yield from (f"{path}?from={quoted(day)}&to={quoted(day)}" for day in DAYS)
        yield f"{path}?from=0001-01-01&to=9999-12-31"
        yield f"{path}?from=9999-12-31&to=0001-01-01"
    for name in ("figures", "by"):
        yield from (f"report?day=2024-01-02&{name}={quoted(text)}" for text in TEXTS)
        yield from (f"report/explanation?day=2024-01-02&compare=previous&agency=H17&{name}={quoted(text)}" for text in TEXTS)
    yield from (f"report?from={quoted(day)}&to={quoted(day)}&figures=balance,due-766&wait=0" for day in DAYS)
    for by in ("unit", "sub-unit", "procedure"):
        yield f"report?from=2016-04-01&to=9999-12-31&figures=all&by={by}&wait=0"
        yield f"report/verification?day=2024-01-02&figures=all&by={by}&number=0&of=1"
    yield from (f"report?day=2024-01-02&figures=due&wait=0&question={quoted(text)}" for text in (*TEXTS, *INSTANTS))
    yield from (
        f"report?day=2024-01-02&figures=due&wait=0&question={quoted(f'2024-01-01T00:00:00Z,noted:{text}')}" for text in INSTANTS
    )
    yield from (f"events?from=0001-01-01&to=9999-12-31&agency={quoted(text)}" for text in TEXTS)
    for day in filter(str.strip, DAYS):
        yield f"audit/days/{quoted(day)}"
        yield f"audit/days/{quoted(day)}/contradictions"
        yield f"audit/repeats?from={quoted(day)}&to={quoted(day)}"
    yield from (f"audit/days/2024-01-02?settle={quoted(number)}" for number in ODD_NUMBERS)
    yield from (f"audit/repeats?number=0&of={quoted(number)}" for number in ODD_NUMBERS)
    yield from (f"audit/dossiers?settle={quoted(number)}&number=0&of={quoted(number)}" for number in ODD_NUMBERS)
    yield from (f"audit/repeats?number={quoted(number)}&of=4294967295" for number in ODD_NUMBERS)
    within = "findings?from=2024-01-02&to=2024-01-03"
    yield from (f"{within}&number=0&of={quoted(number)}" for number in ODD_NUMBERS)
    yield from (f"{within}&{name}={quoted(text)}" for name in ("agency", "by") for text in TEXTS)
    verification = "report/verification?from=2024-01-02&to=2024-01-03"
    yield from (f"{verification}&number=0&of={quoted(number)}" for number in ODD_NUMBERS)
    yield from (f"{verification}&number={quoted(number)}&of=1" for number in ODD_NUMBERS)
    yield from (f"report/verification/shards?from={quoted(day)}&to={quoted(day)}" for day in DAYS)
    yield "report/verification?from=2016-04-01&to=9999-12-31&number=0&of=1"
    for number in filter(str.strip, ODD_NUMBERS):
        yield f"audit/partitions/{quoted(number)}?begin=5&end=4"
        yield f"dead-letters/topic/{quoted(number)}/{quoted(number)}"
    yield from (f"audit/partitions/0?begin={quoted(number)}&end={quoted(number)}" for number in ODD_NUMBERS)
    yield from (f"dossiers/{quoted(text)}" for text in filter(str.strip, TEXTS))
    yield from (f"dead-letters?limit={quoted(number)}" for number in ODD_NUMBERS)
    yield from (f"dead-letters?after=t/{quoted(number)}/{quoted(number)}" for number in ODD_NUMBERS)
    yield from (f"dead-letters?{name}={quoted(text)}" for name in ("reason", "topic", "after", "replayed") for text in TEXTS)
    yield from (f"dead-letters?{name}={quoted(text)}" for name in ("from", "to") for text in INSTANTS)


def bodies():
    """Requests for a change, with every field at its extremes."""
    for value in (*DAYS, None, 5, 1e400, [], {}, True):
        yield "audit/repair", {"day": value}
        yield "audit/tidy", {"days": [value]}
        yield "audit/tidy", {"days": value}
    for value in (*TEXTS, 5, [], [5], {}):
        yield "audit/repair", {"day": "2024-01-02", "agencies": value}
        yield "audit/repair", {"day": "2024-01-02", "agencies": [value]}
    for text in filter(str.strip, TEXTS):
        yield f"dossiers/{quoted(text)}/exclusion", {"excluded": True, "reason": "a test", "name": "a test"}
    for name, value in itertools.product(("excluded", "reason", "name"), (*TEXTS, 5, 1e400, None, [], {}, True, False)):
        yield "dossiers/H17-240102-0001/exclusion", {"excluded": True, "reason": "a test", "name": "a test"} | {name: value}
    for path, value in itertools.product(("dead-letters/replay", "dead-letters/drop"), (*TEXTS, 5, None, [], {}, [5], [None])):
        yield from ((path, {name: value, "dry_run": True}) for name in ("reason", "topic", "from", "to", "replayed"))
    for path, value in itertools.product(("dead-letters/replay", "dead-letters/drop"), INSTANTS):
        yield from ((path, {name: value, "dry_run": True}) for name in ("from", "to"))


def sums():
    """What a verification adds up, with every field at its extremes."""
    for value in (*TEXTS, 5, 1e400, None, [], [5], [[]], {}, {"H17": 5}, {"H17": [None]}):
        period = {"figures": [["counts", "H17", "", "settled", 1]], "submitted": {}, "submitted_online": {}}
        for name in period:
            fields = {"dossiers": 1, "messages": 1, "periods": [period | {name: value}]}
            yield "report/verification?day=2024-01-02", fields
        for name in ("dossiers", "messages", "periods"):
            yield "report/verification?day=2024-01-02", {"dossiers": 1, "messages": 1, "periods": [period]} | {name: value}
        figures = [
            ["counts", value, "", "settled", 1],
            ["counts", "H17", "", value, 1],
            ["counts", "H17", value, "settled", 1],
            ["counts", "H17", "", "settled", value],
            [value, "", "", "", 1],
        ]
        for each in figures:
            yield "report/verification?day=2024-01-02", {"dossiers": 1, "messages": 1, "periods": [period | {"figures": [each]}]}


class UnusedSender:
    """A sender that is never used, since there is no dead letter."""

    def close(self):
        """Nothing to close."""


class UnusedLimits:
    """A store of limits that is never used."""


@pytest.fixture
async def client(clickhouse, registry):
    """A client of the HTTP server with ClickHouse, whose Kafka does not answer."""
    store, clock = ClickHouseStore(clickhouse), ManualClock(LATEST)
    kafka = KafkaTopicReader(KafkaSettings(bootstrap=("127.0.0.1:1",)), answer_seconds=0.2)
    api = Api(
        registry=CollectorRegistry(),
        agencies=registry,
        clock=clock,
        health=lambda: Health(healthy=True, ready=True),
        reader=ClickHouseReader(clickhouse),
        routes=(
            partial(
                dead_letter_routes,
                DeadLetterService(
                    ClickHouseDeadLetters(clickhouse),
                    validator=EventValidator(registry),
                    clock=clock,
                    sender=UnusedSender,
                    limits=UnusedLimits(),
                    ends=lambda _: {},
                    future_tolerance=dt.timedelta(days=1),
                ),
            ),
            partial(
                report_routes,
                ReportSources(
                    reader=ClickHouseReader(clickhouse),
                    agencies=registry,
                    clock=clock,
                    wall_clock=clock,
                    offsets=lambda: TopicOffsets({}, {}),
                    excluded=lambda _: (),
                    catalogue=ClickHouseCatalogue(clickhouse).entries,
                    figures=FigureSources(ClickHouseDossierFigures(clickhouse)),
                    dossiers=ClickHouseDossierTable(clickhouse),
                ),
            ),
            partial(finding_routes, FindingService(ClickHouseFindingReader(clickhouse), registry)),
            partial(
                verification_routes,
                VerificationService(
                    ClickHouseRawMessages(clickhouse),
                    VerificationSources(ClickHouseExclusions(clickhouse).excluded, ClickHouseCatalogue(clickhouse).entries),
                ),
                registry,
                clock,
            ),
            partial(
                dossier_routes,
                DossierService(ClickHouseDossierReader(clickhouse), ClickHouseExclusions(clickhouse), registry),
                ExclusionService(
                    ClickHouseExclusions(clickhouse),
                    reader=ClickHouseDossierReader(clickhouse),
                    index=ClickHouseDossierIndex(clickhouse),
                    recount=lambda _day, _agencies: None,
                ),
            ),
            partial(
                audit_routes,
                AuditService(
                    ClickHouseAudit(clickhouse),
                    store=store,
                    repair=ClickHouseRepair(clickhouse),
                    dossiers=ClickHouseDossierAudit(clickhouse),
                    index=ClickHouseDossierIndex(clickhouse),
                    topic=(TOPIC, lambda: kafka),
                    decoder=Decoder(registry),
                    clock=clock,
                    future_tolerance=dt.timedelta(days=1),
                    wait=lambda _: None,
                ),
            ),
        ),
    )
    server = HttpServer(api, HttpSettings(port=0))
    async with httpx.AsyncClient(base_url=await server.start(), trust_env=False, timeout=60) as client:
        yield client
    await server.close()


@pytest.fixture
def some(pytestconfig):
    """All of many requests in a long run, every sixth one in the fast run."""
    return (lambda each: each) if pytestconfig.getoption("--long") else (lambda each: itertools.islice(each, 0, None, 6))


@mainly_served
async def test_any_question_is_answered_or_refused(client, some):
    """No parameter of any address makes the server fail: it answers, or says in one sentence what is wrong with the request."""
    wrong = []
    for question in some(questions()):
        answer = await client.get(f"/api/v1/{question}")
        if answer.status_code not in (200, 400, 404):
            wrong.append((question[:90], answer.status_code, answer.text[:150]))
    assert not wrong, "\n".join(map(str, wrong))


@mainly_served
async def test_any_change_is_made_or_refused(client, some):
    """No field of any request for a change makes the server fail."""
    wrong = []
    for path, body in some(itertools.chain(bodies(), sums())):
        answer = await client.post(f"/api/v1/{path}", content=json.dumps(body), headers={"Content-Type": "application/json"})
        if answer.status_code not in (200, 400, 404):
            wrong.append((path, str(body)[:90], answer.status_code, answer.text[:150]))
    assert not wrong, "\n".join(map(str, wrong))


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"[" * 100_000, "application/json"),
        (b'{"day": ' * 50_000, "application/json"),
        (b"\xff", "application/json"),
        (b"{}", "application/json; charset=klingon"),
        (b"", "application/json"),
        (b"9" * 5_000, "application/json"),
        (b'{"day": ' + b"9" * 5_000 + b"}", "application/json"),
        (b'"\xed\xa0\x80"', "application/json; charset=utf-8"),
    ],
)
async def test_a_body_that_is_no_json_is_refused(client, content, kind):
    """A body that is not a JSON object is refused in one sentence."""
    for path in ("audit/repair", "audit/tidy", "dead-letters/replay", "dead-letters/drop"):
        answer = await client.post(f"/api/v1/{path}", content=content, headers={"Content-Type": kind})
        assert answer.status_code in ({400, 413} if len(content) > 65_536 else {400}), answer.text[:150]
        assert answer.json()["error"]


async def test_a_body_that_is_not_packed_as_it_says_is_refused(client):
    """A body that does not match its Content-Encoding is refused in one sentence, and is not reported as a server error."""
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    for path in ("audit/repair", "audit/tidy", "dead-letters/replay", "dead-letters/drop", "dead-letters/accept"):
        answer = await client.post(f"/api/v1/{path}", content=b'{"day": 1}', headers=headers)
        assert (answer.status_code, answer.json()) == (400, {"error": "The body of the request cannot be read."})


async def test_a_field_given_twice_in_a_body_is_refused(client):
    """A field that stands twice in a body, at any depth, is refused by name at every address."""
    doubled = {
        b'{"day": "2024-01-02", "day": "2024-01-03"}': "'day'",
        b'{"loads": [{"load_id": 1, "load_id": 2}]}': "'load_id'",
        b'{"reason": "a", "re\\u0061son": "b"}': "'reason'",
    }
    exclusion, verification = "dossiers/H17-240102-0001/exclusion", "report/verification?day=2024-01-02"
    dead_letters = (f"dead-letters/{action}" for action in ("replay", "drop", "accept"))
    for path in ("audit/repair", "audit/tidy", *dead_letters, exclusion, verification):
        for content, name in doubled.items():
            answer = await client.post(f"/api/v1/{path}", content=content, headers={"Content-Type": "application/json"})
            assert answer.status_code == 400, path
            assert f"the field {name} stands twice in one object" in answer.json()["error"], path
