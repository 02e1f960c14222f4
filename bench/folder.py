"""Temporary folders, removed at the end or, after a kill, by the next benchmark."""

from __future__ import annotations

import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

_LOCK: Final = "owner.lock"


@contextmanager
def temporary_folder(prefix: str, *, parent: Path | None = None) -> Iterator[Path]:
    """A new folder below ``parent`` (default: the system's), removed at the end with everything in it.

    Folders of the same prefix whose processes were killed are removed first. A folder belongs to a running process while its lock
    is held; the kernel releases the lock when the process ends in any way.
    """
    where = Path(tempfile.gettempdir()) if parent is None else parent
    for lock_file in where.glob(f"{prefix}*/{_LOCK}"):
        _remove_if_abandoned(lock_file)
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=where))
    with (folder / _LOCK).open("w") as lock:
        _lock(lock)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _remove_if_abandoned(path: Path) -> None:
    try:
        with path.open("r+") as lock:
            if _lock(lock):
                shutil.rmtree(path.parent, ignore_errors=True)
    except OSError:
        return  # of another user, or removed meanwhile


def _lock(file: IO[str]) -> bool:
    """Whether this process has the lock now; children do not inherit it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
