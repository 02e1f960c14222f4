"""Files that appear whole: what is not a plain file is never replaced, and an error leaves everything as it was."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pipeline.cli.report_output import _write
from pipeline.whole_files import whole_file, write_whole
from producers.sending.checkpoint import Checkpoint, State


def names(folder):
    """What a folder holds."""
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(params=["report", "plain"])
def write(request):
    """The writers of whole files."""
    return write_whole if request.param == "plain" else lambda path, body: _write(body, path)


def test_a_pipe_is_written_and_stays(tmp_path, write):
    """A pipe receives the content and stays a pipe."""
    pipe, found = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: found.append(pipe.read_bytes()), daemon=True)
    reader.start()
    write(pipe, b"figures")
    reader.join(10)
    assert (found, pipe.is_fifo(), names(tmp_path)) == ([b"figures"], True, ["pipe"])


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/{}", "/proc/self/fd/{}"])
def test_what_is_open_already_is_written_in_place(tmp_path, name):
    """A name of an open file means that file: nothing else takes its place, in /dev least of all."""
    before = os.lstat("/dev/stdout").st_ino
    with (tmp_path / "opened").open("w+b") as opened:
        if name == "/dev/stdout":
            kept = os.dup(1)
            os.dup2(opened.fileno(), 1)
            try:
                write_whole(Path(name), b"figures")
            finally:
                os.dup2(kept, 1)
                os.close(kept)
        else:
            write_whole(Path(name.format(opened.fileno())), b"figures")
        assert os.lstat("/dev/stdout").st_ino == before
        assert (tmp_path / "opened").read_bytes() == b"figures"


def test_a_link_stays_a_link(tmp_path, write):
    """The target of a link is written, whether it exists or not, and keeps its permissions; the link stays."""
    (tmp_path / "old").write_bytes(b"before")
    (tmp_path / "old").chmod(0o640)
    for target in ("old", "new"):
        link = tmp_path / f"to-{target}"
        link.symlink_to(target)
        write(link, b"figures")
        assert link.is_symlink()
        assert (tmp_path / target).read_bytes() == b"figures"
    assert (tmp_path / "old").stat().st_mode & 0o777 == 0o640
    assert names(tmp_path) == ["new", "old", "to-new", "to-old"]


def test_any_name_that_the_folder_takes(tmp_path, write):
    """A name of the greatest length can be written."""
    path = tmp_path / ("x" * 255)
    write(path, b"figures")
    assert path.read_bytes() == b"figures"


def test_an_error_leaves_everything_as_it_was(tmp_path):
    """After an error the file has its old content, and nothing else is left in the folder."""
    path = tmp_path / "report"
    path.write_bytes(b"before")

    def broken():
        with whole_file(path) as file:
            file.write(b"half")
            raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        broken()
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError):
        write_whole(tmp_path / "folder", b"figures")
    assert (path.read_bytes(), names(tmp_path)) == (b"before", ["folder", "report"])


@pytest.mark.parametrize("name", ["pipe", "/dev/stdout", "/dev/null"])
def test_a_state_is_kept_in_plain_files_alone(tmp_path, name):
    """A state is read again later: a pipe or a device is refused before anything is sent."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(Exception, match=r"is not a file\. Give --state another file"):
        Checkpoint(tmp_path / name, State("plan")).begin()
    assert (tmp_path / "pipe").is_fifo()


ROOT = Path(__file__).parents[3]
PRODUCING = ("produce", "--scenario", "feb-2025", "--events", "50", "--output", "/dev/null")
#: Commands that write a file of an option; the process may write none.
WRITING = {
    "--truth": [*PRODUCING, "--truth", "out"],
    "--truth-dossiers": [*PRODUCING, "--truth-dossiers", "out"],
    "--catalogue": ["produce", "--scenario", "feb-2025", "--catalogue", "out"],
    "--out of rules": ["alerts", "render", "--webhook", "http://127.0.0.1:1/hook", "--out", "out"],
    "--out of boards": ["boards", "render", "--out", "out"],
}


@pytest.mark.parametrize("option", WRITING)
def test_a_file_of_an_option_that_does_not_fit_does_not_appear(tmp_path, option):
    """Nothing half written is left, and the sentence names the file or its folder."""
    (tmp_path / "events.ndjson").write_text('{"event_id": "a"}\n')
    limited = 'ulimit -f 0; exec "$@"'
    ran = subprocess.run(
        ["bash", "-c", limited, "bash", sys.executable, "-B", "-m", "pipeline.cli", *WRITING[option]],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 2, ran
    assert "out" in ran.stderr
    assert "cannot be written: File too large." in ran.stderr
    assert ran.stderr.count("\n") == 1
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "events.ndjson"]
