"""One stack a folder; the demo empties only folders that it created."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from deploy.native.folder import DEMO_MARK, DataFolder
from deploy.native.processes import wait_until
from deploy.native.programs import PROJECT
from domain.errors import ConfigurationError
from pipeline.addresses import LOCK_NAME, owner_of

HOLD = (
    "import sys, time; from pathlib import Path; from deploy.native.folder import DataFolder\n"
    "with DataFolder(Path(sys.argv[1])): print('held', flush=True); time.sleep(600)"
)


@pytest.fixture
def holder(tmp_path):
    """Another process that owns the folder."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path], cwd=PROJECT, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_folder_in_use_names_its_owner_and_the_remedy(tmp_path, holder):
    """The second stack gets an error with the process id of the first one and a remedy."""
    assert owner_of(tmp_path) == holder.pid
    with pytest.raises(ConfigurationError, match=f"in use by process {holder.pid}") as caught, DataFolder(tmp_path):
        pass
    assert "--data" in caught.value.remedy
    assert caught.value.exit_code == 2


def test_a_killed_owner_leaves_no_lock(tmp_path, holder):
    """The kernel releases the folder of a killed stack: no stale lock has to be deleted."""
    holder.kill()
    holder.wait()
    assert owner_of(tmp_path) is None
    with DataFolder(tmp_path):
        assert owner_of(tmp_path) == os.getpid()
    assert owner_of(tmp_path) is None


def test_the_lock_is_not_inherited_by_children(tmp_path):
    """A child that is still ending must not hold the lock."""
    with DataFolder(tmp_path):
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], close_fds=False)
    try:
        with DataFolder(tmp_path):
            pass
    finally:
        child.kill()
        child.wait()


def test_too_little_free_space_is_reported_in_numbers(tmp_path):
    """A disk that would soon be full is reported before anything starts, and the folder is released."""
    with pytest.raises(ConfigurationError, match="GB left") as caught, DataFolder(tmp_path, min_free_bytes=1 << 60):
        pass
    assert "--data" in caught.value.remedy
    assert owner_of(tmp_path) is None


def test_a_folder_that_cannot_be_created_is_a_configuration_error(tmp_path):
    """A file of the same name, or a missing right, is reported in one sentence."""
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="cannot be written"), DataFolder(tmp_path / "file" / "below"):
        pass


def test_the_demo_empties_its_own_folder_at_every_run(tmp_path):
    """Everything but lock and mark is removed; of a link only the link, not its target."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").touch()
    ours = tmp_path / "demo"
    with DataFolder(ours) as folder:
        folder.wipe_for_demo()
        (ours / "kafka").mkdir()
        (ours / "kafka" / "log").touch()
        (ours / "link").symlink_to(outside)
        folder.wipe_for_demo()
        assert {entry.name for entry in ours.iterdir()} == {"stack.lock", DEMO_MARK}
    assert (outside / "kept").exists()


def test_the_demo_never_empties_another_folder(tmp_path):
    """--data with other files in it is an error, and nothing is deleted."""
    (tmp_path / "thesis.txt").touch()
    with DataFolder(tmp_path) as folder, pytest.raises(ConfigurationError, match="not made by the demo"):
        folder.wipe_for_demo()
    assert (tmp_path / "thesis.txt").exists()


def test_waiting_for_a_folder_that_is_released(tmp_path, holder):
    """The end of the owner can be awaited by polling."""
    holder.terminate()
    assert wait_until(lambda: owner_of(tmp_path) is None, timeout=60, what="the folder to be free")


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("line\nbreak", "control character"),
        ("bell\a", "control character"),
        (os.fsdecode(b"latin-\xe1"), "not UTF-8"),
        ("/".join(["n" * 200] * 20), "at most 3,456"),
    ],
)
def test_a_name_that_services_cannot_use_is_rejected_before_anything_is_written(tmp_path, name, problem):
    """Line breaks, invalid UTF-8 and paths too long for a segment are reported in one sentence; no folder is created."""
    with pytest.raises(ConfigurationError, match=problem) as caught, DataFolder(tmp_path / "base" / name):
        pass
    assert "\n" not in str(caught.value)
    assert str(caught.value).isprintable()
    assert not (tmp_path / "base").exists()


@pytest.mark.parametrize("name", ["d [1]", "a\\tb", "f,g", "q?x#c%20", "dữ liệu", "-x", "~", "$HOME", "📈", " ", "n" * 255])
def test_every_other_name_is_a_folder(tmp_path, name):
    """A name that the file system and the services can use is used unchanged."""
    with DataFolder(tmp_path / name):
        assert (tmp_path / name / LOCK_NAME).exists()


def test_circular_links_are_reported_in_one_sentence(tmp_path):
    """A link to itself, at the end of the path or within it, is reported with its path."""
    (tmp_path / "loop").symlink_to("loop")
    for path in (tmp_path / "loop", tmp_path / "loop" / "below"):
        with pytest.raises(ConfigurationError, match="lead in a circle") as caught:
            DataFolder(path)
        assert str(path) in caught.value.problem
