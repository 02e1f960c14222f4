"""Shares one running computation among concurrent callers.

A read of the storage cannot be cancelled when its scrape or probe gives up. Without sharing, every caller that retries would add
another read to the queue, and the queue would never drain.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

T = TypeVar("T")

#: A caller joins a running computation that is at most this old (seconds). Long enough for a computation that outlasts the
#: timeout of one scrape to answer the next one.
_JOIN_SECONDS: Final = 10.0


class TooManyWaitingError(Exception):
    """A call was refused, because as many callers as allowed wait already."""


@dataclass(slots=True)
class _Run(Generic[T]):
    began: float
    task: asyncio.Future[T]


class SingleFlight(Generic[T]):
    """Runs one computation at a time and shares its result. Belongs to one event loop.

    Args:
        compute: starts the computation; it continues when its callers are gone.
        max_waiting: callers that may wait at the same time.
        join_seconds: greatest age of a running computation that a new caller may join. When the running computation is older,
            the caller waits until it ends, and gets the result of the next computation.
        monotonic: a monotonic clock (seconds).
    """

    def __init__(
        self,
        compute: Callable[[], Awaitable[T]],
        *,
        max_waiting: int,
        join_seconds: float = _JOIN_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._compute, self._max_waiting, self._join_seconds, self._monotonic = compute, max_waiting, join_seconds, monotonic
        self._run: _Run[T] | None = None
        self._waiting = 0

    async def get(self, *, within: float) -> T:
        """Return the result of a running or new computation, or raise its error.

        Raises:
            TooManyWaitingError: too many callers wait.
            TimeoutError: there is no result after ``within`` seconds. The computation continues.
        """
        if self._waiting >= self._max_waiting:
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
            # A caller that gave up does not get here, so nothing is computed for it.
            run = self._run = _Run(self._monotonic(), asyncio.ensure_future(self._compute()))
            run.task.add_done_callback(_retrieve_error)
        return await asyncio.shield(run.task)


def _retrieve_error(task: asyncio.Future[T]) -> None:
    """Retrieve an error that no caller is left to receive, so that asyncio does not log it."""
    if not task.cancelled():
        task.exception()
