"""Ending in time, whatever hangs; each in a process of its own."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

HEAD = """
import asyncio, threading, time
import pipeline.shutdown
from domain.errors import UnavailableError
from pipeline.logs import configure_logging
from pipeline.settings import LogSettings
from pipeline.shutdown import Stopping
configure_logging(LogSettings())
stopping = Stopping(seconds=LIMIT)
stopping.listen()
def ready(): print("ready", flush=True)
"""
LOOP = "async def main():\n stop = stopping.event(); ready(); {}\nasyncio.run(main())\n"
PATIENT = "pipeline.shutdown._LEAVE_SECONDS = 0.2\n"
THREAD = "threading.Thread(target=time.sleep, args=(600,)).start()"
#: Limits in seconds: one that no orderly end may need, and one that is over soon. A hang lasts longer than the test waits.
LONG, SHORT, PATIENCE = 60.0, 0.5, 150
#: (what the process does, its limit, signals sent, status). A status tells the ways to end apart: an end that its limit forces
#: has status 1, one in order 0, one by the signal itself 128 + 15.
CASES = {
    "before there is anything to end": ("ready()\ntime.sleep(600)", LONG, 1, 128 + 15),
    "in order": (LOOP.format("await stop.wait()"), LONG, 1, 0),
    "an end that hangs": (LOOP.format("await stop.wait(); time.sleep(600)"), SHORT, 1, 1),
    "a loop that hangs": (LOOP.format("time.sleep(600)"), SHORT, 1, 1),
    "twice": (LOOP.format("await stop.wait(); print('stopping', flush=True); time.sleep(600)"), LONG, 2, 128 + 15),
    "a thread that hangs when all is done": (PATIENT + LOOP.format("await stop.wait(); stopping.done()") + THREAD, LONG, 1, 0),
}


def head(limit):
    """The beginning of the process, with its limit in seconds."""
    return HEAD.replace("LIMIT", str(limit))


@pytest.mark.parametrize(("does", "limit", "signals", "status"), CASES.values(), ids=CASES)
def test_sigterm(does, limit, signals, status):
    """A process that was asked to stop ends within its limit; asked twice, or before it began, at once."""
    with subprocess.Popen([sys.executable, "-c", head(limit) + does], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        if signals == 2:
            assert process.stdout.readline() == "stopping\n"
            process.send_signal(signal.SIGTERM)
        try:
            assert process.wait(timeout=PATIENCE) == status
        finally:
            process.kill()


def test_the_reason_is_told_although_the_end_hangs():
    """A process that ends by itself says why, with the status of its error, also when its orderly end never comes."""
    does = head(SHORT) + "stopping.within_limit(UnavailableError('Kafka is gone.', remedy='Start it.'))\ntime.sleep(600)"
    ended = subprocess.run([sys.executable, "-c", does], capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert ended.returncode == 2
    assert ended.stderr.endswith("portalpulse: Kafka is gone. Start it.\n")


def test_a_forced_end_says_what_it_waited_for():
    """A process that was asked to end and hangs says so when it is ended, and the log names the line that hangs."""
    does = head(SHORT) + "stopping.within_limit()\ntime.sleep(600)"
    ended = subprocess.run([sys.executable, "-c", does], capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert ended.returncode == 1
    assert "stop_took_too_long" in ended.stderr
    assert "<string>:13 <module>" in ended.stderr
    assert ended.stderr.endswith("did not do so in order within 0.5 s: it ends now.\n")


def test_an_error_after_the_signal_is_told():
    """What goes wrong while an asked-for end hangs is printed at the forced end, with its status."""
    does = head(SHORT) + "stopping.within_limit()\nstopping.within_limit(UnavailableError('Kafka is gone.'))\ntime.sleep(600)"
    ended = subprocess.run([sys.executable, "-c", does], capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert ended.returncode == 2
    assert ended.stderr.endswith("portalpulse: Kafka is gone.\n")
