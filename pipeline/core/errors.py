"""The tree of errors that portalpulse raises itself.

    PortalPulseError
    |- ConfigurationError    a setting, a file or a missing part; the message carries the remedy (exit code 2)
    |- UnavailableError      a part that should answer does not; the message says which and what to do (exit code 2)
    `- InvariantError        something that must never happen; the worker stops rather than count wrongly (exit code 1)

Errors of the storage are named by consequence in ``sinks.errors``; refused messages are values (``core.events.Refusal``),
not exceptions.
"""


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
