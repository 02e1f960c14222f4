"""Benchmarks leave nothing behind: no folder, no process, no partly installed environment."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading

import pytest

from bench import environment
from bench.folder import temporary_folder
from bench.measure import paced_sender, running
from deploy.native.processes import ChildProcess

SLEEPS = "import time; time.sleep(600)"
#: A command of the benchmark that has created a folder and works.
WORKS = """
import sys, time
from pathlib import Path
import bench.__main__
from bench.folder import temporary_folder
def command():
    with temporary_folder("work-", parent=Path(sys.argv[1])) as folder:
        print(folder, flush=True)
        time.sleep(600)
bench.__main__.create_app = lambda: command
bench.__main__.main()
"""


@pytest.fixture
def work(tmp_path):
    """Start a command; it is killed at the end."""
    started = []

    def start():
        process = subprocess.Popen([sys.executable, "-c", WORKS, tmp_path], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        started.append(process)
        process.stdout.readline()
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def fail_within(manager, meanwhile):
    """Raise RuntimeError in the context, after ``meanwhile`` got its value."""
    with manager as given:
        meanwhile(given)
        raise RuntimeError


def test_a_folder_is_removed_at_the_end(tmp_path):
    """With everything in it, also after a failure."""
    with pytest.raises(RuntimeError):
        fail_within(temporary_folder("work-", parent=tmp_path), lambda folder: (folder / "data").mkdir())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_command_that_is_ended_removes_its_folder(work, tmp_path, number):
    """A signal stops the command cleanly."""
    process = work()
    assert len(list(tmp_path.iterdir())) == 1
    process.send_signal(number)
    status = process.wait(120)
    assert list(tmp_path.iterdir()) == [], status


def test_the_folder_of_a_killed_command_is_removed_by_the_next(work, tmp_path):
    """The folder of a running command is kept."""
    killed, at_work = work(), work()
    assert len(list(tmp_path.iterdir())) == 2
    killed.kill()
    killed.wait()
    with temporary_folder("work-", parent=tmp_path) as mine:
        assert len(list(tmp_path.iterdir())) == 2
        assert mine.exists()
    assert at_work.poll() is None
    assert len(list(tmp_path.iterdir())) == 1


def test_a_program_does_not_outlive_a_failure(tmp_path):
    """A measured worker is stopped when the measurement fails."""
    child = ChildProcess("sleeper", [sys.executable, "-c", SLEEPS], log=tmp_path / "log")
    alive = []
    with pytest.raises(RuntimeError):
        fail_within(running(child), lambda child: alive.append(child.running))
    assert (alive, child.running) == ([True], False)


def test_a_sender_does_not_outlive_a_failure(tmp_path):
    """The same for the process that sends."""
    sending = paced_sender(bootstrap="127.0.0.1:1", topic="t", rate=1, seconds=600, notes=tmp_path / "notes")
    senders = []
    with pytest.raises(RuntimeError):
        fail_within(sending, senders.append)
    assert senders[0].returncode == -signal.SIGKILL


def test_the_peers_are_installed_by_one_at_a_time(tmp_path, monkeypatch):
    """Two benchmarks that start together install the peers one after the other, so neither removes files of the other."""
    inside, together, second_came = [], [], threading.Event()

    def install():
        inside.append(1)
        together.append(len(inside))
        if len(together) == 2:
            second_came.set()
        second_came.wait(1.0)  # it cannot come while the first is here
        inside.pop()

    monkeypatch.setattr(environment, "VENV", tmp_path / "cache" / "venv")
    monkeypatch.setattr(environment, "_installed", install)
    threads = [threading.Thread(target=environment.peers_python) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == [1, 1]
