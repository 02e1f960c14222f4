"""The lock on the folder of the embedded engine: only one process may use a folder at a time."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import IO

from sinks.errors import Fatal


def lock_folder(folder: Path) -> IO[str]:
    """Create the folder if it is missing and lock it. Closing the returned file releases the lock.

    Raises:
        Fatal: another process uses the folder, or the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder.parent / f"{folder.name}.lock").open("a+", encoding="utf-8")
    except OSError as error:
        raise _unwritable(folder, error) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.seek(0)
        owner = lock.read().strip() or "unknown"
        lock.close()
        raise Fatal(
            f"The data folder {folder} is in use by process {owner}. Stop the other process, or name another folder with"
            " PORTALPULSE_CLICKHOUSE__URL (chdb:FOLDER), or with --data where the command has it."
        ) from error
    try:
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
    except OSError as error:  # a full disk
        with suppress(OSError):
            lock.close()
        raise _unwritable(folder, error) from error
    return lock


def _unwritable(folder: Path, error: OSError) -> Fatal:
    return Fatal(
        f"The data folder {folder} cannot be written: {_reason(error)}. Name another one with PORTALPULSE_CLICKHOUSE__URL"
        " (chdb:FOLDER), or with --data where the command has it."
    )


def _reason(error: OSError) -> str:
    """Why a folder cannot be used, in words."""
    return "it is a file" if isinstance(error, FileExistsError) else str(error.strerror or error)
