"""The tree of errors that portalpulse raises itself.

    PortalPulseError
    |- ConfigurationError    a setting, a file or a missing part; the message carries the remedy (exit code 2)
    |- UnavailableError      a part that should answer does not; the message says which and what to do (exit code 2)
    |- InvariantError        something that must never happen; the worker stops rather than count wrongly (exit code 1)
    `- DeadLetterLimitError  a worker would set too much aside; a person has to decide (exit code 3)

Errors of the storage are named by consequence in ``sinks.errors``; refused messages are values (``domain.events.Rejection``),
not exceptions.
"""

from __future__ import annotations

import traceback
from pathlib import PurePath
from typing import Final

#: An error text that is stored or logged is cut after so many characters.
_LONGEST: Final = 300


class PortalPulseError(Exception):
    """Base of every error that a user sees as one sentence instead of a traceback."""

    exit_code = 1

    def __init__(self, problem: str, *, remedy: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.problem} {self.remedy}".rstrip()


class ConfigurationError(PortalPulseError):
    """A setting, file or prerequisite is wrong; the user can mend it."""

    exit_code = 2


class UnavailableError(PortalPulseError):
    """A part of the system cannot be reached or refuses us; starting it or granting access mends it."""

    exit_code = 2


class InvariantError(PortalPulseError):
    """A guarantee would be broken by going on; the process stops and Kafka keeps the events."""


class DeadLetterLimitError(PortalPulseError):
    """Too many messages in a row, or too large a share of them, would be set aside: a person has to decide (exit code 3)."""

    exit_code = 3


#: Errors that stop the worker wherever they are raised. Any other error while one message is judged is a fault that this
#: message brought to light: the message is set aside and the next one is judged.
FATAL: Final = (MemoryError, InvariantError)


def where_and_what(error: BaseException) -> str:
    """An unforeseen error in one line of ASCII: its type, the line of code that raised it, its text. Never raises."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" in {PurePath(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - the text of an error that nobody foresaw may be broken, too
        text = "its text cannot be read"
    return f"{type(error).__name__}{place}: {ascii(text[:_LONGEST])[1:-1]}"
