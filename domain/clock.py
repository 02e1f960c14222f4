"""Clocks, which are passed to everything that needs the present, so that live data, scenarios and tests run the same code."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Final, Protocol

from domain.errors import ConfigurationError
from domain.periods import FIRST_DAY, FIRST_INSTANT, LAST_DAY, LAST_INSTANT, parse_instant

#: Longest text that a sentence repeats (characters).
_LONGEST: Final = 60


class Clock(Protocol):
    """Returns the present. Civil days are computed by ``domain.periods``."""

    def now(self) -> dt.datetime:
        """The present as an aware UTC datetime."""
        ...


class SystemClock:
    """The clock of the machine."""

    def now(self) -> dt.datetime:
        """The present as an aware UTC datetime."""
        return dt.datetime.now(dt.UTC)


@dataclass(frozen=True, slots=True)
class ScenarioClock:
    """A clock that always returns one instant: the time of a scenario's published figures."""

    instant: dt.datetime

    def now(self) -> dt.datetime:
        """The scenario's instant as an aware UTC datetime."""
        return self.instant.astimezone(dt.UTC)


@dataclass(slots=True)
class ManualClock:
    """A clock that a test sets and advances."""

    instant: dt.datetime

    def now(self) -> dt.datetime:
        """The current instant of the test, as an aware UTC datetime."""
        return self.instant.astimezone(dt.UTC)

    def advance(self, seconds: float) -> None:
        """Move the clock forward by ``seconds``."""
        self.instant += dt.timedelta(seconds=seconds)


def parse_clock(text: str) -> Clock:
    """The clock that a setting names: ``system``, or an RFC 3339 instant with an offset, e.g. ``2024-08-20T23:59:59+07:00``.

    Raises:
        ConfigurationError: ``text`` is neither, or the instant is outside of the days that events may have.
    """
    if text == "system":
        return SystemClock()
    try:
        instant = parse_instant(text)
    except ValueError:
        instant = None
    if instant is None or instant.tzinfo is None:
        raise ConfigurationError(
            f"The clock {text[:_LONGEST]!r} is neither 'system' nor a time with an offset.",
            remedy="Write for example PORTALPULSE_CLOCK=2024-08-20T23:59:59+07:00.",
        )
    if not FIRST_INSTANT <= instant <= LAST_INSTANT:
        raise ConfigurationError(
            f"The clock {text[:_LONGEST]!r} is outside of the days that can be counted.",
            remedy=f"Set PORTALPULSE_CLOCK= to a time from {FIRST_DAY} to {LAST_DAY} in Viet Nam.",
        )
    return ScenarioClock(instant)
