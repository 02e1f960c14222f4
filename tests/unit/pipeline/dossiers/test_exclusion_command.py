"""Excluding a dossier by the command and over HTTP, over a store in memory."""

from __future__ import annotations

import asyncio
import getpass
import json
from contextlib import contextmanager
from functools import partial

import httpx
import pytest
from prometheus_client import CollectorRegistry
from typer.testing import CliRunner

from domain.agencies import AgencyRegistry
from domain.clock import ManualClock
from domain.errors import ConfigurationError
from pipeline.cli import dossier as command
from pipeline.cli.dossier import _Remote, _RemoteExclusion
from pipeline.cli.main import create_cli
from pipeline.cli.remote import AnswerError, Process
from pipeline.dossiers.exclusion import ExclusionService
from pipeline.dossiers.routes import dossier_routes
from pipeline.dossiers.service import DossierService
from pipeline.ingest.dossier_resolver import DossierResolver
from pipeline.serving.answer_sources import Api, Health
from pipeline.serving.server import HttpServer
from pipeline.settings import HttpSettings
from sinks.errors import Retryable
from tests.factories import LATEST, MORNING, an_event, rows_of
from tests.fakes import MemoryStore
from tests.unit.pipeline.audit.helpers import DAY

REGISTRY = AgencyRegistry.packaged()
CODE = "H17-240102-0001"
ADDRESS = f"/api/v1/dossiers/{CODE}/exclusion"


@pytest.fixture
def store():
    """A store with one dossier of two units."""
    store = MemoryStore()
    rows = rows_of(
        [
            an_event(dossier_code=CODE, status=1, named_by_code=True),
            an_event(dossier_code=CODE, status=9, agency="G01", occurred_at=MORNING + DAY),
        ]
    )
    store.insert_events(rows)
    DossierResolver(store).add(rows)
    return store


@pytest.fixture
def services(store):
    """What explains dossiers, and what excludes them."""
    exclusion = ExclusionService(store, reader=store, index=store, recount=lambda _day, _agencies: None)
    return DossierService(store, store, REGISTRY), exclusion


@pytest.fixture
async def client(services):
    """A client of a server over the services."""
    api = Api(
        registry=CollectorRegistry(),
        agencies=REGISTRY,
        clock=ManualClock(LATEST),
        health=lambda: Health(healthy=True, ready=True),
        routes=(partial(dossier_routes, *services),),
    )
    server = HttpServer(api, HttpSettings(port=0))
    async with httpx.AsyncClient(base_url=await server.start(), trust_env=False) as client:
        yield client
    await server.close()


async def test_a_process_excludes_and_includes_as_the_service_does(client, store):
    """The command asks a running process, which stores the decision, tells what changed, and shows it."""
    process = Process(str(client.base_url).rstrip("/"))
    remote, shown = _RemoteExclusion(process), _Remote(process)
    changed = await asyncio.to_thread(partial(remote.change, CODE, excluded=True, reason="a test", name="Lan"))
    assert [(milestone["name"], milestone["unit"]) for milestone in changed["milestones"]] == [
        ("submitted", "H17"),
        ("settled", "G01"),
    ]
    found = await asyncio.to_thread(shown.explain, CODE)
    assert found["findings"] == [{"kind": "excluded"}]
    assert (await asyncio.to_thread(partial(remote.change, CODE, excluded=False, name="Lan")))["excluded"] is False
    assert [decision.excluded for decision in store.exclusions[CODE]] == [True, False]
    assert await asyncio.to_thread(shown.explain, "H17-240102-0002") is None


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"excluded": True, "reason": "x", "name": "y", "why": "z"}, "why"),
        ({"excluded": 1, "reason": "x", "name": "y"}, "excluded must be true or false."),
        ({"reason": "x", "name": "y"}, "excluded must be true or false."),
        ({"excluded": True, "reason": 5, "name": "y"}, "must be texts."),
        ({"excluded": True, "reason": "x", "name": None}, "must be texts."),
        ({"excluded": True, "name": "y"}, "The reason is empty."),
        ({"excluded": True, "reason": "x"}, "The name is empty."),
        ({"excluded": False, "reason": "x", "name": "y"}, "without a reason."),
        ({"excluded": False, "name": "y"}, "was never excluded"),
    ],
)
async def test_a_wrong_request_is_refused(client, store, fields, problem):
    """Unknown fields and wrong values are refused in one sentence, and nothing is decided."""
    answer = await client.post(ADDRESS, json=fields)
    assert (answer.status_code, problem in answer.json()["error"]) == (400, True), answer.text
    assert not store.decisions(CODE)


async def test_a_failing_storage_is_told_with_what_to_do(client, store):
    """The answer says that the same command completes what is missing; so does the command's error."""

    def fault(step):
        if step == "correct":
            raise Retryable("the storage is away")

    store.fault = fault
    remote = _RemoteExclusion(Process(str(client.base_url).rstrip("/")))
    with pytest.raises(AnswerError, match=r"503: .*the storage is away.*Run the same command again"):
        await asyncio.to_thread(partial(remote.change, CODE, excluded=True, reason="a test", name="Lan"))
    store.fault = lambda _step: None
    changed = await asyncio.to_thread(partial(remote.change, CODE, excluded=True, reason="a test", name="Lan"))
    assert changed["repeated"] is True


@pytest.fixture
def run(services, monkeypatch):
    """Runs the command on the services."""

    @contextmanager
    def opened(*_args, local, **_options):
        yield services[0] if local is command.dossier_service else services[1]

    monkeypatch.setattr(command, "opened_service", opened)
    monkeypatch.setenv("COLUMNS", "200")
    return lambda *arguments: CliRunner().invoke(create_cli(), ["dossier", CODE, *arguments])


def test_the_command_prints_what_changed(run):
    """The milestones that are removed or restored are printed with their unit and day, and who decided why."""
    lines = run("--exclude", "test of the portal", "--by", "Lan").output.splitlines()
    assert lines[0] == f"Dossier {CODE} is excluded: test of the portal"
    assert lines[1].startswith("  decided by Lan, 20")
    assert lines[2:] == ["  No longer counted:", "    submitted: 2024-01-02, H17", "    settled: 2024-01-03, G01"]
    again = run("--exclude", "test of the portal", "--by", "Lan").output
    assert "It had been decided before; what was missing is complete now." in again
    shown = run().output
    assert "The dossier is excluded: it is part of no figure but events." in shown
    assert "  excluded: test of the portal (decided by Lan, " in shown
    assert "  finding: excluded" in shown
    lines = run("--include", "--by", "Minh").output.splitlines()
    assert (lines[0], lines[2]) == (f"Dossier {CODE} is included again", "  Counted again:")
    assert "  included again (decided by Minh, " in run().output


def test_the_login_name_decides_where_none_is_given(run, monkeypatch, store):
    """Without --by it is the login name; where there is none, the command asks for --by."""
    monkeypatch.setattr(getpass, "getuser", lambda: "lan")
    printed = json.loads(run("--exclude", "a test", "--json").stdout)
    assert (printed["decision"]["name"], printed["excluded"]) == ("lan", True)

    def nobody():
        raise OSError

    monkeypatch.setattr(getpass, "getuser", nobody)
    error = run("--include").exception
    assert isinstance(error, ConfigurationError)
    assert "--by NAME" in str(error)
    assert len(store.decisions(CODE)) == 1


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--exclude", "x", "--include"), "--exclude and --include contradict each other."),
        (("--by", "Lan"), "--by is kept with a decision."),
        (("--include", "--by", "Lan"), "was never excluded"),
        (("--exclude", "  ", "--by", "Lan"), "The reason is empty."),
    ],
)
def test_a_wrong_command_is_one_sentence(run, arguments, problem, store):
    """Options that contradict each other, and decisions that cannot be made."""
    error = run(*arguments).exception
    assert isinstance(error, ConfigurationError)
    assert problem in str(error)
    assert not store.decisions(CODE)


def test_help_teaches_the_exclusion():
    """The help names the term of the field, the limit of the reason, the default of --by, and that a command may be repeated."""
    output = " ".join(CliRunner().invoke(create_cli(), ["dossier", "--help"], env={"COLUMNS": "4000"}).output.split())
    for text in ("loại khỏi thống kê", "at most 500 characters", "Default: the login name", "the same command again"):
        assert text in output
