"""Free ports on the loopback address.

A port that was given out belongs to the process that asked for it until that process ends, although nothing listens there yet: a
server takes seconds from the choice of its port to its use, and starts again on the same port. Processes see each other's ports
as record locks on one file, a byte a port; the system releases the locks when a process ends, however it ends.
"""

from __future__ import annotations

import fcntl
import os
import random
import socket
import tempfile
import threading
from contextlib import ExitStack
from functools import cache
from pathlib import Path

from domain.errors import UnavailableError

LOOPBACK = "127.0.0.1"
#: Below the range that Linux uses for outgoing connections, so that no client takes a port between the check and its use, nor
#: while a server restarts.
PORTS = range(15_000, 32_000)
ATTEMPTS = 200


_lock = threading.Lock()
_given: set[int] = set()


def free_ports(count: int, *, source: random.Random | None = None) -> list[int]:
    """``count`` different ports that no program listens on and no other process was given.

    Raises:
        UnavailableError: too few were found, or the file of locks cannot be opened.
    """
    source = source or random.SystemRandom()
    ports: list[int] = []
    with _lock, ExitStack() as held:  # each stays bound until all are found
        for port in source.sample(PORTS, ATTEMPTS):
            if len(ports) == count:
                break
            if port not in _given and _reserve(port) and _bind(port, held):
                ports.append(port)
        _given.update(ports)
    if len(ports) < count:
        raise UnavailableError(
            f"Only {len(ports)} of {count} free ports were found on {LOOPBACK} between {PORTS.start} and {PORTS.stop - 1}.",
            remedy="Stop programs that listen on many ports.",
        )
    return ports


def _bind(port: int, held: ExitStack) -> bool:
    """Whether no program listens on the port; keeps it bound until ``held`` is closed."""
    probe = held.enter_context(socket.socket())
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        probe.bind((LOOPBACK, port))
        probe.listen(1)
    except OSError:
        return False
    return True


def _reserve(port: int) -> bool:
    """Reserve the port for this process; returns whether it was free.

    The lock of a port in use stays as well, which does no harm.
    """
    try:
        fcntl.lockf(_lock_file(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except (BlockingIOError, PermissionError):  # POSIX allows either for a lock of another process
        return False
    return True


@cache
def _lock_file() -> int:
    """The descriptor of the lock file.

    It is never closed: closing any descriptor of this file would release all locks of the process.
    """
    path = Path(tempfile.gettempdir()) / f"portalpulse-ports-{os.getuid()}"
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise UnavailableError(
            f"The file {path} cannot be opened: {error.strerror}. It records which ports are taken.",
            remedy="Make the folder for temporary files writable, or set TMPDIR to one that is.",
        ) from error


def free_port() -> int:
    """One port that no program listens on."""
    return free_ports(1)[0]


def is_listening(port: int, *, host: str = LOOPBACK) -> bool:
    """Whether a program accepts connections on the port."""
    try:
        with socket.create_connection((host, port), timeout=1.0):
            return True
    except (OSError, UnicodeError):  # not a valid host name
        return False
