"""Sends at a wanted rate: each message has a due time on an injected monotonic clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

#: Shorter waits than this are not worth a system call (seconds): the next messages go out together instead.
_SHORTEST_WAIT: Final = 0.002


class Pacer:
    """Holds a stream to a rate that may change over time.

    Messages that could not be sent in time are caught up, so that the mean rate holds, but never more than
    ``most_catching_up`` seconds of them: after a long stall of the broker the stream goes on at its rate instead of flooding.

    Args:
        rate: messages a second at this moment; read again whenever a message is due.
        monotonic: seconds of a clock that never goes back.
        sleep: waits for so many seconds.
        most_catching_up: seconds of missed messages that are sent without a pause.
    """

    def __init__(
        self,
        rate: Callable[[], float],
        *,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        most_catching_up: float = 1.0,
    ) -> None:
        self._rate = rate
        self._monotonic = monotonic
        self._sleep = sleep
        self._most_catching_up = most_catching_up
        self._due: float | None = None

    def wait(self, *, until: float | None = None) -> bool:
        """Return when the next message is due; the first one is due at once.

        With ``until`` (a reading of the monotonic clock), return False then when no message is due before it.
        """
        now = self._monotonic()
        if self._due is None:
            self._due = now
        if until is not None and max(self._due, now) >= until:
            if until > now:
                self._sleep(until - now)
            return False
        if self._due - now >= _SHORTEST_WAIT:
            self._sleep(self._due - now)
        elif now - self._due > self._most_catching_up:
            self._due = now - self._most_catching_up
        self._due += 1.0 / self._rate()
        return True


class Unpaced:
    """As fast as the writer takes them (``--rate max``)."""

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic

    def wait(self, *, until: float | None = None) -> bool:
        """Return at once; False from ``until`` on."""
        return until is None or self._monotonic() < until


def paced(rate: float | None) -> Pacer | Unpaced:
    """A pacer for ``rate`` messages a second on the system's clock; None: as fast as possible."""
    return Unpaced() if rate is None else Pacer(lambda: rate)
