"""How the stack in the foreground ends when it is asked to: in order, within a limit, and at once when asked again.

The signals are also seen by a thread, through the file that the interpreter writes their numbers to: a handler waits until the
main thread runs Python, and that may be inside a call that takes long. Children need no care here: they die with this process.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from pipeline.shutdown import STOP_SECONDS, follow_signals, noop_handler

_ALL = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
#: A closing terminal sends SIGHUP, and sometimes twice; nobody is impatient then.
_IMPATIENT = frozenset({signal.SIGINT, signal.SIGTERM})


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP end the block like Ctrl-C does: by KeyboardInterrupt in the main thread.

    From the first signal on the process has ``STOP_SECONDS`` to end; the second SIGINT or SIGTERM ends it at once.
    """

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    writer, before_file = follow_signals(_follow)
    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(before_file)
        writer.close()


@contextmanager
def signals_deferred() -> Iterator[None]:
    """Signals that ask for the end interrupt nothing while the end is being made."""
    if threading.current_thread() is not threading.main_thread():  # only there may handlers be set, only there they run
        yield
        return
    before = {number: signal.signal(number, noop_handler) for number in _ALL}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _follow(reader: socket.socket) -> None:
    """Runs beside the block and ends with it."""
    limit: threading.Timer | None = None
    with reader:
        while numbers := reader.recv(64):
            for number in numbers:
                if limit is None and number in _ALL:
                    limit = threading.Timer(STOP_SECONDS, os._exit, (1,))
                    limit.daemon = True
                    limit.start()
                elif limit is not None and number in _IMPATIENT:
                    os._exit(128 + number)
    if limit is not None:
        limit.cancel()
