"""The commands: options are checked before anything is sent, files and summaries are what they say."""

from __future__ import annotations

import json
from collections import Counter

import pytest
import typer
from typer.testing import CliRunner

from pipeline.core.errors import ConfigurationError, UnavailableError
from producers import commands


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Runs a command line; errors of our own tree are raised, as main.py wants to see them."""
    for name in ("PORTALPULSE_CLOCK", "PORTALPULSE_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    app = typer.Typer(rich_markup_mode="rich")
    commands.register(app)

    def runner(*arguments):
        return CliRunner().invoke(app, arguments, catch_exceptions=False)

    return runner


def test_a_live_file_holds_the_events_that_the_summary_counts(run, tmp_path):
    """``--output`` writes one event a line and the JSON summary says how many."""
    path = tmp_path / "live.ndjson"
    result = run("produce", "--scenario", "live", "--rate", "max", "--duration", "0.3", "--output", str(path), "--json")
    assert result.exit_code == 0
    summary = json.loads(result.stdout)
    lines = path.read_bytes().splitlines()
    assert summary["sent"] == summary["acknowledged"] == summary["distinct"] == len(lines) > 0
    assert all(json.loads(line)["event_id"] for line in lines)


def test_a_whole_scenario_can_be_written_to_a_file(run, tmp_path):
    """The file holds the scenario, and nothing failed."""
    path = tmp_path / "scenario.ndjson"
    result = run("produce", "--output", str(path), "--seed", "3")
    assert result.exit_code == 0
    assert "failed 0" in result.stdout
    settled = Counter()
    for line in path.read_bytes().splitlines():
        settled[b'"status":9' in line] += 1
    assert settled[True] > 100_000


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--scenario", "emc-2025"], "emc-2024, live"),
        (["--rate", "fast"], "--rate"),
        (["--rate", "0"], "--rate"),
        (["--rate", "nan"], "--rate"),
        (["--duration", "5"], "--scenario live"),
        (["--collapse", "H26"], "--scenario live"),
        (["--scenario", "live", "--scale", "2"], "--rate"),
        (["--scenario", "live", "--collapse", "H99"], "H99"),
        (["--faults", "5", "--output", "x.ndjson"], "--output"),
        (["--output", "missing/x.ndjson"], "cannot be written"),
        (["--data", "nowhere"], "portalpulse up --data nowhere"),
    ],
)
def test_wrong_options_are_refused_with_a_remedy(run, arguments, problem):
    """Options that make no sense together or alone are configuration errors that say what to write instead."""
    with pytest.raises(ConfigurationError, match=problem):
        run("produce", *arguments)


def test_help_teaches_by_example(run):
    """Both help texts show a whole command line."""
    for command in ("produce", "replay"):
        assert f"portalpulse {command}" in run(command, "--help").stdout


def test_a_full_disk_is_one_sentence(run):
    """A file that takes no more ends the sending with an error of our own, not with a traceback."""
    with pytest.raises(UnavailableError, match="/dev/full takes no more lines"):
        run("produce", "--scenario", "live", "--rate", "max", "--duration", "5", "--output", "/dev/full")
