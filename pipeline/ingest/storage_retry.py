"""Repeats calls to the storage while it is unavailable, without a time limit. Every other error is raised."""

from __future__ import annotations

import datetime as dt
import itertools
import threading
from collections.abc import Callable
from typing import Final, TypeVar

import stamina

from domain.clock import Clock
from sinks.errors import Retryable

T = TypeVar("T")

#: Pauses double from the one that the error asks for. Growth stops here (seconds); the pause of a code may be longer.
BACKOFF_LIMIT: Final = 2.0


class StorageRetry:
    """Repeats calls while they raise ``Retryable``, and records since when the storage is unavailable. Thread-safe.

    Memory does not grow while a call waits: bounded queues stop the fetching. Nothing is acknowledged meanwhile.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._waiting = 0
        #: When the first of the calls that are waiting now failed; None while the storage answers.
        self.unavailable_since: dt.datetime | None = None

    def __call__(self, action: Callable[[], T]) -> T:
        """Run ``action`` until it returns, or raises an error other than ``Retryable``, with growing pauses in between."""
        waiting = False
        repetitions = itertools.count()

        def pause(error: Exception) -> float | bool:
            return pause_before(next(repetitions), error.retry_after) if isinstance(error, Retryable) else False

        try:
            for attempt in stamina.retry_context(on=pause, attempts=None, timeout=None):
                with attempt:
                    try:
                        return action()
                    except Retryable:
                        if not waiting:
                            waiting = True
                            self._begin()
                        raise
            raise AssertionError  # the loop ends by returning or raising
        finally:
            if waiting:
                self._end()

    def _begin(self) -> None:
        with self._lock:
            self._waiting += 1
            if self.unavailable_since is None:
                self.unavailable_since = self._clock.now()

    def _end(self) -> None:
        with self._lock:
            self._waiting -= 1
            if self._waiting == 0:
                self.unavailable_since = None


def pause_before(repetition: int, retry_after: float) -> float:
    """Seconds to wait before a repetition (number 0 is the first): doubled each time up to ``BACKOFF_LIMIT``.

    The first pause is ``retry_after``, and no pause is shorter.
    """
    return max(retry_after, min(BACKOFF_LIMIT, retry_after * 2.0 ** min(repetition, 32)))
