"""The file of an option is refused before anything is done, and not when the result is to be written."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from domain.errors import ConfigurationError
from pipeline.whole_files import write_whole
from producers.cli import produce
from producers.cli.reports import require_different_files, require_place, require_report_place

#: Names of files that cannot be written, and what is in the way.
WRONG = {
    "file/below": "Not a directory",
    "missing/below": "there is no folder missing",
    "dangling": "there is no folder .*nowhere",
    "loop": "Too many levels of symbolic links",
    "loop/below": "Too many levels of symbolic links",
    "x" * 256: "File name too long",
    ("y" * 200 + "/") * 30: "File name too long",
    "folder": "it is a folder",
    "to-folder": "it is a folder",
    "/proc/no-such-file": "there is no such device",
}
RIGHT = ("new", "file", "folder/new", "to-file", "to-new", "/dev/null", "x" * 255, "folder/../new")


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with what names may lead to."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("kept")
    (tmp_path / "folder").mkdir()
    for link, target in (
        *(("loop", "loop"), ("dangling", "nowhere/x"), ("to-folder", "folder"), ("to-file", "file"), ("to-new", "folder/made")),
    ):
        (tmp_path / link).symlink_to(target)
    return tmp_path


@pytest.mark.parametrize("name", WRONG, ids=lambda name: name[:20])
def test_a_place_that_cannot_be_written_is_refused_first(place, name):
    """Whatever is in the way of a file, the check of its option finds it, names it, and writes nothing."""
    path, before = Path(name), sorted(place.iterdir())
    for check in (lambda: require_place(path, option="--report"), lambda: require_report_place(path, sources=("file",))):
        with pytest.raises(ConfigurationError, match=WRONG[name]) as caught:
            check()
        assert "--report another file" in caught.value.remedy
    assert sorted(place.iterdir()) == before
    with pytest.raises(OSError, match=r"\[Errno"):  # the check refuses nothing that could be written
        write_whole(path, b"")


@pytest.mark.parametrize("name", RIGHT, ids=lambda name: name[:20])
def test_a_place_that_can_be_written_is_taken(place, name):
    """What the check takes can be written, and the check itself writes nothing."""
    path, before = Path(name), sorted(place.iterdir())
    require_place(path, option="--report")
    assert sorted(place.iterdir()) == before
    write_whole(path, b"new")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("new", "./new"),
        ("file", "to-file"),
        ("to-file", "folder/../file"),
        ("folder/made", "to-new"),
        ("to-folder/x", "folder/x"),
    ],
)
def test_two_options_name_two_files(place, one, other):
    """What one option writes is not replaced by another one: two names of one file are refused, there or not."""
    with pytest.raises(ConfigurationError, match=f"--output and --truth name one file, {one}: one would replace the other"):
        require_different_files({"--output": Path(one), "--report": None, "--truth": place / other})
    require_different_files({"--output": Path(one), "--truth": Path("another")})


def test_a_device_may_be_named_twice(place):
    """Nothing is replaced in a device, so several options may write into it."""
    require_different_files({"--output": Path("/dev/null"), "--truth": Path("/dev/null")})


FIRST_FILE = [
    ("produce", "--scenario", "feb-2025", "--events", "20", "--output", "x", "--truth", "x"),
    ("produce", "--scenario", "feb-2025", "--events", "20", "--output", "x", "--truth-dossiers", "./x"),
    ("produce", "--scenario", "feb-2025", "--truth", "x", "--truth-dossiers", "x"),
    ("produce", "--scenario", "feb-2025", "--output", "x", "--catalogue", "x"),
    ("load", "--bootstrap", "127.0.0.1:1", "--report", "x", "--truth", "x"),
]


@pytest.mark.parametrize("arguments", FIRST_FILE)
def test_every_command_refuses_one_file_for_two_results(place, arguments):
    """No command writes two results into one file; nothing is written when it is refused."""
    app = typer.Typer(rich_markup_mode="rich")
    produce.register(app)
    with pytest.raises(ConfigurationError, match="name one file, x"):
        CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert not (place / "x").exists()
