"""Streams to clients: from a blocking iterator, and streams that last until the server closes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Final

from aiohttp import web

#: Handlers of answers that do not end by themselves; the server cancels them when it closes.
STREAMS: Final = web.AppKey("streams", set[asyncio.Task[object]])
#: Chunks that the thread reads ahead.
_CHUNKS_AHEAD: Final = 4


async def iterate_in_thread(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Yield the chunks of a blocking iterator. It runs in its own thread: a storage client belongs to the thread that opened it.

    The thread reads a few chunks ahead. When the consumer stops early, the thread stops at its next chunk.
    """
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[bytes | BaseException | None] = asyncio.Queue()
    slots = threading.Semaphore(_CHUNKS_AHEAD)
    closed = threading.Event()

    def read() -> None:
        end: BaseException | None = None
        try:
            for chunk in chunks:
                slots.acquire()
                if closed.is_set():
                    return
                loop.call_soon_threadsafe(queue.put_nowait, chunk)
        except BaseException as error:  # noqa: BLE001 - raised again in the consumer
            end = error
        loop.call_soon_threadsafe(queue.put_nowait, end)

    threading.Thread(target=read, name="events", daemon=True).start()
    try:
        while (chunk := await queue.get()) is not None:
            if isinstance(chunk, BaseException):
                raise chunk
            slots.release()
            yield chunk
    finally:
        closed.set()
        slots.release()
