"""One computation at a time for everybody who asks: the callers that wait share its answer.

A scrape or a probe that gave up cannot be taken back from the storage. Without this every impatient caller adds one more
computation to the queue, and the queue feeds itself.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

T = TypeVar("T")

#: A caller joins a running computation only when it began at most this long before the call (seconds). Long enough for a
#: computation that outlasts the patience of one scrape to answer the next one.
_JOIN_SECONDS: Final = 10.0


class TooManyWaitingError(Exception):
    """So many callers wait already that one more is turned away."""


@dataclass(slots=True)
class _Run(Generic[T]):
    began: float
    task: asyncio.Future[T]


class SingleFlight(Generic[T]):
    """Shares one computation among its callers. Belongs to one event loop.

    Args:
        compute: starts the computation; it goes on when its callers are gone.
        most_waiting: callers that may wait at the same time.
        join_seconds: the greatest age of a running computation that a new caller may join. An older one is waited for, and
            the next one answers.
        monotonic: a clock that never goes back (seconds).
    """

    def __init__(
        self,
        compute: Callable[[], Awaitable[T]],
        *,
        most_waiting: int,
        join_seconds: float = _JOIN_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._compute, self._most_waiting, self._join_seconds, self._monotonic = compute, most_waiting, join_seconds, monotonic
        self._run: _Run[T] | None = None
        self._waiting = 0

    async def get(self, *, within: float) -> T:
        """The answer of a computation that runs or begins while the caller waits.

        Raises:
            TooManyWaitingError: too many callers wait.
            TimeoutError: there is no answer after ``within`` seconds. The computation goes on.
        """
        if self._waiting >= self._most_waiting:
            raise TooManyWaitingError
        self._waiting += 1
        try:
            async with asyncio.timeout(within):
                return await self._answer(asked=self._monotonic())
        finally:
            self._waiting -= 1

    async def _answer(self, *, asked: float) -> T:
        while (run := self._run) is not None and not run.task.done():
            if run.began >= asked - self._join_seconds:
                break
            await asyncio.wait({run.task})
        else:
            # A caller that gave up never comes here: nothing is computed for it.
            run = self._run = _Run(self._monotonic(), asyncio.ensure_future(self._compute()))
            run.task.add_done_callback(_looked_at)
        return await asyncio.shield(run.task)


def _looked_at(task: asyncio.Future[T]) -> None:
    """Take note of an error that no caller is left to hear."""
    if not task.cancelled():
        task.exception()
