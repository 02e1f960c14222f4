"""The stream of a period as server-sent events: a snapshot, then changes. A client that connects again gets what it missed."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

from aiohttp import web

from pipeline.board.hub import Hub
from pipeline.serving.requests import error_response
from pipeline.serving.streaming import STREAMS
from sinks.errors import SinkError

#: A comment is sent after so many seconds without a change, so that proxies keep the connection.
COMMENT_SECONDS: Final = 15.0
#: How soon a browser connects again (milliseconds).
RETRY_MS: Final = 2_000
#: Open streams of a process; the next one is refused. Below the limit of connections, so that scrapes find room.
MAX_STREAMS: Final = 256
_HEADERS: Final = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # nginx would collect the events
}


async def stream(
    request: web.Request, hub: Hub, *, open_streams: int, comment_seconds: float = COMMENT_SECONDS
) -> web.StreamResponse:
    """Answer a request with the stream of ``hub`` until the client is gone or the server closes.

    The header ``Last-Event-ID``, or the parameter ``last_event_id``, names the frame that the client has seen last.
    """
    if open_streams >= MAX_STREAMS:
        answer = error_response(503, f"{MAX_STREAMS} pages are open already. Close some.")
        answer.headers["Retry-After"] = "10"
        return answer
    seen = hub.position(request.headers.get("Last-Event-ID") or request.query.get("last_event_id", ""))
    hub.subscribe()
    task = asyncio.current_task()
    assert task is not None
    request.app[STREAMS].add(task)
    try:
        try:
            frames, seen = await hub.frames(seen, wait=0)
        except SinkError as error:
            return error_response(503, str(error))
        response = web.StreamResponse(headers=_HEADERS)
        with suppress(ConnectionResetError):
            await response.prepare(request)
            await response.write(b"retry: %d\n\n" % RETRY_MS + frames)
            while True:
                frames, seen = await hub.frames(seen, wait=comment_seconds)
                await response.write(frames or b": nothing new\n\n")
        return response
    finally:
        request.app[STREAMS].discard(task)
        hub.unsubscribe()
