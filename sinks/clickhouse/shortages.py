"""What a person can do when ClickHouse answers that it cannot go on for now, by what is missing (disk, memory, ..) and where.

The embedded engine has no users, quotas or other servers; a shortage there is one of this process or its disk.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
from typing import Final, NamedTuple

from sinks.clickhouse.driver_errors import code_of
from sinks.clickhouse.target import Target
from sinks.errors import SinkError


class Shortage(NamedTuple):
    """A resource that is missing: the codes that report it, and the remedy on a server and in the embedded engine."""

    codes: frozenset[int]
    server: str
    embedded: str


DISK: Final = Shortage(
    frozenset({75, 243, 574}),
    "Free space on the disk of the server, or give it a larger one.",
    "Free space on the disk of this folder, or name a folder on another disk in PORTALPULSE_CLICKHOUSE__URL.",
)
DEVICE: Final = Shortage(
    frozenset({74, 204}),
    "Look in the system's log of the server for errors of its disk.",
    "Look in the system's log for errors of the disk of this folder.",
)
DESCRIPTORS: Final = Shortage(
    frozenset({76}),
    "Raise the limit of open files of the server (LimitNOFILE).",
    "Raise the limit of open files of this process, for example with `ulimit -n 4096`.",
)
MEMORY: Final = Shortage(
    frozenset({173, 241}),
    "Give the server more memory, or this user a higher limit (max_memory_usage).",
    "Free memory on this machine, or raise the limit of this process (`ulimit -v`).",
)
THREADS: Final = Shortage(
    frozenset({425, 439}),
    "Raise the limits of the server on threads, open files and memory.",
    "Raise the limits of this process on threads, open files and memory; `ulimit -a` shows them.",
)
QUOTA: Final = Shortage(
    frozenset({201}),
    "Wait for the next interval of the quota, or give this user a higher quota.",
    "Run the command again.",
)
LOAD: Final = Shortage(
    frozenset({159, 160, 202, 745}),
    "Try again when the server has less to do. If it persists, raise the limits of this user on queries and their duration.",
    "Try again when this machine has less to do, or raise PORTALPULSE_CLICKHOUSE__TIMEOUT_SECONDS.",
)
MERGES: Final = Shortage(
    frozenset({252, 384, 473, 692}),
    "Try again when merges and deletions have caught up (system.merges, system.mutations). If it persists, the disk is too slow.",
    "Try again when merges have caught up. If it persists, the disk is too slow.",
)
#: A part is starting, ending, or not reached: another server, Keeper, an object store.
PARTS: Final = Shortage(
    frozenset({3, 32, 95, 96, 198, 203, 209, 210, 225, 236, 242, 254, 265, 279, 285, 286, 289, 319, 341, 517})
    | {364, 369, 394, 416, 499, 519, 667, 733, 735, 999},
    "Try again later. If it persists, look in the log of ClickHouse: the server, another one, Keeper or an object store does not"
    " answer.",
    "Run the command again.",
)
SHORTAGES: Final = (DISK, DEVICE, DESCRIPTORS, MEMORY, THREADS, QUOTA, LOAD, MERGES, PARTS)

_FILE_SIZE: Final = Shortage(
    frozenset(),
    "Raise the limit of the server on the size of files (LimitFSIZE).",
    "Raise the limit of this process on the size of files (`ulimit -f`).",
)
_PERMISSION: Final = Shortage(
    frozenset(), "Give the user of the server the right to write its folders.", "Give this user the right to write this folder."
)
#: What an error of the system says whatever the code beside it is: ClickHouse has several codes for one shortage.
_BY_ERRNO: Final = {
    errno.ENOSPC: DISK,
    errno.EDQUOT: DISK,
    errno.EIO: DEVICE,
    errno.EMFILE: DESCRIPTORS,
    errno.ENFILE: DESCRIPTORS,
    errno.ENOMEM: MEMORY,
    errno.EAGAIN: THREADS,
    errno.EFBIG: _FILE_SIZE,
    errno.EACCES: _PERMISSION,
    errno.EPERM: _PERMISSION,
    errno.EROFS: _PERMISSION,
}
#: Codes of an embedded engine that could not be opened, whose text may be empty; it reserves some MiB.
_UNSAID: Final = frozenset({36})
_FREE_BYTES: Final = 4 << 20
#: How ClickHouse and Python write an error of the system.
_ERRNO: Final = re.compile(r"\berrno:? (\d+)", re.IGNORECASE)


def remedy_of(error: SinkError, target: Target) -> str:
    """What a person should do about an error of a call; empty when neither its code nor its text tells what is missing."""
    code, number = code_of(error), _errno_in(str(error))
    shortage = _BY_ERRNO.get(number) if number is not None else None
    shortage = shortage or next((shortage for shortage in SHORTAGES if code in shortage.codes), None)
    if shortage is None and code in _UNSAID and _disk_is_full(target):
        shortage = DISK
    if shortage is None:
        return ""
    return shortage.server if target.folder is None else shortage.embedded


def _disk_is_full(target: Target) -> bool:
    """Whether the disk of an embedded engine is nearly full. The engine does not always report a full disk as such."""
    try:
        return target.folder is not None and shutil.disk_usage(target.folder).free < _FREE_BYTES
    except OSError:
        return False


def _errno_in(text: str) -> int | None:
    """The system error (errno) that a text names by number, or by words alone as C++'s file system library does; None: none."""
    found = _ERRNO.search(text)
    if found:
        return int(found[1])
    return next((number for number in _BY_ERRNO if f": {os.strerror(number)}" in text), None)
