"""Proxies on loopback that fall silent on command: the connection stays open and no answer comes, as of a part that hangs."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from deploy.native.ports import LOOPBACK


class Proxy:
    """Passes connections on to ``target``; listens from construction until ``close``.

    ``silent``: nothing is passed on any more, in either direction, and new connections are taken all the same.
    ``delay``: seconds that every piece of an answer is held back, as on a long way.
    """

    delay = 0.0

    def __init__(self, port: int, target: int) -> None:
        self.port, self.silent = port, threading.Event()
        self._target = target
        self._open: list[socket.socket] = []
        self._listener = socket.create_server((LOOPBACK, port))
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Stop listening and end every connection."""
        for connection in (self._listener, *self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # closed
                return
            try:
                server = socket.create_connection((LOOPBACK, self._target), timeout=10)
            except OSError:  # nobody is there
                client.close()
                continue
            server.settimeout(None)
            self._open += [client, server]
            for pump, source, sink in ((self._forth, client, server), (self._back, server, client)):
                threading.Thread(target=self._run, args=(pump, source, sink), daemon=True).start()

    def _run(self, pump, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            pump(source, sink)
        for connection in (source, sink):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _forth(self, source: socket.socket, sink: socket.socket) -> None:
        while piece := source.recv(1 << 16):
            if not self.silent.is_set():
                sink.sendall(piece)

    def _back(self, source: socket.socket, sink: socket.socket) -> None:
        while piece := source.recv(1 << 16):
            time.sleep(self.delay)
            if not self.silent.is_set():
                sink.sendall(piece)


class KafkaProxy(Proxy):
    """A proxy that knows Kafka's frames.

    ``muted``: a connection hangs from its first request whose API key is among them. ``falsified``: what answers to
    requests with this key become, behind their correlation id.
    """

    def __init__(self, port: int, target: int) -> None:
        self.muted: set[int] = set()
        self.falsified: dict[int, Callable[[bytes], bytes]] = {}
        self.seen: set[int] = set()
        self._muted_requests = 0
        self._keys: dict[tuple[socket.socket, bytes], int] = {}
        super().__init__(port, target)

    def muted_requests(self) -> int:
        """How many requests came that get no answer because their key is muted."""
        return self._muted_requests

    def _forth(self, source: socket.socket, sink: socket.socket) -> None:
        hangs = False
        stream = source.makefile("rb")
        while head := stream.read(4):
            body = stream.read(int.from_bytes(head, "big"))
            key = int.from_bytes(body[:2], "big")
            self.seen.add(key)
            self._keys[sink, body[4:8]] = key
            if key in self.muted:
                hangs = True
                self._muted_requests += 1
            if not hangs and not self.silent.is_set():
                sink.sendall(head + body)

    def _back(self, source: socket.socket, sink: socket.socket) -> None:
        stream = source.makefile("rb")
        while head := stream.read(4):
            body = stream.read(int.from_bytes(head, "big"))
            falsify = self.falsified.get(self._keys.pop((source, body[:4]), -1))
            if falsify is not None:
                body = body[:4] + falsify(body[4:])
            time.sleep(self.delay)
            if not self.silent.is_set():
                sink.sendall(len(body).to_bytes(4, "big") + body)


#: API keys of requests.
FETCH = 1
OFFSET_COMMIT = 8
GROUP = frozenset({OFFSET_COMMIT, 9, 10, 11, 12, 13, 14})  # committing, finding the coordinator, joining, heartbeats, leaving
