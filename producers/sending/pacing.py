"""Decides how many messages of a stream are due, at a target rate that may change over time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

#: A message that is due sooner than this is due now (seconds).
AT_ONCE: Final = 1e-4


class Pacer:
    """Gives each message of a stream a due time, in seconds after the start.

    Late messages are sent at once, so that the mean rate holds, but never more than those of ``max_catch_up`` seconds: after a
    long stall of the broker the stream continues at its rate instead of flooding the topic.

    Args:
        rate: the target rate in messages a second; read again for each message.
        max_catch_up: how many seconds of late messages are sent at once.

    Attributes:
        next_due: when the next message is due; the first one is due at once.
    """

    def __init__(self, rate: Callable[[], float], *, max_catch_up: float = 1.0) -> None:
        self._rate = rate
        self._max_catch_up = max_catch_up
        self.next_due = 0.0

    def take(self, elapsed: float, *, limit: int) -> int:
        """How many messages are due ``elapsed`` seconds after the start, at most ``limit``.

        These messages count as sent from now on.
        """
        self.next_due = max(self.next_due, elapsed - self._max_catch_up)
        count = 0
        while count < limit and self.next_due <= elapsed + AT_ONCE:
            self.next_due += 1.0 / self._rate()
            count += 1
        return count
