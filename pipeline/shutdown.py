"""Ends this process in time: in order when asked once, at once when asked twice, and never later than a limit.

SIGTERM and SIGINT are acted on by a thread of their own: a handler in Python waits for the main thread, and that may be inside a
call to a storage that never answers. The interpreter writes a signal's number into a pipe at once, whichever thread it came to;
blocking signals would not do, for threads that libraries begin when they are imported do not block them.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final, NoReturn

from domain.errors import PortalPulseError
from pipeline.logs import get_logger

#: An orderly stop takes a second or two; whoever stops processes kills after twenty.
STOP_SECONDS: Final = 18.0
#: What an interpreter gets to end by itself when all is done; a thread may still hang in a call.
_LEAVE_SECONDS: Final = 3.0
_SIGNALS: Final = frozenset({signal.SIGTERM, signal.SIGINT})

log = get_logger("stopping")


class GracefulShutdown:
    """The one place that a long-running process is asked to stop at. ``listen`` first, before any other thread starts."""

    def __init__(self, *, seconds: float = STOP_SECONDS) -> None:
        self._seconds = seconds
        self._asked = False
        self._error: PortalPulseError | None = None
        self._finished = False
        self._target: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None
        self._writing: socket.socket | None = None  # closed with its last reference

    def listen(self) -> None:
        """Take the signals from now on; until ``event`` is called there is nothing to put in order, and they end at once.

        Raises:
            ValueError: this is not the main thread.
        """
        self._writing, _ = follow_signals(self._listen)
        for number in _SIGNALS:
            signal.signal(number, noop_handler)

    def event(self) -> asyncio.Event:
        """An event of the running loop: set when the process is asked to stop, which then has its seconds to do so."""
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        self._target = (loop, stop)
        return stop

    def within_limit(self, error: PortalPulseError | None = None) -> None:
        """The end has begun, because of ``error`` if there is one: whatever hangs from here on does not stop it."""
        self._error = self._error or error
        self._later(self._seconds)

    def done(self) -> None:
        """Everything is in order; what still hangs is a thread that nobody waits for."""
        self._finished = True
        self._later(_LEAVE_SECONDS)

    def _listen(self, reading: socket.socket) -> None:
        while True:
            (number,) = reading.recv(1)
            if number not in _SIGNALS:
                continue
            again, self._asked = self._asked, True
            target = self._target
            if again or target is None:
                _leave(128 + number)  # as a shell reports a process that a signal ended
            log.info("stop_asked_for", signal=signal.Signals(number).name)
            self.within_limit()
            loop, stop = target
            with suppress(RuntimeError):  # the loop has ended by itself in this moment
                loop.call_soon_threadsafe(stop.set)

    def _later(self, seconds: float) -> None:
        def end() -> None:
            if self._finished:
                _leave(0)
            error = self._error
            log.error("stop_took_too_long", seconds=seconds, main_thread=_main_thread_place())
            if threading.main_thread().is_alive():  # otherwise it has printed its error itself
                late = f"The process was asked to end and did not do so in order within {seconds:g} s: it ends now."
                sys.stderr.write(f"portalpulse: {error or late}\n")
            _leave(1 if error is None else error.exit_code)

        timer = threading.Timer(seconds, end)
        timer.daemon = True
        timer.start()


def _main_thread_place() -> str:
    """Where the main thread stands: what the end waits for."""
    frame = sys._current_frames().get(threading.main_thread().ident or 0)  # noqa: SLF001 - documented, for debuggers
    return f"{frame.f_code.co_filename}:{frame.f_lineno} {frame.f_code.co_name}" if frame is not None else ""


def follow_signals(follow: Callable[[socket.socket], None]) -> tuple[socket.socket, int]:
    """Let ``follow`` read, in a thread of its own, the number of every signal that has a handler, whatever the main thread does.

    Returns:
        The end that the interpreter writes to, to be kept, and the file that it wrote to before.

    Raises:
        ValueError: this is not the main thread.
    """
    reading, writing = socket.socketpair()
    writing.settimeout(0)  # the interpreter wants it never to block
    threading.Thread(target=follow, args=[reading], name="signals", daemon=True).start()
    return writing, signal.set_wakeup_fd(writing.fileno(), warn_on_full_buffer=False)


def noop_handler(_number: int, _frame: object) -> None:
    """A handler that does nothing: without one, or ignored, a signal's number would be written nowhere."""


def _leave(code: int) -> NoReturn:
    sys.stderr.flush()
    os._exit(code)
