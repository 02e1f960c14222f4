"""The doctor finds each trouble, says it in words with a remedy, and never stops at the first."""

from __future__ import annotations

import io
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from deploy.native import doctor
from deploy.native.commands import register
from deploy.native.folder import DataFolder
from deploy.native.ports import free_port
from pipeline.addresses import Addresses, write_addresses
from pipeline.settings import load_settings


@pytest.fixture
def settings(tmp_path):
    """Settings that point to nothing running."""
    return load_settings(
        data_dir=tmp_path / "data",
        kafka={"bootstrap": f"127.0.0.1:{free_port()}"},
        clickhouse={"url": f"http://secret:word@127.0.0.1:{free_port()}/portalpulse"},
        http={"port": free_port()},
    )


@pytest.fixture
def not_ready():
    """An HTTP endpoint that is up and says that it is not ready."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            body = b'{"ready": false, "reason": "no partitions assigned"}'
            self.send_response(503)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def by_part(findings):
    """The findings by the name of the part."""
    return {finding.part: finding for finding in findings}


def test_nothing_running_is_no_fault_but_an_unreachable_server_in_the_settings_is(settings):
    """Before the first start broker and exporter are notes; a ClickHouse server named in the settings must answer."""
    found = by_part(doctor.examine(settings, data_dir=settings.data_dir))
    assert found["Broker"].state == "note"
    assert "portalpulse up" in found["Broker"].remedy
    assert found["Exporter and API"].state == "note"
    assert found["ClickHouse"].state == "wrong"
    assert "secret" not in found["ClickHouse"].says
    assert "word" not in found["ClickHouse"].says


def test_a_running_stack_that_does_not_answer_is_a_fault(settings, not_ready):
    """With addresses.json every part must answer; what the part says about itself is passed on."""
    folder = settings.data_dir
    folder.mkdir()
    write_addresses(
        folder,
        Addresses(
            kafka=f"127.0.0.1:{free_port()}",
            http=not_ready,
            prometheus=f"http://127.0.0.1:{free_port()}",
            alertmanager=not_ready,
        ),
    )
    found = by_part(doctor.examine(settings, data_dir=folder))
    assert found["Broker"].state == "wrong"
    assert found["Exporter and API"].state == "wrong"
    assert "no partitions assigned" in found["Exporter and API"].says
    assert found["Prometheus' pages"].state == "wrong"
    assert found["Alertmanager's pages"].state == "wrong"


def test_a_broken_addresses_file_is_told_and_the_rest_is_examined(settings):
    """One unreadable file hides nothing else."""
    settings.data_dir.mkdir()
    (settings.data_dir / "addresses.json").write_text("{")
    found = by_part(doctor.examine(settings, data_dir=settings.data_dir))
    assert found["Addresses"].state == "wrong"
    assert found["Python"].state == "ok"


def test_missing_programs_are_told(settings, monkeypatch, tmp_path):
    """Prometheus and Alertmanager are needed; without Java there is still the in-memory broker."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(doctor, "java_home", lambda: (_ for _ in ()).throw(doctor.PortalPulseError("No Java.", remedy="x")))
    found = by_part(doctor.examine(settings, data_dir=settings.data_dir))
    assert (found["Prometheus"].state, found["Alertmanager"].state, found["Java"].state) == ("wrong", "wrong", "note")
    assert "deploy/setup.sh" in found["Prometheus"].remedy


def test_a_folder_in_use_names_the_owner(settings):
    """Who owns the folder is worth knowing and no fault."""
    with DataFolder(settings.data_dir):
        found = by_part(doctor.examine(settings, data_dir=settings.data_dir))
    assert found["Data folder"].state == "ok"
    assert "in use by the stack of process" in found["Data folder"].says


def test_a_folder_that_cannot_be_used_is_a_fault(settings, tmp_path):
    """A file in the way is told before a start would fail on it."""
    (tmp_path / "file").touch()
    found = by_part(doctor.examine(settings, data_dir=tmp_path / "file" / "below"))
    assert found["Data folder"].state == "wrong"


def test_the_verdict_is_in_the_exit_code_and_the_json(tmp_path, monkeypatch):
    """0 when nothing is wrong, 2 when something is; --json says the same to machines."""
    app = typer.Typer()
    register(app)
    good = [doctor.Finding("Python", "ok", "3.11"), doctor.Finding("Java", "note", "none", "Install it.")]
    bad = [*good, doctor.Finding("Prometheus", "wrong", "not installed", "Run deploy/setup.sh.")]
    for findings, code in ((good, 0), (bad, 2)):
        monkeypatch.setattr(doctor, "examine", lambda *_args, findings=findings, **_kwargs: findings)
        for arguments in ([], ["--json"]):
            answer = CliRunner().invoke(app, ["doctor", "--data", str(tmp_path), *arguments])
            assert answer.exit_code == code
    assert '"healthy": false' in answer.output
    assert '"remedy": "Run deploy/setup.sh."' in answer.output


def test_the_page_for_people_has_a_remedy_for_everything_that_is_not_in_order():
    """Each note and fault comes with what to do; the last line counts the faults."""
    console = Console(width=120, no_color=True)
    with console.capture() as captured:
        doctor.print_findings([doctor.Finding("Java", "wrong", "none", "Install it.")], console=console)
    text = captured.get()
    assert "Java: Install it." in text
    assert "1 things are wrong." in text


@pytest.mark.parametrize("name", ["[/b]", "d [1]", "[red]x"])
def test_a_path_is_no_markup(name):
    """What the terminal library takes for markup in a folder's name is printed as it is."""
    file = io.StringIO()
    finding = doctor.Finding("Data folder", "wrong", f"/srv/{name} is in use", f"Look below /srv/{name}/logs.")
    doctor.print_findings([finding], console=Console(file=file, width=200))
    assert file.getvalue().count(name) == 2
