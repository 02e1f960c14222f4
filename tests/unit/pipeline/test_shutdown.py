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
from pipeline.shutdown import GracefulShutdown
configure_logging(LogSettings())
stopping = GracefulShutdown(seconds=LIMIT)
stopping.listen()
def ready(): print("ready", flush=True)
"""
LOOP = "async def main():\n stop = stopping.event(); ready(); {}\nasyncio.run(main())\n"
PATIENT = "pipeline.shutdown._EXIT_SECONDS = 0.2\n"
THREAD = "threading.Thread(target=time.sleep, args=(600,)).start()"
#: Limits in seconds: one that no clean stop may need, and one that is over soon. A hang lasts longer than the test waits.
LONG, SHORT, PATIENCE = 60.0, 0.5, 150
#: (what the process does, its limit, signals sent, status). A status tells the ways to end apart: an end that its limit forces
#: has status 1, a clean one 0, one by the signal itself 128 + 15.
CASES = {
    "before there is anything to end": ("ready()\ntime.sleep(600)", LONG, 1, 128 + 15),
    "cleanly": (LOOP.format("await stop.wait()"), LONG, 1, 0),
    "an end that hangs": (LOOP.format("await stop.wait(); time.sleep(600)"), SHORT, 1, 1),
    "a loop that hangs": (LOOP.format("time.sleep(600)"), SHORT, 1, 1),
    "twice": (LOOP.format("await stop.wait(); print('stopping', flush=True); time.sleep(600)"), LONG, 2, 128 + 15),
    "a thread that hangs when all is done": (PATIENT + LOOP.format("await stop.wait(); stopping.finish()") + THREAD, LONG, 1, 0),
}

#: The same for a process without an event loop, whose block ends by KeyboardInterrupt.
BLOCK = """
import signal, time
import pipeline.shutdown
try:
 with pipeline.shutdown.CONTEXT:
  print("ready", flush=True)
  time.sleep(600)
except KeyboardInterrupt:
 pass
"""
BLOCKS = {
    "cleanly": ("stopped_by_signals()", signal.SIGTERM),
    "a closing terminal": ("stopped_by_signals()", signal.SIGHUP),
    "without a deadline": ("interrupted_by(signal.SIGTERM)", signal.SIGTERM),
}
#: The end is part of the block: the deadline and the second signal hold until the block has ended.
INSIDE = """
import time
import pipeline.shutdown
pipeline.shutdown.STOP_SECONDS = LIMIT
with pipeline.shutdown.stopped_by_signals():
 try:
  print("ready", flush=True)
  time.sleep(600)
 except KeyboardInterrupt:
  with pipeline.shutdown.signals_deferred():
   print("stopping", flush=True)
   time.sleep(600)
"""
#: pyarrow reads in its C++ code from a file in Python that never answers.
INSIDE_CPP = """
import io, threading, time
import pyarrow
from pipeline.shutdown import leave
reading = threading.Event()
class Silent(io.RawIOBase):
 def readable(self): return True
 def read(self, size=-1):
  reading.set()
  while True: time.sleep(0.0001)
threading.Thread(target=lambda: pyarrow.ipc.open_stream(Silent()), daemon=True).start()
reading.wait()
leave(7)
"""


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
    """A process that ends by itself says why, with the status of its error, also when its clean stop hangs."""
    does = head(SHORT) + "stopping.start_deadline(UnavailableError('Kafka is gone.', remedy='Start it.'))\ntime.sleep(600)"
    ended = subprocess.run([sys.executable, "-c", does], capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert ended.returncode == 2
    assert ended.stderr.endswith("portalpulse: Kafka is gone. Start it.\n")


def test_a_forced_end_says_what_it_waited_for():
    """A process that was asked to end and hangs says so when it is ended, and the log names the line that hangs."""
    does = head(SHORT) + "stopping.start_deadline()\ntime.sleep(600)"
    ended = subprocess.run([sys.executable, "-c", does], capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert ended.returncode == 1
    assert "stop_took_too_long" in ended.stderr
    assert "<string>:13 <module>" in ended.stderr
    assert ended.stderr.endswith("did not stop within 0.5 s. It is ended now.\n")


def test_an_error_after_the_signal_is_told():
    """What goes wrong while an asked-for end hangs is printed at the forced end, with its status."""
    does = head(SHORT) + "stopping.start_deadline()\nstopping.start_deadline(UnavailableError('Kafka is gone.'))\ntime.sleep(600)"
    ended = subprocess.run([sys.executable, "-c", does], capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert ended.returncode == 2
    assert ended.stderr.endswith("portalpulse: Kafka is gone.\n")


def test_a_thread_that_hangs_in_cpp_does_not_abort_the_end():
    """A process with a daemon thread inside C++ code ends with its exit code and without a word."""
    ended = subprocess.run([sys.executable, "-c", INSIDE_CPP], capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert (ended.returncode, ended.stderr) == (7, "")


def stopped(program, *, number, signals):
    """The status of a program that gets one signal when it is ready, and another one while it stops."""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        try:
            for line in ("ready\n", "stopping\n")[:signals]:
                assert process.stdout.readline() == line
                process.send_signal(number)
            return process.wait(timeout=PATIENCE)
        finally:
            process.kill()


@pytest.mark.parametrize(("context", "number"), BLOCKS.values(), ids=BLOCKS)
def test_a_block_ends_as_with_ctrl_c(context, number):
    """A signal ends a block by KeyboardInterrupt, so that its own end runs."""
    assert stopped(BLOCK.replace("CONTEXT", context), number=number, signals=1) == 0


@pytest.mark.parametrize(
    ("limit", "number", "signals", "status"),
    [(SHORT, signal.SIGTERM, 1, 1), (LONG, signal.SIGTERM, 2, 128 + 15), (SHORT, signal.SIGHUP, 2, 1)],
    ids=["a deadline", "twice", "a terminal that closes twice"],
)
def test_a_block_that_hangs_is_ended(limit, number, signals, status):
    """A block that does not end is ended at its deadline, and at once by a second signal; a second SIGHUP waits."""
    assert stopped(INSIDE.replace("LIMIT", str(limit)), number=number, signals=signals) == status
