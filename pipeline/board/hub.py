"""Computes the data of the board's page once for all clients, and keeps the last changes for clients that connect again.

A client has a position, not a queue: frames are encoded once and kept in a short ring that all clients share. A client whose
position is no longer in the ring gets the newest snapshot, so a slow client costs no memory. Nothing is computed without clients.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from pipeline.board.changes import changes
from pipeline.logs import get_logger
from pipeline.serving.requests import InThread
from sinks.errors import SinkError

log = get_logger("board")

#: Frames that a subscriber may be behind before it gets a snapshot.
FRAMES: Final = 16
#: Rest at least so many times as long as computing took.
_REST: Final = 3.0
#: After a change of so many bytes, about half of all rows, the interval is twice as long: pages have more to do.
LARGE_BYTES: Final = 3_600


@dataclass(frozen=True, slots=True)
class _Frame:
    number: int
    text: bytes


def rest_seconds(took: float, *, interval: float, sent_bytes: int) -> float:
    """How many seconds to rest after computing a change of ``sent_bytes`` bytes took ``took`` seconds."""
    return max(interval * (2 if sent_bytes >= LARGE_BYTES else 1) - took, _REST * took, 0.0)


class Hub:
    """The data of one period, kept up to date while there are subscribers. Belongs to one event loop.

    Args:
        build: computes the data and blocks meanwhile. Raises SinkError when the storage does not answer.
        in_thread: runs ``build`` in a thread.
        interval: shortest time between two starts of ``build`` (seconds).
        now: the wall clock in milliseconds, for the time since which the storage does not answer.
        monotonic: a monotonic clock (seconds).
    """

    def __init__(
        self,
        build: Callable[[], dict[str, Any]],
        *,
        in_thread: InThread,
        interval: float = 1.0,
        now: Callable[[], float] = lambda: time.time() * 1000,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._build, self._in_thread, self._interval = build, in_thread, interval
        self._now, self._monotonic = now, monotonic
        self._epoch, self._number = secrets.token_hex(4), 0
        self._data: dict[str, Any] | None = None
        self._storage_since: int | None = None
        self._published_at = 0
        self._snapshot = b""  # encoded when it is asked for
        self._ring: deque[_Frame] = deque(maxlen=FRAMES)
        self._changed: asyncio.Future[None] | None = None
        self._loop: asyncio.Task[None] | None = None
        self._subscribers, self._fresh_until = 0, float("-inf")
        self._flight: asyncio.Task[None] | None = None

    @property
    def subscribers(self) -> int:
        """Number of open streams of this hub."""
        return self._subscribers

    async def data(self) -> dict[str, Any]:
        """The newest data, computed again when they are older than half an interval.

        Raises:
            SinkError: the storage has never answered.
        """
        if self._data is None or self._monotonic() >= self._fresh_until:
            await self._refreshed()
        assert self._data is not None
        return self._state()

    async def encoded(self) -> bytes:
        """``data`` as JSON, encoded once for all callers."""
        await self.data()
        return self._whole()

    def subscribe(self) -> None:
        """Add a subscriber: the data are kept up to date until it calls ``unsubscribe``."""
        self._subscribers += 1
        if self._loop is None or self._loop.done():
            self._loop = asyncio.ensure_future(self._run())

    def unsubscribe(self) -> None:
        """Remove a subscriber."""
        self._subscribers -= 1

    def position(self, last_event_id: str) -> int | None:
        """The number of the frame that a client has seen last; None when the ring lacks a frame after it."""
        epoch, _, text = last_event_id.partition("-")
        if epoch != self._epoch or not text.isascii() or not text.isdigit() or self._data is None:
            return None
        number = int(text)
        return number if self._number - len(self._ring) <= number <= self._number else None

    async def frames(self, seen: int | None, *, wait: float) -> tuple[bytes, int | None]:
        """The frames after the frame ``seen``, or a snapshot when it is None; and the number of the last frame.

        Waits up to ``wait`` seconds for a new frame, and then returns empty bytes.

        Raises:
            SinkError: the storage has never answered.
        """
        if seen is None or self._data is None:
            await self.data()
            return self._frame("snapshot", self._whole()), self._number
        if seen == self._number:
            with suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(self._waiter()), wait)
        if seen == self._number:
            return b"", seen
        if seen < self._number - len(self._ring):
            return self._frame("snapshot", self._whole()), self._number
        return b"".join(frame.text for frame in self._ring if frame.number > seen), self._number

    def _waiter(self) -> asyncio.Future[None]:
        if self._changed is None or self._changed.done():
            self._changed = asyncio.get_running_loop().create_future()
        return self._changed

    def _wake(self) -> None:
        if self._changed is not None and not self._changed.done():
            self._changed.set_result(None)

    async def _run(self) -> None:
        while self._subscribers > 0:
            began = self._monotonic()
            with suppress(SinkError):
                await self._refreshed()
            took = self._monotonic() - began
            newest = len(self._ring[-1].text) if self._ring else 0
            await asyncio.sleep(rest_seconds(took, interval=self._interval, sent_bytes=newest))

    async def _refreshed(self) -> None:
        """Compute the data again. Callers at the same time share one computation."""
        if self._flight is None or self._flight.done():
            self._flight = asyncio.ensure_future(self._refresh())
        await asyncio.shield(self._flight)

    async def _refresh(self) -> None:
        try:
            data = await self._in_thread(self._build)
            since = None
        except SinkError as error:
            if self._data is None:
                raise
            data, since = self._data, self._storage_since or int(self._now())
            if self._storage_since is None:
                log.warning("board_without_figures", error=str(error))
        self._fresh_until = self._monotonic() + self._interval / 2
        self._publish(data, since)

    def _publish(self, data: dict[str, Any], storage_since: int | None) -> None:
        before = None if self._data is None else self._state()
        self._data, self._storage_since, self._published_at = data, storage_since, int(self._now())
        found = None if before is None else changes(before, self._state())
        self._number += 1
        self._snapshot = b""
        if found is None:
            self._ring.clear()  # only a snapshot says it
        else:
            self._ring.append(_Frame(self._number, self._frame("change", msgspec.json.encode(found))))
        self._wake()

    def _state(self) -> dict[str, Any]:
        assert self._data is not None
        return self._data | {"storage": {"unavailable_since": self._storage_since}, "served_at": self._published_at}

    def _whole(self) -> bytes:
        if not self._snapshot:
            self._snapshot = msgspec.json.encode(self._state())
        return self._snapshot

    def _frame(self, event: str, data: bytes) -> bytes:
        return b"event: %b\nid: %b-%d\ndata: %b\n\n" % (event.encode(), self._epoch.encode(), self._number, data)
