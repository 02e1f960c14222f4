"""What Kafka has of the messages of a chaos run, and when they were created: nothing here knows a client."""

from __future__ import annotations

import time
from bisect import bisect_right
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from bench.chaos.message_choice import ChosenMessage

#: How long it is known when events were created (seconds).
_HISTORY_SECONDS: Final = 900.0


class SentMessages:
    """Written by the thread that sends. Other threads may read; sets of numbers only while nothing is sent.

    Args:
        monotonic: the clock of the history.
    """

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.acknowledged = 0  # repeats included
        self._monotonic = monotonic
        self._stored: set[int] = set()  # identities of the messages that Kafka has
        self._events: set[int] = set()  # the same of events
        self._created: set[int] = set()  # events that Kafka has or will have
        self._history: deque[tuple[float, int]] = deque([(monotonic(), 0)])  # time, events created until then

    @property
    def distinct(self) -> int:
        """Distinct messages that Kafka has: the rows that must be stored."""
        return len(self._stored)

    @property
    def events(self) -> int:
        """Distinct events that Kafka has: what every tier must count."""
        return len(self._events)

    def created(self, message: ChosenMessage) -> None:
        """It is handed to a producer for the first time, or again."""
        self._created.add(message.event)

    def acknowledge(self, message: ChosenMessage) -> None:
        """Kafka has it."""
        self.acknowledged += 1
        self._stored.add(message.identity)
        self._events.add(message.event)

    def mark(self) -> None:
        """Remember how many events are created by now."""
        now = self._monotonic()
        self._history.append((now, len(self._created)))
        while self._history[0][0] < now - _HISTORY_SECONDS:
            self._history.popleft()

    def behind(self, tallied: int) -> float:
        """How long ago ``tallied`` events had been created (seconds): about the age of the oldest event that is not tallied."""
        history = list(self._history)
        index = bisect_right(history, tallied, key=lambda entry: entry[1]) - 1
        return self._monotonic() - history[max(index, 0)][0]

    def created_before(self, moment: float) -> int:
        """Events created until ``moment`` (of the monotonic clock), rounded up to the next mark, acknowledged or not."""
        history = list(self._history)
        return history[min(bisect_right(history, (moment, 1 << 62)), len(history) - 1)][1]

    def identities(self) -> np.ndarray[Any, Any]:
        """``identity`` of every message that Kafka has, ascending."""
        return np.sort(np.fromiter(self._stored, np.uint64, len(self._stored)))
