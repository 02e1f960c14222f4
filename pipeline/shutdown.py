"""Handles SIGTERM, SIGINT and SIGHUP, so that processes end in time: cleanly after the first signal, at once after the second.

``GracefulShutdown`` is for processes with an event loop, ``stopped_by_signals`` and ``interrupted_by`` are for the others.

Signals are read by a thread of their own. A handler in Python waits until the main thread runs Python, and that may be inside a
call to a storage that never answers. The interpreter writes the number of a signal to a file (``signal.set_wakeup_fd``) at once,
whichever thread received it. Blocking signals is not an alternative: threads that libraries start on import do not block them.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Final, NoReturn

from domain.errors import PortalPulseError
from pipeline.logs import get_logger

#: A clean stop takes a second or two; supervisors kill after twenty.
STOP_SECONDS: Final = 18.0
#: How long the interpreter may take to end when all work is done; a thread may still hang in a call.
_EXIT_SECONDS: Final = 3.0
_WORKER_SIGNALS: Final = frozenset({signal.SIGTERM, signal.SIGINT})
_TERMINAL_SIGNALS: Final = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})

log = get_logger("stopping")


class GracefulShutdown:
    """Stops a process with an event loop. Call ``listen`` first, before any other thread starts."""

    def __init__(self, *, seconds: float = STOP_SECONDS) -> None:
        self._seconds = seconds
        self._error: PortalPulseError | None = None
        self._finished = False
        self._target: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None
        self._listener: _SignalListener | None = None

    def listen(self) -> None:
        """Handle SIGTERM and SIGINT from now on. Until ``event`` is called, they end the process at once.

        Raises:
            ValueError: this is not the main thread.
        """
        self._listener = _SignalListener(_WORKER_SIGNALS, self._stop, repeated=_WORKER_SIGNALS)
        for number in _WORKER_SIGNALS:
            signal.signal(number, _noop_handler)

    def event(self) -> asyncio.Event:
        """An event of the running loop that a signal sets to ask the process to stop. The deadline begins with the signal."""
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        self._target = (loop, stop)
        return stop

    def start_deadline(self, error: PortalPulseError | None = None) -> None:
        """Begin the deadline after which the process is killed if it has not ended. ``error``: the reason why it ends."""
        self._error = self._error or error
        self._exit_after(self._seconds)

    def finish(self) -> None:
        """Note that all work is done. If the process does not end soon, because a thread hangs, it is killed with status 0."""
        self._finished = True
        self._exit_after(_EXIT_SECONDS)

    def _stop(self, number: int) -> None:
        target = self._target
        if target is None:
            _exit(128 + number)
        log.info("stop_requested", signal=signal.Signals(number).name)
        self.start_deadline()
        loop, stop = target
        with suppress(RuntimeError):  # the loop has just ended by itself
            loop.call_soon_threadsafe(stop.set)

    def _exit_after(self, seconds: float) -> None:
        def end() -> None:
            if self._finished:
                _exit(0)
            error = self._error
            log.error("stop_took_too_long", seconds=seconds, main_thread=_main_thread_position())
            if threading.main_thread().is_alive():  # otherwise it has printed its error itself
                late = f"The process was asked to stop and did not stop within {seconds:g} s. It is ended now."
                sys.stderr.write(f"portalpulse: {error or late}\n")
            _exit(1 if error is None else error.exit_code)

        _start_timer(seconds, end)


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Within the block SIGTERM and SIGHUP do what Ctrl-C does: they raise KeyboardInterrupt in the main thread.

    The process has ``STOP_SECONDS`` to end after the first signal. A second SIGINT or SIGTERM ends it at once; a second SIGHUP
    does not, because a closing terminal may send two. Child processes need no care: they die with this process.

    Raises:
        ValueError: this is not the main thread.
    """
    deadline: list[threading.Timer] = []
    listener = _SignalListener(
        _TERMINAL_SIGNALS,
        lambda _: deadline.append(_start_timer(STOP_SECONDS, lambda: os._exit(1))),
        repeated=frozenset({signal.SIGINT, signal.SIGTERM}),
    )
    try:
        with interrupted_by(signal.SIGTERM, signal.SIGHUP):
            yield
    finally:
        listener.close()
        for timer in deadline:
            timer.cancel()


@contextmanager
def interrupted_by(*numbers: signal.Signals) -> Iterator[None]:
    """Within the block these signals do what Ctrl-C does: they raise KeyboardInterrupt in the main thread. No deadline begins."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    with _handled(numbers, interrupt):
        yield


@contextmanager
def signals_deferred() -> Iterator[None]:
    """Within the block, for example a clean stop, SIGINT, SIGTERM and SIGHUP interrupt nothing."""
    if threading.current_thread() is not threading.main_thread():  # handlers can only be set and run there
        yield
        return
    with _handled(_TERMINAL_SIGNALS, _noop_handler):
        yield


def leave(code: int) -> NoReturn:
    """End the process with an exit code without ending daemon threads that still run. Output must be flushed before.

    A daemon thread may hang in a library, for example in a call to a storage that never answers. A normal end of the interpreter
    ends the thread when it next asks for the interpreter's lock. Inside C++ code, as that of pyarrow, this aborts the process.
    """
    if any(thread.daemon for thread in threading.enumerate()):
        logging.shutdown()
        _exit(code)
    sys.exit(code)


class _SignalListener:
    """A thread that receives signals, also while the main thread is busy.

    It receives only signals that have a Python handler. It calls ``first`` with the first signal of ``numbers``; after that, a
    signal of ``repeated`` ends the process at once.

    Raises:
        ValueError: this is not the main thread.
    """

    def __init__(self, numbers: frozenset[int], first: Callable[[int], object], *, repeated: frozenset[int]) -> None:
        reader, self._writer = socket.socketpair()
        self._writer.settimeout(0)  # set_wakeup_fd requires that it never blocks
        self._previous = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        threading.Thread(target=_listen, args=[reader, numbers, first, repeated], name="signals", daemon=True).start()

    def close(self) -> None:
        """Stop receiving signals and end the thread."""
        signal.set_wakeup_fd(self._previous)
        self._writer.close()


def _listen(reader: socket.socket, numbers: frozenset[int], first: Callable[[int], object], repeated: frozenset[int]) -> None:
    stopping = False
    with reader:
        while received := reader.recv(64):
            for number in received:
                if stopping and number in repeated:
                    _exit(128 + number)  # as a shell reports a process that a signal ended
                if not stopping and number in numbers:
                    stopping = True
                    first(number)


@contextmanager
def _handled(numbers: tuple[int, ...] | frozenset[int], handler: Callable[[int, FrameType | None], object]) -> Iterator[None]:
    previous = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, before in previous.items():
            signal.signal(number, before)


def _noop_handler(_number: int, _frame: FrameType | None) -> None:
    """Do nothing. The handler exists because ``_SignalListener`` receives only signals that have a Python handler."""


def _start_timer(seconds: float, end: Callable[[], None]) -> threading.Timer:
    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    return timer


def _main_thread_position() -> str:
    """The line of code that the main thread executes, for which the stop waits; "": not known."""
    frame = sys._current_frames().get(threading.main_thread().ident or 0)  # noqa: SLF001 - documented, for debuggers
    return f"{frame.f_code.co_filename}:{frame.f_lineno} {frame.f_code.co_name}" if frame is not None else ""


def _exit(code: int) -> NoReturn:
    sys.stderr.flush()
    os._exit(code)
