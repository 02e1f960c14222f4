"""``replay FILE --check`` sends nothing; its status says whether a message is rejected; options of a replay are refused."""

from __future__ import annotations

import datetime as dt
import gzip
import io
import json

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from domain.errors import ConfigurationError
from producers.cli import check as command
from producers.cli import produce as commands
from producers.replay.checking import check as check_module
from tests.factories import a_message, an_event


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Runs a command line; errors of our own tree are raised, as main.py wants to see them."""
    for name in ("PORTALPULSE_CLOCK", "PORTALPULSE_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    # No broker may be asked.
    monkeypatch.setenv("PORTALPULSE_KAFKA__BOOTSTRAP", "127.0.0.1:1")
    monkeypatch.chdir(tmp_path)
    app = typer.Typer(rich_markup_mode="rich")
    commands.register(app)
    return lambda *arguments, **options: CliRunner().invoke(app, arguments, catch_exceptions=False, **options)


@pytest.mark.parametrize(("lines", "status"), [([a_message()], 0), ([a_message(), b"nothing"], 1), ([], 0)])
def test_the_status_says_whether_a_message_is_rejected(run, tmp_path, lines, status):
    """0 when no message is rejected, 1 when one is; the report is the same for people and for programs."""
    (tmp_path / "e.ndjson").write_bytes(b"\n".join(lines) + b"\n")
    text = run("replay", "e.ndjson", "--check")
    found = run("replay", "e.ndjson", "--check", "--json")
    assert text.exit_code == found.exit_code == status
    report = json.loads(found.stdout)
    assert (report["messages"], report["rejected"]) == (len(lines), status)
    assert "Nothing was sent." in text.stdout


def test_findings_do_not_change_the_status(run, tmp_path):
    """A dossier with findings is valid: the status is 0."""
    (tmp_path / "e.ndjson").write_bytes(a_message(channel=..., service_level=...) + b"\n")
    found = run("replay", "e.ndjson", "--check", "--json")
    assert found.exit_code == 0
    assert [entry["kind"] for entry in json.loads(found.stdout)["findings"]] == ["first_seen_late", "no_channel", "no_level"]


def test_the_present_is_that_of_the_worker(run, monkeypatch, tmp_path):
    """An event is in the future when it is later than now and the tolerance of the worker, whatever the clock of figures."""
    monkeypatch.setenv("PORTALPULSE_CLOCK", "2024-08-20T23:59:59+07:00")
    for days, rejected in ((0.9, 0), (1.1, 1)):
        time = dt.datetime.now(dt.UTC) + dt.timedelta(days=days)
        (tmp_path / "e.ndjson").write_bytes(a_message(occurred_at=time.isoformat()) + b"\n")
        report = json.loads(run("replay", "e.ndjson", "--check", "--json").stdout)
        assert [entry["reason"] for entry in report["rejections"]] == ["in_the_future"] * rejected
    monkeypatch.setenv("PORTALPULSE_INGEST__FUTURE_TOLERANCE_SECONDS", "864000")
    assert run("replay", "e.ndjson", "--check").exit_code == 0


def test_standard_input_and_a_mapping_of_columns_are_judged(run, tmp_path):
    """What a replay reads, a check reads: standard input, a format and a delimiter that are named."""
    assert json.loads(run("replay", "-", "--check", "--json", input=a_message() + b"\n").stdout)["accepted"] == 1
    fields = json.loads(a_message())
    (tmp_path / "e.txt").write_text("~".join(fields) + "\n" + "~".join(map(str, fields.values())) + "\n")
    found = run("replay", "e.txt", "--check", "--format", "csv", "--delimiter", "~", "--json")
    assert json.loads(found.stdout)["accepted"] == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("--rate", "5"),
        ("--speed", "2"),
        ("--time", "now"),
        ("--times", "2"),
        ("--processes", "2"),
        ("--prebuilt",),
        ("--state", "s.json"),
        ("--resume",),
        ("--bootstrap", "127.0.0.1:1"),
        ("--topic", "t"),
        ("--create-topic",),
        ("--http", "http://127.0.0.1:1"),
        ("--from-topic", "t"),
        ("--from-table",),
        ("--from", "2024-05-01"),
        ("--to", "2024-05-01"),
        ("--agency", "H26"),
        ("--to-offset", "5"),
    ],
)
def test_an_option_of_a_replay_is_refused(run, tmp_path, arguments):
    """An option that a check would ignore is refused, and named."""
    (tmp_path / "e.ndjson").write_bytes(a_message() + b"\n")
    with pytest.raises(ConfigurationError, match=f"{arguments[0]} does not belong to --check") as caught:
        run("replay", "e.ndjson", "--check", *arguments)
    assert caught.value.remedy


def test_a_check_needs_files(run):
    """Without a file there is nothing to judge."""
    with pytest.raises(ConfigurationError, match="--check judges files"):
        run("replay", "--check")


def test_a_file_that_breaks_off_is_an_error_after_its_report(run, tmp_path):
    """The report of what was read is printed and written, then the error says that it is not all; the status is 2."""
    lines = b"".join(a_message(an_event()) + b"\n" for _ in range(5_000))
    packed = gzip.compress(lines)
    (tmp_path / "e.gz").write_bytes(packed[: len(packed) * 9 // 10])
    with pytest.raises(ConfigurationError, match=r"cut off.* messages before that were judged") as caught:
        run("replay", "e.gz", "--check", "--report", "r.json")
    assert caught.value.exit_code == 2
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["complete"] is False
    assert 0 < report["messages"] < 5_000


def test_a_report_replaces_no_recording(run, tmp_path):
    """--report is checked before anything is read."""
    (tmp_path / "e.ndjson").write_bytes(a_message() + b"\n")
    with pytest.raises(ConfigurationError, match="is replayed"):
        run("replay", "e.ndjson", "--check", "--report", "e.ndjson")


def test_an_interrupted_check_has_no_report(run, monkeypatch, tmp_path):
    """Ctrl-C ends it with status 130, and half a result is not printed."""
    (tmp_path / "e.ndjson").write_bytes(a_message() + b"\n")

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(check_module, "check", interrupted)
    found = run("replay", "e.ndjson", "--check")
    assert (found.exit_code, found.stdout) == (130, "")


def test_progress_is_a_bar_or_lines():
    """On a terminal each stage has a bar; elsewhere a line every few seconds says how far the stage is."""
    screen = io.StringIO()
    with command._progress(Console(file=screen, force_terminal=True, width=80), print) as bar:
        bar.begin("messages", 10)
        bar.update(5)
        bar.begin("dossiers", None)
    assert "judging messages" in screen.getvalue()
    assert "judging dossiers" in screen.getvalue()

    lines, now = [], [0.0]
    log = command._LogLines(lambda event, **fields: lines.append((event, fields)), monotonic=lambda: now[0])
    log.begin("messages", 200)
    for now[0], done in ((1.0, 10), (6.0, 50), (7.0, 60), (12.0, 150)):
        log.update(done)
    assert lines == [
        ("checking", {"judging": "messages", "share": "25%"}),
        ("checking", {"judging": "messages", "share": "75%"}),
    ]
    log.begin("messages", None)
    now[0] = 20.0
    log.update(160)
    assert lines[-1] == ("checking", {"judging": "messages", "done": 160})
