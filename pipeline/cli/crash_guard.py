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
from collections.abc import Set as AbstractSet
from contextlib import suppress
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
    """Run ``run`` in a child process; return its exit code, in the parent and in the child.

    Services run in this process, without a child: their supervisor watches, measures and signals this process.

    Args:
        run: runs the command line.
        arguments: the arguments of the command line.
    """
    if not arguments or arguments[0] in SERVICES:
        return run()
    crash_note.share()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # a caller that ignores it would take the status away
    # Signals that are ignored, as `nohup` and the shell's `&` leave them, stay so.
    heard = {number for number in (*_PASSED_ON, signal.SIGTSTP) if signal.getsignal(number) is not signal.SIG_IGN}
    heard.add(signal.SIGCHLD)
    child, status = None, 0
    previous = signal.pthread_sigmask(signal.SIG_BLOCK, heard)
    try:
        with suppress(OSError):  # no further process is allowed: the command runs in this one
            child = os.fork()
        if child:
            status = _ended(child, heard)
        elif child == 0:
            os.setsid()
            _end_with_parent()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)
    return _outcome(status) if child else run()


def _end_with_parent() -> None:
    parent = os.getppid()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if parent == 1 or os.getppid() != parent:
        os._exit(1)


def _ended(child: int, heard: AbstractSet[signal.Signals]) -> int:
    """Pass signals on to the child until it has ended; return its wait status (``os.waitpid``).

    The signals are blocked and waited for. A handler would run only when a system call returns, so one that comes just before
    this process begins to wait for the child would be heard with the next signal, or never.
    """
    while True:
        number = signal.sigwait(heard)
        if number == signal.SIGCHLD:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                return status
            continue  # it was stopped or continued
        with suppress(ProcessLookupError):
            if number == signal.SIGTSTP:
                os.killpg(child, signal.SIGSTOP)
                os.kill(os.getpid(), signal.SIGSTOP)  # returns when this process is continued
                os.killpg(child, signal.SIGCONT)
            else:
                os.kill(child, number)


def _outcome(ended: int) -> int:
    """The exit code of the child. If a signal that somebody sent ended the child, this process ends itself with it."""
    status = os.waitstatus_to_exitcode(ended)
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
    """The error for the signal that ended a command; None when somebody sent the signal."""
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
