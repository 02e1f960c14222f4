"""Free ports on the loopback address."""

from __future__ import annotations

import random
import socket
from contextlib import ExitStack

from domain.errors import UnavailableError

LOOPBACK = "127.0.0.1"
#: Below the range that Linux takes for outgoing connections, so that no client grabs a port between our look and its
#: use, nor while a server restarts on the port it had.
PORTS = range(15_000, 32_000)
ATTEMPTS = 200


def free_ports(count: int, *, source: random.Random | None = None) -> list[int]:
    """``count`` different ports that nobody listens on.

    Raises:
        UnavailableError: too few were found.
    """
    source = source or random.SystemRandom()
    ports: list[int] = []
    with ExitStack() as held:  # each stays taken until all are found, so no port comes twice
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
            f"No {count} free ports were found on {LOOPBACK} between {PORTS.start} and {PORTS.stop - 1}.",
            remedy="Stop programs that listen on many ports.",
        )
    return ports


def free_port() -> int:
    """One port that nobody listens on."""
    return free_ports(1)[0]


def is_listening(port: int, *, host: str = LOOPBACK) -> bool:
    """Whether something accepts connections there."""
    try:
        with socket.create_connection((host, port), timeout=1.0):
            return True
    except (OSError, UnicodeError):  # a name that no host can have
        return False
