"""A broker on loopback that says what a test wants: right answers about versions, and any others."""

from __future__ import annotations

import socket
import struct
import threading
import time
from contextlib import suppress

from deploy.native.ports import LOOPBACK

METADATA, API_VERSIONS = 3, 18
#: Requests that this broker says it takes, with their highest version.
_TAKEN = {0: 9, 1: 11, 2: 5, METADATA: 12, 8: 8, 9: 7, 10: 4, 15: 5, API_VERSIONS: 3, 19: 7, 22: 4, 32: 4, 75: 0}


class FalseBroker:
    """``answer(key, version)`` is the body of an answer, behind the correlation id; None: none comes.

    ``delay``: seconds before each answer.
    """

    def __init__(self, answer, *, delay=0.0):
        self._answer, self._delay = answer, delay
        self._listener = socket.create_server((LOOPBACK, 0))
        self.port = self._listener.getsockname()[1]
        self.address = f"{LOOPBACK}:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=[connection], daemon=True).start()

    def _serve(self, connection):
        with suppress(OSError, struct.error), connection, connection.makefile("rb") as requests:
            while head := requests.read(4):
                request = requests.read(int.from_bytes(head, "big"))
                key, version = struct.unpack(">hh", request[:4])
                body = self._answer(key, version)
                if body is None:
                    continue
                time.sleep(self._delay)
                connection.sendall(struct.pack(">i", 4 + len(body)) + request[4:8] + body)


def versions(version):
    """The right answer to a request for versions."""
    if version < 3:
        return struct.pack(">hi", 0, len(_TAKEN)) + b"".join(struct.pack(">hhh", key, 0, top) for key, top in _TAKEN.items())
    ranges = b"".join(struct.pack(">hhhB", key, 0, top, 0) for key, top in _TAKEN.items())
    return struct.pack(">hB", 0, len(_TAKEN) + 1) + ranges + struct.pack(">iB", 0, 0)


def brokers(port, *, count=1):
    """The right answer of version 1 to a request for the brokers: ``count`` of them, all at this port."""
    host = LOOPBACK.encode()
    named = b"".join(struct.pack(">ih", number, len(host)) + host + struct.pack(">ih", port, -1) for number in range(count))
    return struct.pack(">i", count) + named + struct.pack(">ii", 0, 0)
