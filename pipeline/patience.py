"""Waiting for the storage: the same call again while it is away, for as long as it takes; everything else is passed on."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable
from typing import TypeVar

import stamina

from pipeline.core.clock import Clock
from sinks.errors import Retryable

T = TypeVar("T")


class Patience:
    """Repeats calls while they raise ``Retryable``, and knows since when the storage is away. Thread-safe.

    Nothing is acknowledged meanwhile and the bounded queues stop the fetching, so waiting costs no memory.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._guard = threading.Lock()
        self._waiting = 0
        #: When the first of the calls that are waiting now failed; None while the storage answers.
        self.away_since: dt.datetime | None = None

    def __call__(self, action: Callable[[], T]) -> T:
        """Run ``action`` until it returns or raises something else, with the pause that each error asks for."""
        waiting = False
        try:
            for attempt in stamina.retry_context(on=_pause, attempts=None, timeout=None):
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
        with self._guard:
            self._waiting += 1
            if self.away_since is None:
                self.away_since = self._clock.now()

    def _end(self) -> None:
        with self._guard:
            self._waiting -= 1
            if self._waiting == 0:
                self.away_since = None


def _pause(error: Exception) -> float | bool:
    return error.retry_after if isinstance(error, Retryable) else False
