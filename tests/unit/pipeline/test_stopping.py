"""Ending in time, whatever hangs; each in a process of its own."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

HEAD = """
import asyncio, threading, time
import pipeline.stopping
from pipeline.core.errors import UnavailableError
from pipeline.logs import configure_logging
from pipeline.settings import LogSettings
from pipeline.stopping import Stopping
configure_logging(LogSettings())
stopping = Stopping(seconds=1.0)
stopping.listen()
def ready(): print("ready", flush=True)
"""
LOOP = "async def main():\n stop = stopping.event(); ready(); {}\nasyncio.run(main())\n"
PATIENT = "stopping._seconds, pipeline.stopping._LEAVE_SECONDS = 60.0, 0.2\n"
THREAD = "threading.Thread(target=time.sleep, args=(60,)).start()"
#: (what the process does, signals sent, status, most seconds until it ended)
CASES = {
    "before there is anything to end": ("ready()\ntime.sleep(60)", 1, 128 + 15, 0.9),
    "in order": (LOOP.format("await stop.wait()"), 1, 0, 0.9),
    "an end that hangs": (LOOP.format("await stop.wait(); time.sleep(60)"), 1, 1, 5),
    "a loop that hangs": (LOOP.format("time.sleep(60)"), 1, 1, 5),
    "twice": (LOOP.format("await stop.wait(); print('stopping', flush=True); time.sleep(60)"), 2, 128 + 15, 0.9),
    "a thread that hangs when all is done": (PATIENT + LOOP.format("await stop.wait(); stopping.done()") + THREAD, 1, 0, 5),
}


@pytest.mark.parametrize(("does", "signals", "status", "most"), CASES.values(), ids=CASES)
def test_sigterm(does, signals, status, most):
    """A process that was asked to stop ends within its limit; asked twice, or before it began, at once."""
    with subprocess.Popen([sys.executable, "-c", HEAD + does], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        if signals == 2:
            assert process.stdout.readline() == "stopping\n"
            process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == status
        assert time.monotonic() - began < most


def test_the_reason_is_told_although_the_end_hangs():
    """A process that ends by itself says why, with the status of its error, also when its orderly end never comes."""
    does = HEAD + "stopping.within_limit(UnavailableError('Kafka is gone.', remedy='Start it.'))\ntime.sleep(60)"
    ended = subprocess.run([sys.executable, "-c", does], capture_output=True, text=True, timeout=20, check=False)
    assert ended.returncode == 2
    assert ended.stderr.endswith("portalpulse: Kafka is gone. Start it.\n")
