"""Names of replays and of files: whatever bytes and words are in them, one replay is told from another."""

from __future__ import annotations

import io
import itertools
import json
from dataclasses import replace

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from domain.errors import ConfigurationError
from pipeline.texts import escaped
from producers.cli import produce as commands
from producers.measuring.progress import shown
from producers.replay.plan import ReplayOptions, plan_replay
from producers.replay.prebuilt import prebuilt
from producers.sending.checkpoint import Checkpoint, read_state
from tests.factories import a_message

#: Names of files that the system takes: bytes that are not UTF-8, control characters, markup, words of options.
NAMES = (
    "a\udcff\udc80",
    "a\nb",
    "a\x1b[2J\x1b]0;t\x07",
    "[bold",
    "\u202egnp",
    "\x9b31m",
    "{0}%s",
    "a and 1 more",
    "--check",
    "a | b",
    " ",
)

TOPIC, FILES = ReplayOptions(from_topic="table"), ReplayOptions(files=("a", "b"))
#: Replays of different sources; the first ones looked alike while their words were joined by blanks.
DIFFERENT = [
    FILES,
    ReplayOptions(files=("a b",)),
    ReplayOptions(files=("a",), format="b"),
    ReplayOptions(files=("a",), delimiter="b"),
    ReplayOptions(files=("a", "--format", "b")),
    ReplayOptions(files=("'a'", "b")),
    ReplayOptions(from_topic="a", start="b"),
    ReplayOptions(from_topic="a", end="b"),
    TOPIC,
    ReplayOptions(from_table=True),
    ReplayOptions(files=("table",)),
    ReplayOptions(files=("--from-table",)),
    replace(TOPIC, start="2024-05-01"),
    replace(TOPIC, end="2024-05-01"),
    replace(TOPIC, from_offset=5),
    replace(TOPIC, to_offset=5),
    replace(TOPIC, from_offset=0),
    replace(TOPIC, start="5"),
    ReplayOptions(from_table=True, start="2024-05-01", end="2024-05-02", agencies=("H26", "H17")),
    ReplayOptions(from_table=True, start="2024-05-01", end="2024-05-02", agencies=("H26 H17",)),
]


def planned(name, folder, *, resume=False):
    """The replay of a file whose state is kept beside it."""
    options = ReplayOptions(files=(f"{folder}/{name}",), state=folder / "state.json", resume=resume)
    return plan_replay(options, target="events", source_topic=None, http=None)


def test_another_source_is_another_replay():
    """No two replays of different sources have one name: the position of one means other messages in the other."""
    for one, other in itertools.combinations(DIFFERENT, 2):
        assert one.name("events") != other.name("events"), (one, other)
    assert (
        ReplayOptions(files=("logs/e-1.ndjson",)).name("t").startswith("logs/e-1.ndjson | ")
    )  # as in states of earlier releases


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_a_file_of_any_name_is_resumed(tmp_path, name):
    """The state of a replay is written and read again whatever the bytes in the name of its file."""
    (tmp_path / name).write_bytes(a_message() + b"\n")
    _, state = planned(name, tmp_path)
    checkpoint = Checkpoint(tmp_path / "state.json", state)
    checkpoint.begin()
    checkpoint.reached(1)
    checkpoint.close(finished=False)
    assert planned(name, tmp_path, resume=True)[1].position == 1


def test_a_state_of_more_files_is_refused(tmp_path):
    """A state that knows the contents of other files than those that are named is refused before they are read."""
    (tmp_path / "e.ndjson").write_bytes(a_message() + b"\n")
    _, state = planned("e.ndjson", tmp_path)
    for contents in ((), state.contents * 2):
        Checkpoint(tmp_path / "state.json", replace(state, contents=contents)).close(finished=False)
        assert read_state(tmp_path / "state.json").contents == contents
        with pytest.raises(ConfigurationError, match=f"knows the contents of {len(contents)} files, and 1 are named"):
            planned("e.ndjson", tmp_path, resume=True)


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_a_file_of_any_name_is_packed(tmp_path, name):
    """--prebuilt packs a file once, whatever the bytes in its name."""
    (tmp_path / name).write_bytes(a_message() + b"\n")
    replay, _ = planned(name, tmp_path)
    assert [prebuilt(replay, replay.source, partitions=4).written for _ in range(2)] == [True, False]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_reports_name_any_file(tmp_path, monkeypatch, name):
    """In JSON the name of a file is exact; in text for people no character of it can move the cursor or begin a line."""
    (tmp_path / name).write_bytes(b"{}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(typer, "echo", (printed := []).append)
    app = typer.Typer(rich_markup_mode="rich")
    commands.register(app)
    for more in ((), ("--json",)):
        ended = CliRunner().invoke(app, ["replay", "--check", "--report", "r.json", f"./{name}", *more], catch_exceptions=False)
        assert ended.exit_code == 1
    text, as_json = printed
    assert all(character.isprintable() for character in text.replace("\n", ""))
    assert text.count("\n") == 10
    assert json.loads(as_json)["source"] == json.loads((tmp_path / "r.json").read_bytes())["source"] == f"./{name}"


@pytest.mark.parametrize("name", [*NAMES, "logs[/bold].ndjson", "[red]x"], ids=ascii)
def test_a_bar_shows_any_name(name):
    """The title of a bar is text: a name that looks like markup ends no replay, and none moves the cursor."""
    output = io.StringIO()
    with shown(Console(file=output, force_terminal=True, width=200, color_system=None), print, title=name) as bar:
        bar.expect(5)
        bar.update(1)
    assert escaped(name) in output.getvalue()
