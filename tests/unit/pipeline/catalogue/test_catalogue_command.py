"""Loading and showing the catalogue by the command and over HTTP, over a store in memory."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
from collections import Counter
from contextlib import contextmanager
from functools import partial

import httpx
import pytest
from prometheus_client import CollectorRegistry
from typer.testing import CliRunner

from domain.agencies import AgencyRegistry
from domain.catalogue import COLUMNS
from domain.catalogue_levels import Generation
from domain.clock import ManualClock
from domain.errors import ConfigurationError, UnavailableError
from pipeline.catalogue import json_format
from pipeline.catalogue.recount import LevelChanges, recount_all
from pipeline.catalogue.routes import catalogue_routes
from pipeline.catalogue.service import CatalogueService
from pipeline.cli import catalogue as command
from pipeline.cli.main import create_cli
from pipeline.cli.remote import AnswerError, Process
from pipeline.cli.remote_catalogue import RemoteCatalogue
from pipeline.serving import roles
from pipeline.serving.answer_sources import Api, Health
from pipeline.serving.server import HttpServer
from pipeline.settings import HttpSettings
from sinks.contract.catalogue import CatalogueLoad
from sinks.errors import Retryable
from tests.cases import FOLDER
from tests.factories import LATEST
from tests.fakes import MemoryCatalogue, MemoryRecount

REGISTRY = AgencyRegistry.packaged()
FILE = FOLDER / "02_thai_nguyen_catalogue.csv.gz"
ADDRESS = "/api/v1/catalogue"
UNCHANGED = "No settled dossier that is stored counts otherwise.\n"


def an_entry(procedure="1.000001", **changed):
    """An entry in the columns of a file."""
    return {"agency_code": "H55", "procedure_code": procedure, "legacy_level": 4, "valid_from": "2018-01-01"} | changed


@pytest.fixture
def store():
    """A store without entries."""
    return MemoryCatalogue()


@pytest.fixture
def recount():
    """The recount of stored dossiers; there are none."""
    return MemoryRecount()


@pytest.fixture
def service(store, recount):
    """The service over it, in 2026."""
    return CatalogueService(store, REGISTRY, ManualClock(LATEST), recount)


@pytest.fixture
async def client(service):
    """A client of a server over the service."""
    api = Api(
        registry=CollectorRegistry(),
        agencies=REGISTRY,
        clock=ManualClock(LATEST),
        health=lambda: Health(healthy=True, ready=True),
        routes=(partial(catalogue_routes, service),),
    )
    server = HttpServer(api, HttpSettings(port=0))
    async with httpx.AsyncClient(base_url=await server.start(), trust_env=False) as client:
        yield client
    await server.close()


@pytest.fixture
def run(service, monkeypatch):
    """Runs the command on the service."""

    @contextmanager
    def opened(*_args, **_options):
        yield service

    monkeypatch.setattr(command, "opened_service", opened)
    monkeypatch.setenv("COLUMNS", "300")
    return lambda *arguments: CliRunner().invoke(create_cli(), ["catalogue", *map(str, arguments)])


# ---- over HTTP


async def test_a_process_loads_and_shows_as_the_service_does(client, store):
    """The command asks a running process, which checks, stores, tells what changed, and shows the entries of a day."""
    remote = RemoteCatalogue(Process(str(client.base_url).rstrip("/")))
    entries = [an_entry(), an_entry("2", service_level="mot_phan", legacy_level=None), an_entry("3", valid_to="2018-12-31")]
    load = await asyncio.to_thread(partial(remote.load, entries, source="x.csv"))
    assert (load["changed"], load["entries"], load["overtaken"], store.sources) == (True, 3, [], ["x.csv"])
    assert load["agencies"] == [{"agency_code": "H55", "opened": 3, "closed": 0, "changed": 0}]
    again = await asyncio.to_thread(partial(remote.load, entries))
    assert (again["changed"], again["changes"]) == (False, [])
    added = await asyncio.to_thread(partial(remote.load, [an_entry("2", legacy_level=3)], add=True))
    assert added["changes"][0]["fields"] == {
        "service_level": {"before": "mot_phan", "after": None},
        "legacy_level": {"before": None, "after": 3},
    }
    show = partial(remote.show, agencies=["H55"], procedure=None, all_days=False)
    found = await asyncio.to_thread(partial(show, day=None))
    counts = {"services": 2, "toan_trinh": 1, "mot_phan": 1, "cung_cap_thong_tin": 0, "not_stated": 0}
    assert (found["day"], found["counts"], found["agencies"]) == ("2026-01-01", counts, [{"agency_code": "H55"} | counts])
    assert found["entries"][0] == dict.fromkeys(COLUMNS) | an_entry()
    assert (await asyncio.to_thread(partial(show, day=dt.date(2018, 6, 1))))["counts"]["services"] == 3
    assert (await asyncio.to_thread(partial(show, day=None, procedure="2")))["counts"]["services"] == 1
    everything = await asyncio.to_thread(partial(show, day=None, all_days=True))
    assert (everything["day"], len(everything["entries"])) == (None, 3)


async def test_only_trusted_requests_read_and_load(client, store):
    """What a proxy handed on is refused without a token, and a load that is not JSON."""
    proxied = {"Via": "1.1 proxy"}
    assert (await client.get(ADDRESS, headers=proxied)).status_code == 401
    assert (await client.post(ADDRESS, headers=proxied, json={"entries": [an_entry()]})).status_code == 401
    assert (await client.post(ADDRESS, content=b"{}")).status_code == 403
    assert store.stored == ()


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({}, "entries must be an array of objects."),
        ({"entries": [1]}, "entries must be an array of objects."),
        ({"entries": []}, "There are no entries to load."),
        ({"entries": [an_entry()], "add": 1}, "add must be true or false, and source a text."),
        ({"entries": [an_entry()], "source": 1}, "add must be true or false, and source a text."),
        ({"entries": [an_entry()], "adds": True}, "There is no field 'adds'."),
        ({"entries": [an_entry(level=4)]}, "There is no column 'level'."),
        (
            {"entries": [an_entry(), an_entry("2", legacy_level=7)]},
            "entry 2, column legacy_level: 7 is not a legacy level; write",
        ),
        ({"entries": [an_entry(), an_entry()], "source": "a.csv"}, "a.csv, entry 2, column procedure_code: H55 1.000001 repeats"),
    ],
)
async def test_a_wrong_load_is_refused(client, store, fields, problem):
    """Unknown fields and wrong entries are refused in one sentence, and nothing is loaded."""
    answer = await client.post(ADDRESS, json=fields)
    assert (answer.status_code, problem in answer.json()["error"]) == (400, True), answer.text
    assert store.stored == ()


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ({"day": "1/1/2018"}, "The parameter 'day' must be written as 2024-08-20"),
        ({"agency": "H99"}, "There is no agency 'H99'."),
        ({"all": "yes"}, "The parameter 'all' must be true or false"),
        ({"level": "4"}, "There is no parameter 'level'."),
    ],
)
async def test_a_wrong_question_is_refused(client, query, problem):
    """An impossible day, an unknown agency or parameter is named."""
    answer = await client.get(ADDRESS, params=query)
    assert (answer.status_code, problem in answer.json()["error"]) == (400, True), answer.text


async def test_a_large_catalogue_is_taken(client, store, monkeypatch):
    """A body may be larger than those of other requests, up to a limit of its own."""
    entries = [an_entry(f"1.{number}", name="x" * 900) for number in range(2_000)]
    assert (await client.post(ADDRESS, json={"entries": entries})).status_code == 200
    assert len(store.stored) == 2_000
    small = {**roles.ENDPOINTS, ("POST", ADDRESS): roles.Endpoint(roles.Role.OPERATE, 1 << 20)}
    monkeypatch.setattr(roles, "ENDPOINTS", small)
    assert (await client.post(ADDRESS, json={"entries": entries})).status_code == 413


async def test_a_storage_that_does_not_answer_is_told(client, store):
    """The answer is 503 with the sentence of the storage."""

    def fault():
        raise Retryable("the storage is away")

    store.fault = fault
    remote = RemoteCatalogue(Process(str(client.base_url).rstrip("/")))
    with pytest.raises(AnswerError, match="503: the storage is away"):
        await asyncio.to_thread(partial(remote.load, [an_entry()]))


# ---- the command


def test_a_file_is_loaded_and_shown(run, store):
    """The real file: what changed, then nothing; the numbers by level and the entries of a day, and only those asked for."""
    output = run("load", FILE).output
    assert "H55" in output
    assert "1,756" in output
    assert "  H55 1.000000 from 2018-01-01 opened\n" in output
    assert "... and 1,716 more changes; --json lists more of them." in output
    assert store.sources == [FILE.name]
    assert (
        run("load", FILE, "--add").output
        == "Nothing changed: the 1,756 entries of these agencies are loaded already.\n" + UNCHANGED
    )
    shown = run("show", "--agency", "H55", "--day", "2018-12-31").output
    for number in ("1,756", "169", "92", "1,495"):
        assert number in shown
    assert "... and 1,716 more; --format csv or json prints all of them." in shown
    counts = json.loads(run("show", "--day", "2017-12-31", "--format", "json").output)["counts"]
    assert (counts["services"], counts["toan_trinh"]) == (1_495, 0)
    assert "no entry of the catalogue" in run("show", "--procedure", "9.9").output


def test_changed_fields_are_printed(run, tmp_path):
    """Field, old and new value, for each entry that changed."""
    run("load", FILE)
    path = tmp_path / "change.csv"
    path.write_text(
        "agency_code,procedure_code,legacy_level,eligible,valid_from,valid_to\nH55,1.000000,3,true,2018-01-01,31/12/2025\n"
    )
    lines = run("load", path, "--add").output.splitlines()
    assert "  H55 1.000000 from 2018-01-01 closed (valid_to: - -> 2025-12-31; legacy_level: 4 -> 3; eligible: - -> true)" in lines
    assert lines[-2:] == ["These agencies have 1,756 entries now.", UNCHANGED.strip()]
    printed = json.loads(run("load", path, "--add", "--json").stdout)
    assert (printed["changed"], printed["entries"], printed["dossiers"]) == (False, 1_756, [])


def days_to_recount(recount):
    """Two days of two months, on which dossiers of H55 became full or ceased to be."""
    recount.loads = {"H55": Generation(1_700_000_000_123, "0d2c2b5e-7d5e-4a55-9a66-2f2b7f0f9a10")}
    january, february = dt.date(2026, 1, 31), dt.date(2026, 2, 1)
    changed = [
        LevelChanges(Counter({("H55", january.replace(day=1)): 1_234})),
        LevelChanges(Counter(), Counter({("H55", february): 5})),
    ]
    recount.days = dict(zip((january, february), changed, strict=True))
    return [
        {"month": "2026-01", "agency_code": "H55", "to_full": 1_234, "from_full": 0},
        {"month": "2026-02", "agency_code": "H55", "to_full": 0, "from_full": 5},
    ]


async def test_a_process_counts_stored_dossiers_again(client, recount):
    """The command asks a running process for the plan, each day, and to record that all are done; only trusted requests may."""
    rows = days_to_recount(recount)
    remote = RemoteCatalogue(Process(str(client.base_url).rstrip("/")))
    told = []
    assert (await asyncio.to_thread(remote.recount.unfinished)) == ["H55"]
    found = await asyncio.to_thread(partial(recount_all, remote.recount, ["H55"], advance=lambda *done: told.append(done)))
    assert (found.as_list(), recount.done, recount.finished) == (rows, list(recount.days), ["H55"])
    assert told == [(0, 20), (10, 20), (20, 20)]
    assert (await asyncio.to_thread(partial(recount_all, remote.recount, ["H55"]))).as_list() == []
    for path, fields in {"": {"agencies": []}, "/day": {"day": "2026-01-01", "agencies": []}, "/finish": {"loads": []}}.items():
        address = f"{ADDRESS}/recount{path}"
        assert (await client.post(address, headers={"Via": "1.1 proxy"}, json=fields)).status_code == 401
        wrong = await client.post(address, json=dict.fromkeys(fields, 1))
        assert (wrong.status_code, "must be" in wrong.json()["error"]) == (400, True), wrong.text


def test_a_load_prints_the_months_and_units_that_changed(run, recount):
    """Until all days are done the catalogue is shown with a hint, and the same file finishes what is left."""
    rows = days_to_recount(recount)

    def fault():
        raise UnavailableError("the storage is away")

    recount.fault = fault
    assert isinstance(run("load", FILE).exception, UnavailableError)
    assert recount.finished == []
    hint = "Stored dossiers of H55 are not all counted with this catalogue yet. Load its file again to finish that."
    assert hint in run("show", "--day", "2018-12-31").output
    recount.fault = lambda: None
    lines = [line.split() for line in run("load", FILE).output.splitlines()]
    assert lines[0][:2] == ["Nothing", "changed:"]
    assert ["│", "2026-01", "│", "H55", "│", "1,234", "│", "0", "│"] in lines
    assert ["│", "2026-02", "│", "H55", "│", "0", "│", "5", "│"] in lines
    assert recount.finished == ["H55"]
    assert hint not in run("show", "--day", "2018-12-31").output
    recount.finished.clear()
    assert json.loads(run("load", FILE, "--json").stdout)["dossiers"] == rows


def test_what_is_shown_can_be_loaded_again(run, store, tmp_path):
    """``show --all-days --format csv`` is a file of the catalogue: loaded again it changes nothing."""
    run("load", FILE)
    extra = tmp_path / "extra.json"
    extra.write_text(json.dumps([an_entry("9", name='a,"b"', eligible=False, longest_days=0, valid_to="2018-01-02")]))
    run("load", extra, "--add")
    path = tmp_path / "all.csv"
    path.write_bytes(run("show", "--all-days", "--format", "csv").stdout_bytes)
    assert run("load", path).output.startswith("Nothing changed: the 1,757 entries")
    assert len(store.stored) == 1_757


def test_a_file_with_faults_is_not_loaded(run, store, tmp_path):
    """The faults are printed one a line, more than 20 are counted, and the error says that nothing is loaded."""
    path = tmp_path / "bad.csv"
    path.write_text("agency_code,procedure_code,legacy_level,valid_from,x\n" + "H55,1,9,2018-01-01,\n" * 23)
    result = run("load", path)
    assert isinstance(result.exception, ConfigurationError)
    assert str(result.exception).startswith(f"{path} has 23 faults, and nothing is loaded. Correct what is listed above.")
    lines = result.stderr.splitlines()
    assert lines[0].endswith("line 2, column legacy_level: '9' is not a legacy level; write 1, 2, 3 or 4, or nothing.")
    assert (len(lines), lines[-1], store.stored) == (21, "3 more faults are not listed.", ())


def test_a_check_needs_no_process(tmp_path):
    """It says what could be loaded, or prints the faults and ends with 1; warnings do not change the status."""

    def check(path):
        return CliRunner().invoke(create_cli(), ["catalogue", "check", str(path)])

    good = check(FILE)
    assert good.exit_code == 0
    assert (
        good.output
        == f"{FILE}: 1,756 entries of 1 agencies can be loaded (169 toàn trình, 92 một phần, 1,495 cung cấp thông tin).\n"
    )
    path = tmp_path / "bad.csv"
    path.write_text("agency_code,procedure_code,legacy_level,valid_from,x\nH55,1,4,2018-01-01,\n")
    warned = check(path)
    assert (warned.exit_code, "is not known, and is ignored" in warned.stderr) == (0, True)
    path.write_text("agency_code,procedure_code,legacy_level,valid_from\nH99,1,4,2018-01-01\n")
    bad = check(path)
    assert (bad.exit_code, bad.stdout) == (1, "")
    assert bad.stderr.splitlines()[-1] == f"portalpulse: {path} has 1 fault. Correct them and check it again."


def test_a_load_that_was_overtaken_is_an_error(run, store, monkeypatch):
    """The error names the agencies and says what to do."""
    monkeypatch.setattr(store, "load", lambda *_args, **_options: CatalogueLoad((), 5, ("H17", "H55")))
    error = run("load", FILE).exception
    assert isinstance(error, UnavailableError)
    assert "changed H17, H55, too. Compare with `portalpulse catalogue show`" in str(error)


def test_options_that_contradict_each_other(run):
    """A day and every day cannot both be asked for; a day has one form."""
    assert "contradict each other" in str(run("show", "--all-days", "--day", "2018-01-01").exception)
    assert "--day must be a day such as 2024-08-20" in str(run("show", "--day", "1/1/2018").exception)


def test_more_changes_than_are_listed_are_counted(service, monkeypatch):
    """The answer holds the first changes, and the number of the others."""
    monkeypatch.setattr(json_format, "MAX_LISTED", 3)
    load = service.load([an_entry(f"{number}") for number in range(5)])
    assert (len(load["changes"]), load["omitted"], load["agencies"][0]["opened"]) == (3, 2, 5)


def test_help_teaches_by_example():
    """Each command shows a whole command line; load says what it replaces, which columns it reads and how days are written."""
    for name, texts in {
        "load": ("portalpulse catalogue load thai-nguyen.csv.gz", "replaces the whole catalogue", "20/08/2024", *COLUMNS),
        "show": ("portalpulse catalogue show --agency H55",),
        "check": ("portalpulse catalogue check", "The status is 1"),
    }.items():
        output = " ".join(CliRunner().invoke(create_cli(), ["catalogue", name, "--help"], env={"COLUMNS": "4000"}).output.split())
        for text in texts:
            assert text in output
