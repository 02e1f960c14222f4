"""Free ports on the loopback address."""

from __future__ import annotations

import random
import socket
from contextlib import ExitStack

from domain.errors import UnavailableError

LOOPBACK = "127.0.0.1"
#: Below the range that Linux uses for outgoing connections, so that no client takes a port between the check and its use, nor
#: while a server restarts.
PORTS = range(15_000, 32_000)
ATTEMPTS = 200


def free_ports(count: int, *, source: random.Random | None = None) -> list[int]:
    """``count`` different ports that no program listens on.

    Raises:
        UnavailableError: too few were found.
    """
    source = source or random.SystemRandom()
    ports: list[int] = []
    with ExitStack() as held:  # each stays bound until all are found, so no port is returned twice
        for port in source.sample(PORTS, ATTEMPTS):
            if len(ports) == count:
                break
            probe = held.enter_context(socket.socket())
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
                probe.listen(1)
            except OSError:
                continue
            ports.append(port)
    if len(ports) < count:
        raise UnavailableError(
            f"Only {len(ports)} of {count} free ports were found on {LOOPBACK} between {PORTS.start} and {PORTS.stop - 1}.",
            remedy="Stop programs that listen on many ports.",
        )
    return ports


def free_port() -> int:
    """One port that no program listens on."""
    return free_ports(1)[0]


def is_listening(port: int, *, host: str = LOOPBACK) -> bool:
    """Whether a program accepts connections there."""
    try:
        with socket.create_connection((host, port), timeout=1.0):
            return True
    except (OSError, UnicodeError):  # not a valid host name
        return False
