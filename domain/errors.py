"""The errors that portalpulse raises.

    PortalPulseError
    |- ConfigurationError    a wrong setting or file, or a missing part; the message says how to fix it (exit code 2)
    |- UnavailableError      a part does not answer; the message says which one and what to do (exit code 2)
    |- InvariantError        something that must never happen; the worker stops to avoid counting wrongly (exit code 1)
    |- DeadLetterLimitError  a worker would dead-letter too many messages; a person has to decide (exit code 3)
    `- ReplacedError         another process joined under the name of this one; a restart would end that one (exit code 4)

``sinks.errors`` has the errors of the storage, named by what follows from them. A rejected message is a value
(``domain.events.Rejection``), not an exception.
"""

from __future__ import annotations

import traceback
from collections.abc import Collection
from pathlib import PurePath
from typing import Final

#: Maximum length of an error text that is stored or logged.
_MAX_TEXT: Final = 300


class PortalPulseError(Exception):
    """Base of the errors that are shown to a user as one sentence instead of a traceback."""

    exit_code = 1

    def __init__(self, problem: str, *, remedy: str = "") -> None:
        if remedy and not problem.endswith((".", "!", "?")):  # often the text of another error
            problem += "."
        super().__init__(problem)
        self.problem = problem
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.problem} {self.remedy}".rstrip()


class ConfigurationError(PortalPulseError):
    """A setting, file or prerequisite is wrong, and the user can correct it."""

    exit_code = 2


class UnavailableError(PortalPulseError):
    """A part of the system cannot be reached or refuses access. It must be started, or access be granted."""

    exit_code = 2


class InvariantError(PortalPulseError):
    """Continuing would break a guarantee. The process stops, and Kafka keeps the events."""


class DeadLetterLimitError(PortalPulseError):
    """Too many consecutive messages, or too large a share of them, would be dead-lettered. A person has to decide."""

    exit_code = 3


class ReplacedError(PortalPulseError):
    """Another process joined under the name of this one. Restarting this one would end the other: a person has to decide."""

    exit_code = 4


#: Errors that stop the worker wherever they are raised. Any other error during the validation of a message dead-letters this
#: message, and validation continues with the next one.
FATAL: Final = (MemoryError, InvariantError)


def describe_error(error: BaseException) -> str:
    """Describe an unexpected error in one line of ASCII: its type, the line of code that raised it, its text. Never raises."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - converting an unknown error to text may fail, too
        text = "its text cannot be read"
    return f"{place_of_error(error)}: {ascii(text[:_MAX_TEXT])[1:-1]}"


def place_of_error(error: BaseException) -> str:
    """The type of an unexpected error and the line of code that raised it. Omits its text, which may quote a message."""
    frames = traceback.extract_tb(error.__traceback__)
    location = f" in {PurePath(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{location}"


def refuse_unknown(what: str, given: Collection[str], known: Collection[str]) -> None:
    """Refuse names that are not known.

    Args:
        what: the word for what is named: parameter, field.
        given: the names to check.
        known: the names that exist.

    Raises:
        ConfigurationError: a given name is not known; the message names it and lists the known ones.
    """
    if unknown := sorted(set(given) - set(known)):
        listed = f"{what.capitalize()}s: {', '.join(sorted(known))}." if known else f"There are no {what}s here."
        raise ConfigurationError(f"There is no {what} {unknown[0][:40]!r}.", remedy=listed)
