"""The command line: what a user sees when something is wrong."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import re
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import structlog
from typer.testing import CliRunner

from domain.errors import UnavailableError
from domain.message_schema import schema_text
from pipeline.addresses import FILE_NAME, LOCK_NAME, SIGNATURE, Addresses, write_addresses
from pipeline.cli import main as cli
from pipeline.cli import remote
from pipeline.cli.remote_report import fetch_report


@pytest.fixture
def _logging_as_it_was():
    """Restore logging after a command has configured it."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()


@pytest.fixture
def run(monkeypatch, capsys, tmp_path, _logging_as_it_was):
    """Run the command in an empty folder; returns its exit code, output and errors."""
    monkeypatch.chdir(tmp_path)

    def command(*arguments):
        monkeypatch.setattr(sys, "argv", ["portalpulse", *arguments])
        status = cli.run()
        output, errors = capsys.readouterr()
        return status, output, errors

    return command


@pytest.mark.parametrize(("at_counter", "numerator"), [("excluded", "settled_full"), ("counted", "settled_full_any_return")])
def test_indicators_are_printed_as_the_settings_define_them(run, monkeypatch, at_counter, numerator):
    """The numerator of I1 is the count that the setting chooses, for people and for machines; another value is refused."""
    monkeypatch.setenv("PORTALPULSE_INDICATORS__RETURN_AT_COUNTER", at_counter)
    status, output, _ = run("indicators", "--json")
    found = {each["code"]: each for each in json.loads(output)}
    assert (status, found["I1"]["numerator"], found["I5"]["numerator"]) == (0, numerator, "submitted_online")
    assert at_counter in found["I1"]["remarks"]
    assert f"numerator: {numerator}\n" in run("indicators")[1]
    monkeypatch.setenv("PORTALPULSE_INDICATORS__RETURN_AT_COUNTER", "never")
    status, _, errors = run("indicators")
    assert (status, "PORTALPULSE_INDICATORS__RETURN_AT_COUNTER" in one_line(errors)) == (2, True)


def free_port():
    """A port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def one_line(errors):
    """The one line of an error."""
    assert errors.startswith("portalpulse: ")
    assert errors.count("\n") == 1
    assert "Traceback" not in errors
    return errors


@pytest.mark.parametrize(
    "command",
    [
        ("worker",),
        ("worker", "--all-in-one"),
        ("exporter",),
        ("migrate",),
        ("report", "--from", "2024-01-01", "--to", "2024-01-02"),
    ],
)
def test_a_wrong_setting_is_one_line(run, monkeypatch, command):
    """Every command names the wrong variable in one line and exits with 2."""
    monkeypatch.setenv("PORTALPULSE_KAFKA__PARTITIONS", "many")
    code, _, errors = run(*command)
    assert code == 2
    assert "PORTALPULSE_KAFKA__PARTITIONS" in one_line(errors)


@pytest.mark.parametrize(
    "command",
    [
        ("worker",),
        ("worker", "--all-in-one"),
        ("exporter",),
        ("migrate",),
        ("dossier", "H17-240102-0001"),
        ("findings",),
        ("audit",),
        ("dead-letters", "list"),
        ("produce", "--bootstrap", "127.0.0.1:1"),
        ("produce", "--bootstrap", "127.0.0.1:1", "--scenario", "live"),
        ("load", "--bootstrap", "127.0.0.1:1"),
        ("replay", "events.ndjson", "--check"),
        ("up",),
    ],
    ids=" ".join,
)
def test_a_wrong_registry_is_one_line(run, monkeypatch, tmp_path, command):
    """Every command that uses the registry reads it at its start: a fault is named before anything is opened or sent."""
    (tmp_path / "events.ndjson").write_text("{}\n")
    (tmp_path / "units.csv").write_text("code,name_vi\n")
    monkeypatch.setenv("PORTALPULSE_REGISTRY_FILE", "units.csv")
    monkeypatch.setenv("PORTALPULSE_CLICKHOUSE__URL", f"http://127.0.0.1:{free_port()}/x")
    code, _, errors = run(*command)
    assert code == 2
    assert f"{tmp_path}/units.csv, line 1: the column name_en is missing." in one_line(errors)
    assert command != ("up",) or not (tmp_path / ".portalpulse").exists()


@pytest.mark.parametrize("command", [("worker",), ("exporter",), ("migrate",)])
def test_an_absent_server_is_one_line(run, monkeypatch, command):
    """A ClickHouse that does not answer is named in one line, without its password."""
    monkeypatch.setenv("PORTALPULSE_CLICKHOUSE__URL", f"http://u:s3cret@127.0.0.1:{free_port()}/x")
    code, _, errors = run(*command)
    assert code == 2
    assert "does not answer" in one_line(errors)
    assert "s3cret" not in errors


def test_an_address_that_cannot_be_read(run, monkeypatch):
    """An address with the right beginning and no host is a wrong setting."""
    monkeypatch.setenv("PORTALPULSE_CLICKHOUSE__URL", "http://:8123")
    code, _, errors = run("migrate")
    assert code == 2
    assert "PORTALPULSE_CLICKHOUSE__URL is wrong" in one_line(errors)


@pytest.mark.parametrize(
    ("first", "last", "words"),
    [("2024-13-01", "2024-01-02", "--from"), ("2024-01-01", "x", "--to"), ("2024-02-01", "2024-01-01", "before it starts")],
)
def test_a_wrong_period_is_one_line(run, first, last, words):
    """An impossible day, or a period that ends before it starts, is named with its option."""
    code, _, errors = run("report", "--from", first, "--to", last)
    assert code == 2
    assert words in one_line(errors)


def test_nothing_runs(run, monkeypatch, tmp_path):
    """Without a running process the error says what to start."""
    monkeypatch.setenv("PORTALPULSE_HTTP__PORT", str(free_port()))
    code, _, errors = run("report", "--from", "2024-01-01", "--to", "2024-01-02")
    assert code == 2
    assert "portalpulse up" in one_line(errors)
    code, _, errors = run("report", "--from", "2024-01-01", "--to", "2024-01-02", "--data", str(tmp_path / "x"))
    assert code == 2
    assert f"No stack runs on {tmp_path / 'x'}" in one_line(errors)


REPORT = ("report", "--from", "2024-01-01", "--to", "2024-01-02")
#: Every command that asks a running process.
REMOTE_COMMANDS = [REPORT, ("audit",), ("dead-letters", "list"), ("dead-letters", "show", "t", "0", "1")]


class Listener(BaseHTTPRequestHandler):
    """Answers every request with the answer that the test has set."""

    def do_GET(self):
        status, body = self.server.answers
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if b'"healthy"' in body:
            self.send_header(SIGNATURE, "0")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def listener():
    """A program on a free port that answers what the test sets."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Listener)
    server.answers = (404, b"<html>not here</html>")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    server.url = f"http://127.0.0.1:{server.server_port}"
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def silent():
    """An address where a process listens and never answers, like a suspended one."""
    with socket.create_server(("127.0.0.1", 0)) as waiting:
        yield f"http://127.0.0.1:{waiting.getsockname()[1]}"


@pytest.fixture
def owned(tmp_path):
    """Make a folder that a stack owns, whose process listens at an address."""
    locks = []

    def own(url):
        write_addresses(tmp_path, Addresses("", url, "", ""))
        lock = (tmp_path / LOCK_NAME).open("w")
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        locks.append(lock)
        return str(tmp_path)

    yield own
    for lock in locks:
        lock.close()


@pytest.mark.parametrize("command", REMOTE_COMMANDS, ids=lambda command: command[0])
def test_a_stack_that_is_gone(run, tmp_path, command):
    """For an addresses file of a stack that ended, the error says so, and `up` is the remedy."""
    write_addresses(tmp_path, Addresses("", f"http://127.0.0.1:{free_port()}", "", ""))
    code, _, errors = run(*command, "--data", str(tmp_path))
    assert code == 2
    assert f"No stack runs on {tmp_path}; the last one was killed." in one_line(errors)
    assert f"portalpulse up --data {tmp_path}" in errors


@pytest.mark.parametrize("command", REMOTE_COMMANDS, ids=lambda command: command[0])
def test_a_stack_whose_worker_is_hung(run, monkeypatch, owned, silent, command):
    """For a stack that runs and does not answer the error says so, and does not advise to start a second one."""
    monkeypatch.setattr(remote, "_ALIVE_SECONDS", 0.3)
    code, _, errors = run(*command, "--data", owned(silent))
    assert code == 2
    assert f"(process {os.getpid()}) runs, but its process at {silent} did not answer within 0.3 s" in one_line(errors)
    assert "Start it with" not in errors
    assert "logs" in errors


@pytest.mark.parametrize("command", REMOTE_COMMANDS, ids=lambda command: command[0])
def test_a_stack_whose_worker_ended(run, owned, command):
    """A stack without its worker is distinguished from a stack that does not run."""
    code, _, errors = run(*command, "--data", owned(f"http://127.0.0.1:{free_port()}"))
    assert code == 2
    assert "runs, but its process at" in one_line(errors)
    assert "does not listen" in errors
    assert "Start it with" not in errors


def test_a_stack_that_starts(run, owned, tmp_path):
    """A folder with an owner and without addresses belongs to a stack that starts: wait, do not start another."""
    folder = owned("http://h")
    (tmp_path / FILE_NAME).unlink()
    code, _, errors = run(*REPORT, "--data", folder)
    assert code == 2
    assert "still starting" in one_line(errors)
    assert "Start it with" not in errors


@pytest.mark.parametrize("command", REMOTE_COMMANDS, ids=lambda command: command[0])
def test_another_program_at_the_address(run, monkeypatch, listener, command):
    """Another program at the address is reported as such, whatever it answers."""
    monkeypatch.setenv("PORTALPULSE_HTTP__PORT", str(listener.server_port))
    for answers in ((200, b"<html>welcome</html>"), (200, b"[]"), (404, b"{}"), (500, b"")):
        listener.answers = answers
        code, _, errors = run(*command)
        assert code == 2
        assert f"Another program answers at {listener.url}" in one_line(errors)


def test_an_answer_that_is_an_error(run, monkeypatch, listener):
    """The error of a process of portalpulse is passed on; its text alone decides nothing."""
    monkeypatch.setenv("PORTALPULSE_HTTP__PORT", str(listener.server_port))
    listener.answers = (404, b'{"healthy": true, "error": "There is no such path."}')
    code, _, errors = run("dead-letters", "show", "t", "0", "1")
    assert code == 2
    assert "answers 404: There is no such path." in one_line(errors)
    listener.answers = (404, b'{"healthy": true, "error": "nothing here", "code": "no_dead_letter"}')
    code, _, errors = run("dead-letters", "show", "t", "0", "1")
    assert code == 2
    assert "There is no dead letter at t/0/1." in one_line(errors)


@pytest.mark.parametrize("command", ["list", "replay", "drop"])
@pytest.mark.parametrize("option", ["--from", "--to"])
@pytest.mark.parametrize("text", ["2024-W33", "2024-W33-1T08:00", "20240820"])
def test_a_week_bounds_no_dead_letters(run, command, option, text):
    """A week is not a time: its Monday would bound what is listed, sent again or dropped."""
    code, _, errors = run("dead-letters", command, option, text)
    assert code == 2
    assert f"'{option[2:]}' must be a time with an offset" in one_line(errors)


def test_an_empty_list_of_dead_letters(run, monkeypatch, listener):
    """Without dead letters there is a sentence and no empty table."""
    monkeypatch.setenv("PORTALPULSE_HTTP__PORT", str(listener.server_port))
    listener.answers = (200, b'{"healthy": true, "counts": {}, "letters": [], "next": null}')
    assert run("dead-letters", "list")[1] == "There are no dead letters.\n"
    assert run("dead-letters", "list", "--reason", "empty")[1] == "No dead letter matches the filter.\n"


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:80"),
        ("fd00::2", "http://[fd00::2]:80"),
        ("[fd00::2]", "http://[fd00::2]:80"),
        ("::", "http://[::1]:80"),
        ("0.0.0.0", "http://127.0.0.1:80"),
    ],
)
def test_the_address_of_a_process(host, url):
    """An IPv6 address gets brackets; for a process that listens on all addresses it is the loopback address."""
    assert remote.url_of(host, 80) == url


def test_markup_in_an_error_is_text(run):
    """Square brackets of a wrong value are shown as they are."""
    code, _, errors = run("report", "--from", "[bold]x[/nothing]", "--to", "2024-01-01")
    assert code == 2
    assert "[bold]x[/nothing]" in one_line(errors)


def test_no_arguments_show_the_commands(run):
    """Without arguments the commands are listed."""
    _, output, errors = run()
    for command in ("worker", "exporter", "migrate", "report"):
        assert command in output + errors


def test_the_message_contract_is_printed(run):
    """`schema` prints the JSON Schema that ships with portalpulse, to the byte, and its help says what it cannot express."""
    status, out, _ = run("schema")
    assert (status, out) == (0, schema_text())
    status, out, _ = run("schema", "--help")
    assert status == 0
    assert "--check" in out


def test_version(run):
    """--version prints one line."""
    code, output, _ = run("--version")
    assert code == 0
    assert output.startswith("portalpulse ")


def test_as_a_program():
    """In a process of its own, too: one line, exit code 2, no traceback."""
    ended = subprocess.run(
        [sys.executable, "-m", "pipeline.cli", "report", "--from", "x", "--to", "y"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 2
    one_line(ended.stderr)
    assert ended.stdout == ""


@pytest.mark.parametrize("body", [b'{"error": "the storage is away"}', b"<html>bad gateway</html>", b"[]", b""])
@pytest.mark.parametrize("status", [200, 503])
def test_an_answer_that_is_no_report(listener, body, status):
    """Any other answer than a report becomes one sentence."""
    listener.answers = (status, body)
    with pytest.raises(UnavailableError, match=r"Another program answers|answers 503: ") as caught:
        fetch_report(remote.Process(listener.url), {"from": "2024-01-01", "to": "2024-01-02"})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("words", "option"),
    [
        (("produce", "--bootstrap", "b:1", "--topic", ""), "--topic"),
        (("produce", "--bootstrap", ""), "--bootstrap"),
        (("produce", "--output="), "--output"),
        (("replay", "", "--topic", "t"), "an argument"),
        (("replay", "a.ndjson", "--report", ""), "--report"),
        (("alerts", "render", "--webhook", "http://h/", "--out", ""), "--out"),
        (("dead-letters", "list", "--topic", ""), "--topic"),
    ],
)
def test_an_empty_argument_is_refused(run, tmp_path, words, option):
    """An empty argument, as of an unset shell variable, is refused; it means neither a default nor the current folder."""
    code, _, errors = run(*words)
    assert code == 2
    assert f"{option} is empty" in one_line(errors).replace("The value of ", "").replace("An argument", "an argument")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "words",
    [
        ["up"],
        ["demo"],
        ["doctor"],
        ["produce", "--scenario", "live"],
        ["report", "--from", "2024-01-01", "--to", "2024-01-02"],
        ["audit"],
        ["dead-letters", "list"],
    ],
)
def test_an_empty_folder_name_is_refused(words):
    """An unset shell variable must not select the current folder."""
    done = CliRunner().invoke(cli.create_cli(), [*words, "--data", ""])
    assert done.exit_code == 2
    assert "the name of the folder is empty" in " ".join(re.sub(r"[^\x20-\x7e]", " ", done.output).split())


@pytest.mark.parametrize("columns", ["0", "1", "7", "-5", "x", "100000", "9" * 5_000])
def test_an_odd_width_of_the_terminal_hides_nothing(run, monkeypatch, columns):
    """An implausible width, as terminals without a size report it, is not used: output at 0 columns would be empty."""
    monkeypatch.setenv("COLUMNS", columns)
    code, output, _ = run("report", "--help")
    assert code == 0
    assert "report [OPTIONS]" in output
    assert max(map(len, output.splitlines())) <= 1_000
