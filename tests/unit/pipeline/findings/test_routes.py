"""Findings over HTTP and by the command, over a store in memory."""

from __future__ import annotations

import asyncio
import json
from contextlib import contextmanager
from functools import partial

import httpx
import pytest
from prometheus_client import CollectorRegistry
from typer.testing import CliRunner

from domain.agencies import AgencyRegistry
from domain.clock import ManualClock
from domain.findings import MEANINGS, FindingKind
from domain.periods import Period, civil_day
from pipeline.cli import findings as command
from pipeline.cli.findings import RemoteFindings
from pipeline.cli.main import create_cli
from pipeline.cli.remote import Process
from pipeline.findings.routes import finding_routes
from pipeline.findings.service import FindingService, found_in_all
from pipeline.ingest.dossier_resolver import DossierResolver
from pipeline.serving.answer_sources import Api, Health
from pipeline.serving.server import HttpServer
from pipeline.settings import HttpSettings
from sinks.contract.audit import HashShard
from sinks.contract.findings import FindingScope
from tests.factories import LATEST, MORNING, an_event, rows_of
from tests.fakes import MemoryFindingReader, MemoryStore
from tests.unit.pipeline.audit.helpers import DAY

TODAY = civil_day(MORNING)
REGISTRY = AgencyRegistry.packaged()
PERIOD = FindingScope(Period(TODAY, TODAY + DAY))


@pytest.fixture
def service():
    """A service over three unusual dossiers and a usual one, which takes each message as a shard."""
    store = MemoryStore()
    rows = rows_of(
        [
            an_event(dossier_code="H17-240102-0001", status=4, named_by_code=True),
            an_event(dossier_code="H17-240102-0002", status=4, occurred_at=MORNING + DAY, named_by_code=True),
            an_event(dossier_code="H17-240102-0003", status=1, named_by_code=True),
            an_event(dossier_code="G01-240102-0004", status=4, agency="G01", named_by_code=True),
        ]
    )
    store.insert_events(rows)
    DossierResolver(store).add(rows)
    return FindingService(MemoryFindingReader(store), REGISTRY, shard_messages=1)


@pytest.fixture
async def client(service):
    """A client of a server over the service."""
    api = Api(
        registry=CollectorRegistry(),
        agencies=REGISTRY,
        clock=ManualClock(LATEST),
        health=lambda: Health(healthy=True, ready=True),
        routes=(partial(finding_routes, service),),
    )
    server = HttpServer(api, HttpSettings(port=0))
    async with httpx.AsyncClient(base_url=await server.start(), trust_env=False) as client:
        yield client
    await server.close()


async def asked(client, **query):
    """The answer to a question about the two days."""
    query = {"from": TODAY.isoformat(), "to": (TODAY + DAY).isoformat(), **query}
    answer = await client.get("/api/v1/findings", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_the_findings_of_a_period(client):
    """Dossiers by agency and kind, with examples; a search of all shards."""
    answer = await asked(client)
    assert answer["period"] == {"from": TODAY.isoformat(), "to": (TODAY + DAY).isoformat()}
    assert answer["findings"] == [
        {"agency": "G01", "kind": "first_seen_late", "dossiers": 1},
        {"agency": "H17", "kind": "first_seen_late", "dossiers": 2},
    ]
    assert sorted(answer["examples"]["first_seen_late"], key=lambda example: example["dossier_code"]) == [
        {"dossier_code": "G01-240102-0004", "agency": "G01", "day": TODAY.isoformat()},
        {"dossier_code": "H17-240102-0001", "agency": "H17", "day": TODAY.isoformat()},
        {"dossier_code": "H17-240102-0002", "agency": "H17", "day": (TODAY + DAY).isoformat()},
    ]


async def test_one_agency_and_each_day(client):
    """The parameter agency chooses units, as often as it is given; by=day counts each day by itself."""
    answer = await asked(client, agency="H17", by="day")
    assert answer["findings"] == [
        {"agency": "H17", "day": TODAY.isoformat(), "kind": "first_seen_late", "dossiers": 1},
        {"agency": "H17", "day": (TODAY + DAY).isoformat(), "kind": "first_seen_late", "dossiers": 1},
    ]
    assert len((await asked(client, agency=["H17", "G01"]))["findings"]) == 2


@pytest.mark.parametrize(
    "query",
    [
        *("", "?from=2024-01-02", "?from=2024-01-03&to=2024-01-02", "?from=2024-01-02&to=2024-01-02&agency=H99"),
        *(f"?from=2024-01-02&to=2024-01-02&{more}" for more in ("by=week", "number=1&of=1", "number=0", "of=2", "number=0&of=0")),
    ],
)
async def test_a_wrong_question_is_refused(client, query):
    """An answer to something else than what was asked would be believed."""
    answer = await client.get(f"/api/v1/findings{query}")
    assert answer.status_code == 400
    assert answer.json()["error"].endswith(".")


async def test_a_process_gives_the_same_answer_as_the_service(client, service):
    """The command asks a running process shard by shard, and gets what the service in this process says."""
    remote = RemoteFindings(Process(str(client.base_url).rstrip("/")))
    for scope in (PERIOD, FindingScope(PERIOD.period, ("H17", "G01"))):
        assert await asyncio.to_thread(remote.shards, scope) == service.shards(scope) == 4
        for index in range(4):
            shard = HashShard(index, 4)
            assert await asyncio.to_thread(remote.found, scope, shard) == service.found(scope, shard)
        assert (await asyncio.to_thread(found_in_all, remote, scope)).as_dict() == found_in_all(service, scope).as_dict()


@pytest.fixture
def run(service, monkeypatch):
    """Runs the command on the service."""

    @contextmanager
    def opened(*_args, **_options):
        yield service

    monkeypatch.setattr(command, "opened_service", opened)
    monkeypatch.setenv("COLUMNS", "200")
    return lambda *arguments: CliRunner().invoke(create_cli(), ["findings", *arguments])


def test_the_command_prints_counts_meanings_and_examples(run):
    """A line for each agency and kind, what a kind means, and the codes to look at."""
    output = run("--from", "2024-01-02", "--to", "2024-01-03").output
    assert [line.split() for line in output.splitlines() if "first_seen_late" in line][:2] == [
        ["│", "G01", "│", "first_seen_late", "│", "1", "│"],
        ["│", "H17", "│", "first_seen_late", "│", "2", "│"],
    ]
    assert f"first_seen_late: 3. {MEANINGS[FindingKind.FIRST_SEEN_LATE]}." in output
    assert "H17-240102-0002 H17 2024-01-03" in output


def test_the_command_prints_what_the_interface_answers(run, service):
    """--json is the answer of GET /api/v1/findings; --by-day and --agency as there."""
    printed = json.loads(run("--from", "2024-01-02", "--to", "2024-01-03", "--json").stdout)
    whole = found_in_all(service, PERIOD)
    assert printed == {"period": {"from": "2024-01-02", "to": "2024-01-03"}, **whole.without_days().as_dict()}
    by_day = json.loads(run("--from", "2024-01-02", "--to", "2024-01-03", "--json", "--by-day", "--agency", "H17").stdout)
    assert [(row["agency"], row["day"]) for row in by_day["findings"]] == [("H17", "2024-01-02"), ("H17", "2024-01-03")]


def test_without_a_period_it_is_this_month_up_to_today(run, monkeypatch):
    """The clock of the settings says which day it is."""
    monkeypatch.setenv("PORTALPULSE_CLOCK", "2024-01-02T23:30:00+07:00")
    assert json.loads(run("--json").stdout)["period"] == {"from": "2024-01-01", "to": "2024-01-02"}
    assert "2024-03-01 - 2024-03-09: no findings." in run("--to", "2024-03-09").output


def test_help_teaches_every_kind():
    """Each kind is named with its meaning."""
    output = " ".join(CliRunner().invoke(create_cli(), ["findings", "--help"], env={"COLUMNS": "4000"}).output.split())
    for kind, meaning in MEANINGS.items():
        assert f"{kind.value}: {meaning}." in output
    assert set(MEANINGS) == set(FindingKind)
