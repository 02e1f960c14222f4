"""The command line: what a user sees when something is wrong."""

from __future__ import annotations

import datetime as dt
import io
import logging
import socket
import subprocess
import sys

import httpx
import pytest
import structlog
from rich.console import Console

from pipeline.addresses import Addresses, write_addresses
from pipeline.cli import main as cli
from pipeline.cli.report import as_table, fetch_report
from pipeline.core.errors import UnavailableError
from pipeline.core.periods import Period


@pytest.fixture
def _logging_as_it_was():
    """Commands set logging up for their process; the next test gets what it had."""
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
        with pytest.raises(SystemExit) as ended:
            cli.main()
        output, errors = capsys.readouterr()
        return ended.value.code or 0, output, errors

    return command


def free_port():
    """A port that nobody listens on."""
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
    """Every command names the wrong variable in one line and leaves with 2."""
    monkeypatch.setenv("PORTALPULSE_KAFKA__PARTITIONS", "many")
    code, _, errors = run(*command)
    assert code == 2
    assert "PORTALPULSE_KAFKA__PARTITIONS" in one_line(errors)


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
    """A day that is none, and a period backwards, are named with their option."""
    code, _, errors = run("report", "--from", first, "--to", last)
    assert code == 2
    assert words in one_line(errors)


def test_nothing_runs(run, monkeypatch, tmp_path):
    """Without a running process the report says what to start."""
    monkeypatch.setenv("PORTALPULSE_HTTP__PORT", str(free_port()))
    code, _, errors = run("report", "--from", "2024-01-01", "--to", "2024-01-02")
    assert code == 2
    assert "portalpulse up" in one_line(errors)
    code, _, errors = run("report", "--from", "2024-01-01", "--to", "2024-01-02", "--data", str(tmp_path / "x"))
    assert code == 2
    assert f"No stack runs on {tmp_path / 'x'}" in one_line(errors)


def test_a_stack_that_is_gone(run, tmp_path):
    """An addresses file that outlived its stack leads to one line, too."""
    write_addresses(tmp_path, Addresses("", f"http://127.0.0.1:{free_port()}", "", ""))
    code, _, errors = run("report", "--from", "2024-01-01", "--to", "2024-01-02", "--data", str(tmp_path))
    assert code == 2
    assert "Nothing answers" in one_line(errors)


def test_markup_in_an_error_is_text(run):
    """Square brackets of a wrong value are shown as they are."""
    code, _, errors = run("report", "--from", "[bold]x[/nothing]", "--to", "2024-01-01")
    assert code == 2
    assert "[bold]x[/nothing]" in one_line(errors)


def test_no_arguments_show_the_commands(run):
    """Alone, the command tells what there is."""
    _, output, errors = run()
    for command in ("worker", "exporter", "migrate", "report"):
        assert command in output + errors


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


@pytest.mark.parametrize("body", [b'{"error": "the storage is away"}', b"<html>bad gateway</html>", b"[]"])
def test_an_answer_that_is_no_report(monkeypatch, body):
    """Whatever a server answers instead of a report becomes one sentence."""
    monkeypatch.setattr(httpx, "get", lambda *_, **__: httpx.Response(503, content=body))
    with pytest.raises(UnavailableError, match="has no report"):
        fetch_report("http://h", Period(dt.date(2024, 1, 1), dt.date(2024, 1, 2)))


def test_a_table_for_people():
    """Percentages are in Vietnamese form, and no data is a dash."""
    figures = {
        "period": {"from": "2024-01-01", "to": "2024-08-20"},
        "rows": [
            {
                "scope": "agency",
                "code": "H17",
                "name": "Đà Nẵng",
                "indicators": {
                    "I1": {"numerator": 32470, "denominator": 50000, "percent": "64.94"},
                    "I5": {"numerator": 0, "denominator": 0, "percent": None},
                },
            }
        ],
    }
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(as_table(figures))
    text = console.export_text()
    for part in ("Đà Nẵng", "32.470", "50.000", "64,94", "—"):
        assert part in text
