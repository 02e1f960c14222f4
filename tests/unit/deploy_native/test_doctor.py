"""The doctor reports each problem with a remedy and does not stop at the first."""

from __future__ import annotations

import io
import json
import os
import socket
import threading
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from deploy.native.commands import register
from deploy.native.doctor import examination, machine
from deploy.native.doctor.examination import examine
from deploy.native.doctor.finding import Finding, summary
from deploy.native.doctor.output import print_findings
from deploy.native.folder import DataFolder
from deploy.native.ports import free_port
from domain.errors import PortalPulseError
from pipeline.addresses import SIGNATURE, Addresses, read_addresses, write_addresses
from pipeline.cli import remote as asking
from pipeline.settings import HttpSettings, load_settings


@pytest.fixture
def settings(tmp_path):
    """Settings with addresses at which nothing listens."""
    return load_settings(
        data_dir=tmp_path / "data",
        kafka={"bootstrap": f"127.0.0.1:{free_port()}"},
        clickhouse={"url": f"http://secret:word@127.0.0.1:{free_port()}/portalpulse"},
        http={"port": free_port()},
    )


@contextmanager
def portalpulse_process(answer_of):
    """A portalpulse process that answers a path with (status, body); its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            status, body = answer_of(self.path)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.send_header(SIGNATURE, "0")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def not_ready():
    """A portalpulse process that runs and reports that it is not ready."""
    with portalpulse_process(lambda _: (503, b'{"healthy": true, "ready": false, "reason": "no partitions assigned"}')) as url:
        yield url


def by_part(findings):
    """The findings by the name of the part."""
    return {finding.part: finding for finding in findings}


@pytest.fixture
def running(settings):
    """Create the data folder of a running stack with these addresses; nothing listens at the others."""
    with ExitStack() as owned:

        def make(**addresses):
            owned.enter_context(DataFolder(settings.data_dir))
            nowhere = {name: f"http://127.0.0.1:{free_port()}" for name in ("http", "prometheus", "alertmanager")}
            write_addresses(settings.data_dir, Addresses(**({"kafka": f"127.0.0.1:{free_port()}"} | nowhere | addresses)))
            return settings.data_dir

        yield make


def test_a_machine_without_a_stack_is_ready(tmp_path):
    """Before the first start there is no fault and no warning: the last line says what to do."""
    settings = load_settings(data_dir=tmp_path / "data", clickhouse={"url": f"chdb:{tmp_path / 'data' / 'clickhouse'}"})
    found = by_part(examine(settings, data_dir=settings.data_dir))
    assert found["Stack"].state == "idle"
    for part in ("Broker", "ClickHouse", "Exporter and API"):
        assert found[part].state in {"idle", "ok", "note"}  # ok or note: something listens at the default port of this machine
        assert "portalpulse up" not in found[part].remedy
    parts = [Finding("Python", "ok", ""), found["Stack"], found["ClickHouse"]]
    assert summary(parts) == "This machine is ready. No stack runs: start it with `portalpulse up`."
    assert found["ClickHouse"].state == "idle"


def test_addresses_in_the_settings_must_answer(settings):
    """A broker and a ClickHouse server in the settings must answer; a process may be started later."""
    found = by_part(examine(settings, data_dir=settings.data_dir))
    assert found["Broker"].state == "wrong"
    assert "PORTALPULSE_KAFKA__BOOTSTRAP" in found["Broker"].remedy
    assert found["ClickHouse"].state == "wrong"
    assert "PORTALPULSE_CLICKHOUSE__URL" in found["ClickHouse"].remedy
    assert "secret" not in found["ClickHouse"].says
    assert "word" not in found["ClickHouse"].says
    assert found["Exporter and API"].state == "idle"


def test_a_running_stack_that_does_not_answer_is_a_fault(settings, not_ready, running):
    """Every service of a running stack must answer; its own reason is shown; no remedy is to start a stack."""
    folder = running(http=not_ready, alertmanager=not_ready)
    found = by_part(examine(settings, data_dir=folder))
    assert found["Stack"].state == "ok"
    for part in ("Broker", "Exporter and API", "Prometheus' pages", "Alertmanager's pages"):
        assert found[part].state == "wrong"
        assert "logs" in found[part].remedy
        assert "Start it with" not in found[part].remedy
        assert "Start the stack" not in found[part].remedy
    assert "no partitions assigned" in found["Exporter and API"].says


def test_a_hung_worker_differs_from_one_that_does_not_run(settings, running, monkeypatch):
    """A worker that accepts connections and answers nothing is reported as running; one that does not listen is not."""
    monkeypatch.setattr(asking, "_ALIVE_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        folder = running(http=f"http://127.0.0.1:{silent.getsockname()[1]}")
        found = by_part(examine(settings, data_dir=folder))["Exporter and API"]
    assert found.state == "wrong"
    assert f"(process {os.getpid()}) runs, but its process at" in found.says
    assert "did not answer within 0.3 s" in found.says
    gone = by_part(examine(settings, data_dir=folder))["Exporter and API"]
    assert "does not listen" in gone.says


def units_of_stored_events(settings, running, status, answer):
    """What the doctor says of the units, when the process of the stack answers this."""

    def answer_of(path):
        return (status, json.dumps(answer).encode()) if path == "/api/v1/misplaced" else (200, b"{}")

    with portalpulse_process(answer_of) as url:
        return by_part(examine(settings, data_dir=running(http=url))).get("Units of stored events")


def test_events_at_units_that_were_not_in_force(settings, running):
    """Events that the registry would place at another unit are counted, with units and days; the remedy recounts all."""
    units = [{"stored_unit": "H62", "unit": "H44", "from": "2025-07-01", "to": "2025-07-09", "events": 1234}]
    units.append({"stored_unit": "X99", "unit": None, "from": "2024-01-02", "to": "2024-01-02", "events": 1})
    found = units_of_stored_events(settings, running, 200, {"units": units})
    assert found.state == "note"
    assert found.says.startswith("1,235 events are stored under units that were not in force on their day: ")
    assert found.says.endswith(
        ": 1,234 of H62 (2025-07-01 to 2025-07-09) belong to H44; 1 of X99 (2024-01-02 to 2024-01-02) belong to no agency"
    )
    assert "PORTALPULSE_KAFKA__GROUP=NAME portalpulse worker" in found.remedy


def test_many_units_are_not_all_named(settings, running):
    """Five units are named, the others are counted."""
    units = [{"stored_unit": f"X{n}", "unit": None, "from": "2024-01-02", "to": "2024-01-02", "events": 1} for n in range(10, 17)]
    found = units_of_stored_events(settings, running, 200, {"units": units})
    assert found.says.startswith("7 events")
    assert found.says.endswith("X14 (2024-01-02 to 2024-01-02) belong to no agency; 2 more units")


@pytest.mark.parametrize(
    ("status", "answer", "state"),
    [
        (200, {"units": []}, "ok"),
        (404, {"error": "This process serves no figures."}, None),
        (503, {"error": "no answer"}, "wrong"),
    ],
)
def test_units_of_stored_events(settings, running, status, answer, state):
    """Without such events all is well; a process without figures says nothing of them; a storage that fails is a fault."""
    found = units_of_stored_events(settings, running, status, answer)
    assert (None if found is None else found.state) == state


def test_the_registry_is_checked(settings, tmp_path):
    """A registry that cannot be used is a fault with its place; one that can is named."""
    assert "the packaged one" in by_part(examine(settings, data_dir=settings.data_dir))["Registry of agencies"].says
    file = tmp_path / "units.csv"
    file.write_text("code\n")
    wrong = settings.model_copy(update={"registry_file": str(file)})
    found = by_part(examine(wrong, data_dir=settings.data_dir))["Registry of agencies"]
    assert (found.state, found.says) == ("wrong", f"{file}, line 1: the column name_vi is missing.")


@pytest.mark.parametrize("body", [b'{"ready": false}', b"<html>"])
def test_another_program_at_the_port(settings, not_ready, monkeypatch, body):
    """Without a stack, another program at the port is a note; it is not taken for portalpulse."""
    settings = settings.model_copy(update={"http": HttpSettings(port=int(not_ready.rpartition(":")[2]))})
    monkeypatch.setattr(httpx, "request", lambda *_, **__: httpx.Response(200, content=body))
    found = by_part(examine(settings, data_dir=settings.data_dir))["Exporter and API"]
    assert (found.state, "Another program answers" in found.says) == ("note", True)


def test_the_storage_engine_is_named(settings, not_ready, running):
    """`up --clickhouse server` has a server that must answer; otherwise the engine runs in the worker."""
    folder = running()
    assert by_part(examine(settings, data_dir=folder))["ClickHouse"].says.startswith("embedded")
    write_addresses(folder, replace(read_addresses(folder), clickhouse=not_ready))
    found = by_part(examine(settings, data_dir=folder))["ClickHouse"]
    assert found.state == "wrong"
    assert found.says.startswith(f"ClickHouse at {not_ready.removeprefix('http://')}: ")
    assert "logs" in found.remedy
    assert "embedded" not in found.says


def test_a_stack_that_starts_and_one_that_was_killed(settings, running):
    """A stack without addresses is starting; addresses without an owner are left from a killed one."""
    folder = running()
    (folder / "addresses.json").unlink()
    found = by_part(examine(settings, data_dir=folder))
    assert (found["Stack"].state, "starting" in found["Stack"].remedy) == ("note", True)
    killed = folder.parent / "killed"
    killed.mkdir()
    write_addresses(killed, Addresses("127.0.0.1:1", "http://127.0.0.1:1", "", ""))
    found = by_part(examine(settings, data_dir=killed))
    assert (found["Stack"].state, "was killed" in found["Stack"].says) == ("idle", True)


@pytest.mark.parametrize(
    ("states", "words"),
    [
        (["ok", "note"], "No problem found."),
        (["wrong"], "1 thing is wrong."),
        (["wrong", "ok", "wrong"], "2 things are wrong."),
    ],
)
def test_the_last_line(states, words):
    """The summary has the right grammatical number."""
    assert summary([Finding("Part", state, "") for state in states]) == words


def test_an_invalid_addresses_file_is_reported_and_the_rest_is_checked(settings):
    """One unreadable file does not hide other problems."""
    settings.data_dir.mkdir()
    (settings.data_dir / "addresses.json").write_text("{")
    found = by_part(examine(settings, data_dir=settings.data_dir))
    assert found["Addresses"].state == "wrong"
    assert found["Python"].state == "ok"


def test_missing_programs_are_reported(settings, monkeypatch, tmp_path):
    """A local stack needs Prometheus and Alertmanager, and no Java for a broker in memory; settings that name parts need none."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(machine, "java_home", lambda: (_ for _ in ()).throw(PortalPulseError("No Java.", remedy="x")))
    for named, state in ((settings, "note"), (load_settings(data_dir=settings.data_dir), "wrong")):
        found = by_part(examine(named, data_dir=settings.data_dir))
        assert (found["Prometheus"].state, found["Alertmanager"].state, found["Java"].state) == (state, state, "note")
        assert "deploy/setup.sh" in found["Prometheus"].remedy


def test_a_folder_in_use_names_the_owner(settings):
    """The owner of the folder is shown; it is not a fault."""
    with DataFolder(settings.data_dir):
        found = by_part(examine(settings, data_dir=settings.data_dir))
    assert found["Data folder"].state == "ok"
    assert "in use by the stack of process" in found["Data folder"].says


def test_a_folder_that_cannot_be_used_is_a_fault(settings, tmp_path):
    """A file of the same name is reported before a start would fail on it."""
    (tmp_path / "file").touch()
    found = by_part(examine(settings, data_dir=tmp_path / "file" / "below"))
    assert found["Data folder"].state == "wrong"


def test_the_exit_code_and_the_json_give_the_result(tmp_path, monkeypatch):
    """Status 0 when nothing is wrong, else 2; --json gives the same."""
    app = typer.Typer()
    register(app)
    good = [Finding("Python", "ok", "3.11"), Finding("Java", "note", "none", "Install it.")]
    bad = [*good, Finding("Prometheus", "wrong", "not installed", "Run deploy/setup.sh.")]
    for findings, code in ((good, 0), (bad, 2)):
        monkeypatch.setattr(examination, "examine", lambda *_args, findings=findings, **_kwargs: findings)
        for arguments in ([], ["--format", "json"], ["--json"]):
            answer = CliRunner().invoke(app, ["doctor", "--data", str(tmp_path), *arguments])
            assert answer.exit_code == code
    assert '"healthy": false' in answer.output
    assert '"remedy": "Run deploy/setup.sh."' in answer.output


def test_every_finding_that_is_not_ok_is_printed_with_its_remedy():
    """Each note and fault is printed with its remedy; the last line counts the faults."""
    console = Console(width=120, no_color=True)
    with console.capture() as captured:
        print_findings([Finding("Java", "wrong", "none", "Install it.")], console=console)
    text = captured.get()
    assert "Java: Install it." in text
    assert "1 thing is wrong." in text


@pytest.mark.parametrize("name", ["[/b]", "d [1]", "[red]x"])
def test_a_path_is_not_interpreted_as_markup(name):
    """Markup of the terminal library in a folder's name is printed unchanged."""
    file = io.StringIO()
    finding = Finding("Data folder", "wrong", f"/srv/{name} is in use", f"Look below /srv/{name}/logs.")
    print_findings([finding], console=Console(file=file, width=200))
    assert file.getvalue().count(name) == 2
