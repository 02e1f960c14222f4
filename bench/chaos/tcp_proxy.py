"""A TCP proxy that forwards everything until it is switched to refuse, hang, slow down or cut connections.

It runs between workers and ClickHouse and simulates network faults while both ends are untouched. It forwards bytes and knows
nothing of HTTP.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections import Counter
from collections.abc import Awaitable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Literal, Self, TypeVar

from deploy.native.ports import LOOPBACK, free_port

T = TypeVar("T")
Kind = Literal["open", "refuse", "hang", "slow", "half_response", "half_request"]

_CHUNK_BYTES: Final = 1 << 16
#: A slow connection forwards its bytes in this many chunks a second.
_CHUNKS_PER_SECOND: Final = 10
_ANSWER_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Mode:
    """What the proxy does now. ``rate``: bytes a second and direction (slow); ``after``: bytes until the cut (half)."""

    kind: Kind = "open"
    rate: int = 0
    after: int = 0


class TcpProxy:
    """Listens on ``port`` for connections to ``target``; a context manager. Every method may be called from any thread.

    A switch also affects existing connections. Bytes that hang are not lost: once open, the proxy delivers them late, even when
    their sender has closed the connection.
    """

    def __init__(self, target: int, *, port: int | None = None) -> None:
        self.port = port or free_port()
        self._target = target
        self._mode = Mode()
        #: How many connections were accepted, cut in a response, cut in a request, or dropped by refusing.
        self.counts: Counter[str] = Counter()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="tcp-proxy", daemon=True)
        self._server: asyncio.Server | None = None
        self._changed = asyncio.Event()
        self._pairs: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def __enter__(self) -> Self:
        """Start listening, open."""
        self._thread.start()
        self._run(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        """Drop every connection and stop listening."""
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_ANSWER_SECONDS)
        self._loop.close()

    @property
    def mode(self) -> Mode:
        """What it does now."""
        return self._mode

    def open(self) -> None:
        """Forward everything."""
        self._switch(Mode())

    def refuse(self) -> None:
        """Reset every connection and stop listening: new connections are refused at once."""
        self._switch(Mode("refuse"))

    def hang(self) -> None:
        """Accept connections and bytes, forward nothing, answer nothing."""
        self._switch(Mode("hang"))

    def slow(self, rate: int) -> None:
        """Forward ``rate`` bytes a second in each direction of each connection."""
        self._switch(Mode("slow", rate=rate))

    def half_response(self, after: int) -> None:
        """End every connection when ``after`` bytes of its answers have been forwarded from now on; requests arrive whole."""
        self._switch(Mode("half_response", after=after))

    def half_request(self, after: int) -> None:
        """End every connection when ``after`` bytes of its requests have been forwarded from now on."""
        self._switch(Mode("half_request", after=after))

    def _run(self, action: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(action, self._loop).result(_ANSWER_SECONDS)

    def _switch(self, mode: Mode) -> None:
        self._run(self._apply(mode))

    async def _apply(self, mode: Mode) -> None:
        before, self._mode = self._mode, mode
        self._changed.set()
        self._changed = asyncio.Event()
        if mode.kind == "refuse" and self._server is not None:
            self._server.close()
            self._server = None
            for pair in tuple(self._pairs):
                self._drop(pair, "refused")
        elif before.kind == "refuse" and self._server is None:
            await self._listen()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, LOOPBACK, self.port)

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
        for pair in tuple(self._pairs):
            self._drop(pair, "closed")
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.counts["accepted"] += 1
        try:
            await self._serve(reader, writer)
        except asyncio.CancelledError:
            writer.transport.abort()  # the proxy closes
        finally:
            self._tasks.discard(task)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while self._mode.kind == "hang":
            await self._changed.wait()
        try:
            server_reader, server_writer = await asyncio.open_connection(LOOPBACK, self._target)
        except OSError:
            _reset(writer)  # the server does not listen
            return
        pair = (writer, server_writer)
        self._pairs.add(pair)
        try:
            await asyncio.gather(
                _until_reset(self._forward(reader, server_writer, pair, "half_request"), pair),
                _until_reset(self._forward(server_reader, writer, pair, "half_response"), pair),
            )
        finally:
            self._pairs.discard(pair)
            for end in pair:
                end.transport.abort() if end.transport.is_closing() else end.close()

    async def _forward(
        self,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        pair: tuple[asyncio.StreamWriter, asyncio.StreamWriter],
        cut_by: Kind,
    ) -> None:
        """Forward one direction until its end; ``cut_by`` is the mode that cuts this direction."""
        forwarded, counted_in = 0, self._mode
        while chunk := await source.read(_CHUNK_BYTES):
            while chunk:
                mode = self._mode
                if mode is not counted_in:
                    forwarded, counted_in = 0, mode
                if mode.kind == "hang":
                    await self._changed.wait()
                    continue
                size = len(chunk)
                if mode.kind == "slow":
                    size = max(1, min(size, mode.rate // _CHUNKS_PER_SECOND))
                elif mode.kind == cut_by:
                    size = min(size, mode.after - forwarded)
                sink.write(chunk[:size])
                await sink.drain()
                forwarded, chunk = forwarded + size, chunk[size:]
                if mode.kind == cut_by and forwarded >= mode.after:
                    # The first half is delivered and the connection closed as if that were everything; the other side is reset.
                    self.counts[cut_by] += 1
                    sink.close()
                    _reset(next(end for end in pair if end is not sink))
                    return
                if mode.kind == "slow":
                    await self._pause(size / mode.rate)
        if sink.can_write_eof():
            sink.write_eof()

    async def _pause(self, seconds: float) -> None:
        """Wait, but only until the mode changes."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), seconds)

    def _drop(self, pair: tuple[asyncio.StreamWriter, asyncio.StreamWriter], reason: str) -> None:
        self.counts[reason] += 1
        for end in pair:
            _reset(end)


async def _until_reset(forwarding: Awaitable[None], pair: tuple[asyncio.StreamWriter, asyncio.StreamWriter]) -> None:
    """Await one direction. When an end is reset, for example by a killed process, the other must not wait for it."""
    try:
        await forwarding
    except OSError:
        for end in pair:
            _reset(end)


def _reset(writer: asyncio.StreamWriter) -> None:
    """Reset a connection instead of closing it: bytes that the peer has not read are lost."""
    peer = writer.get_extra_info("socket")
    if peer is not None:
        with suppress(OSError):
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
