"""Runs a command in a process of its own, so that a library that breaks down ends with one sentence and not with a signal.

librdkafka, written in C, ends its process over answers that no broker gives, and takes no advice. Nothing in the same process can
prevent that: memory may be damaged by then. So the command runs in a child, and this process waits for it, passes signals on, and
says what happened.

The child has a session of its own: a signal to the process group, as Ctrl-C in a terminal, reaches this process alone, and
is passed on once.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import FrameType
from typing import Final

from domain.errors import ConfigurationError, PortalPulseError, UnavailableError
from pipeline import crash_note

#: Commands that run until they are stopped, under a supervisor; ``up`` and its like are one.
SERVICES: Final = frozenset({"worker", "exporter", "relay", "watchdog", "up", "demo", "seeds", "rehearse"})
#: Signals with which a process ends because of what a library does.
_BREAKDOWNS: Final = frozenset({signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL})
_PASSED_ON: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
#: From linux/prctl.h: deliver a signal to this process when its parent ends.
_PR_SET_PDEATHSIG: Final = 1


def run_guarded(run: Callable[[], int], arguments: Sequence[str]) -> int:
    """The exit code of ``run``, which runs in a child of this process; returns in both.

    Services run in this process: what supervises them looks at it, measures it and sends signals to it.

    Args:
        run: runs the command line.
        arguments: of the command line.
    """
    if not arguments or arguments[0] in SERVICES:
        return run()
    crash_note.share()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # a caller that ignores it would take the status away
    previous = signal.pthread_sigmask(signal.SIG_BLOCK, (*_PASSED_ON, signal.SIGTSTP))
    try:
        try:
            child = os.fork()
        except OSError:  # no further process is allowed
            return run()
        if child:
            _pass_signals_on(child)
        else:
            os.setsid()
            _end_with_parent()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)
    return _outcome(child) if child else run()


def _end_with_parent() -> None:
    parent = os.getppid()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if parent == 1 or os.getppid() != parent:
        os._exit(1)


def _pass_signals_on(child: int) -> None:
    def pass_on(number: int, _frame: FrameType | None) -> None:
        with suppress(ProcessLookupError):
            os.kill(child, number)

    def suspend(_number: int, _frame: FrameType | None) -> None:
        with suppress(ProcessLookupError):
            os.killpg(child, signal.SIGSTOP)
            os.kill(os.getpid(), signal.SIGSTOP)  # returns when this process is continued
            os.killpg(child, signal.SIGCONT)

    for number, handler in (*((number, pass_on) for number in _PASSED_ON), (signal.SIGTSTP, suspend)):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as `nohup` and the shell's `&` leave them
            signal.signal(number, handler)


def _outcome(child: int) -> int:
    """The exit code of the child; a signal that ends it, and that somebody sent, ends this process, too."""
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status >= 0:
        return status
    number = signal.Signals(-status) if -status in set(signal.Signals) else -status
    error = _error(number)
    if error is None:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        return 128 + number
    with suppress(OSError, ValueError, AttributeError):
        sys.stderr.write(f"portalpulse: {error}\n")
        sys.stderr.flush()
    return error.exit_code


def _error(number: int) -> PortalPulseError | None:
    """What a signal that ended a command means; None: somebody sent it."""
    if number == signal.SIGKILL:
        return ConfigurationError(
            "The command was killed (SIGKILL); the system does that when memory runs out.",
            remedy="Free memory, or raise the limit of this container or session.",
        )
    if number not in _BREAKDOWNS:
        return None
    name, (brokers, named_by) = signal.Signals(number).name, crash_note.read()
    if not brokers:
        return PortalPulseError(
            f"A library that this command uses broke down ({name}).", remedy="This is a fault of it or of portalpulse: report it."
        )
    return UnavailableError(
        f"A library broke down ({name}) while this command used Kafka at {brokers}. Some answers that no broker gives do that.",
        remedy=f"Correct {named_by}; see whether a proxy is in between. If they are brokers, report this.",
    )
