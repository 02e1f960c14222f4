"""Children are supervised: logged, stopped by id, never left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import psutil
import pytest

from deploy.native.processes import ChildProcess, stop_all, wait_until
from deploy.native.programs import PROJECT
from domain.errors import UnavailableError

SLEEPER = "import time; print('ready', flush=True); time.sleep(600)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEPER}"
WITH_GRANDCHILD = (
    "import subprocess, sys, time; child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']);"
    " print('grandchild', child.pid, flush=True); time.sleep(600)"
)


def child(tmp_path, code, name="child"):
    """A child that runs ``code`` in Python."""
    return ChildProcess(name, [sys.executable, "-c", code], log=tmp_path / "logs" / f"{name}.log")


def started(process):
    """The same child, once it has written its first line."""
    process.start()
    wait_until(lambda: process.log_tail(1), timeout=30, what="the first line", children=[process])
    return process


def gone(pid):
    """Whether the process has ended."""
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


@pytest.fixture
def sleeper(tmp_path):
    """A running child that ends on SIGTERM."""
    process = started(child(tmp_path, SLEEPER))
    yield process
    process.kill()


def test_a_child_writes_its_log_and_ends_on_sigterm(sleeper):
    """Output goes to the log file; SIGTERM ends a usual child, and its end is known."""
    assert sleeper.log.read_text() == "ready\n"
    assert sleeper.running
    assert sleeper.pid is not None
    sleeper.stop()
    assert (sleeper.running, sleeper.pid, sleeper.exit_code) == (False, None, -signal.SIGTERM)


def test_a_child_that_ignores_sigterm_is_killed_after_its_grace(tmp_path):
    """It gets SIGKILL, but not before its grace is over."""
    process = started(child(tmp_path, STUBBORN))
    begun = time.monotonic()
    process.stop(grace=0.5)
    assert time.monotonic() - begun >= 0.5
    assert process.exit_code == -signal.SIGKILL


def test_several_children_share_one_grace(tmp_path):
    """Stopping several children that ignore SIGTERM takes one grace, not one each."""
    processes = [started(child(tmp_path, STUBBORN, name=f"child-{number}")) for number in range(9)]
    begun = time.monotonic()
    stop_all(processes, grace=1.5)
    assert time.monotonic() - begun < 9 * 1.5
    assert not any(process.running for process in processes)


def test_stopping_reaches_the_whole_group_and_nothing_else(tmp_path, sleeper):
    """Processes in the group of the child end with it; other children keep running."""
    process = started(child(tmp_path, WITH_GRANDCHILD, name="parent"))
    grandchild = int(process.log_tail(1).split()[1])
    process.stop(grace=2.0)
    wait_until(lambda: gone(grandchild), timeout=60, what="the grandchild to end")
    assert sleeper.running


def test_a_suspended_child_can_be_stopped(sleeper):
    """A stop also ends a child after SIGSTOP."""
    sleeper.suspend()
    wait_until(lambda: psutil.Process(sleeper.pid).status() == psutil.STATUS_STOPPED, timeout=60, what="the pause")
    sleeper.stop()
    assert sleeper.exit_code == -signal.SIGTERM


def test_stopping_twice_or_before_the_start_is_harmless(tmp_path):
    """``stop`` and ``kill`` may be called at any time."""
    process = child(tmp_path, SLEEPER)
    process.stop()
    process.start()
    process.kill()
    process.kill()
    process.stop()
    assert process.exit_code == -signal.SIGKILL


def test_a_stopped_child_can_start_again_with_a_log_of_both_runs(sleeper):
    """A second start appends to the log, and the tail is of the second run only."""
    sleeper.stop()
    started(sleeper)
    assert sleeper.running
    assert sleeper.log.read_text() == "ready\nready\n"
    assert sleeper.log_tail() == "ready"


def test_a_running_child_is_not_started_twice(sleeper):
    """A second start would lose track of the first process."""
    with pytest.raises(UnavailableError, match="already running"):
        sleeper.start()


@pytest.mark.parametrize("fatal", [signal.SIGKILL, signal.SIGTERM])
def test_children_die_with_their_parent(tmp_path, fatal):
    """Also after kill -9 of the parent no child is left."""
    code = (
        "import sys, time; from pathlib import Path; from deploy.native.processes import ChildProcess\n"
        f"process = ChildProcess('c', [sys.executable, '-c', {SLEEPER!r}], log=Path({str(tmp_path / 'child.log')!r}))\n"
        "process.start(); print(process.pid, flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=PROJECT, stdout=subprocess.PIPE, text=True) as parent:
        pid = int(parent.stdout.readline())
        assert psutil.pid_exists(pid)
        os.kill(parent.pid, fatal)
    wait_until(lambda: gone(pid), timeout=60, what="the child to die")


def test_children_outlive_the_thread_that_started_them(tmp_path):
    """The kernel ties a child to the forking thread, which must not be a short-lived thread of a caller."""
    process = child(tmp_path, SLEEPER)
    thread = threading.Thread(target=process.start)
    thread.start()
    thread.join()
    wait_until(lambda: process.log_tail(1), timeout=30, what="the first line", children=[process])
    assert process.running
    process.kill()


def test_waiting_for_a_child_that_ended_fails_at_once(tmp_path):
    """The error has the exit code, the last lines of the log and its path."""
    process = child(tmp_path, "import sys; print('one'); print('port in use', file=sys.stderr); sys.exit(3)", name="Broker")
    process.start()
    begun = time.monotonic()
    with pytest.raises(UnavailableError, match=r"Broker ended \(exit code 3\)") as caught:
        wait_until(lambda: False, timeout=60, what="Broker to answer", children=[process])
    assert time.monotonic() - begun < 30
    assert "port in use" in caught.value.problem
    assert str(process.log) in caught.value.remedy


def test_a_program_that_does_not_exist_is_reported(tmp_path):
    """A missing program is an error with its name, not a traceback."""
    process = ChildProcess("Broker", [tmp_path / "no-such-program"], log=tmp_path / "broker.log")
    process.start()
    with pytest.raises(UnavailableError, match="no-such-program cannot be started"):
        wait_until(lambda: False, timeout=30, what="Broker", children=[process])


def test_a_timeout_names_the_condition(sleeper):
    """The wait ends at the deadline, and the error names the condition and the log."""
    with pytest.raises(UnavailableError, match=r"Timed out after 0\.2 s waiting for the moon") as caught:
        wait_until(lambda: False, timeout=0.2, what="the moon", children=[sleeper])
    assert str(sleeper.log) in str(caught.value)


def test_an_unwritable_log_is_our_error(tmp_path):
    """A log that cannot be written is reported before anything is started."""
    (tmp_path / "logs").write_text("a file where the folder should be")
    with pytest.raises(UnavailableError, match="log file of child"):
        child(tmp_path, SLEEPER).start()
