"""The folder of a local stack: one owner at a time, writable, with free space; the demo may empty a folder that it created."""

from __future__ import annotations

import fcntl
import os
import shutil
import unicodedata
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from domain.errors import ConfigurationError
from pipeline.addresses import LOCK_NAME

#: Marks a folder that the demo created and may empty.
DEMO_MARK = ".made-by-portalpulse-demo"
#: Longest path of a Linux system call, and what the services append to the folder: segments of a topic with a long name.
LONGEST_PATH = 4096
LONGEST_BELOW = 640
#: Kafka preallocates and ClickHouse merges: with less than this a stack fails soon after its start.
MIN_FREE_BYTES = 1 << 30


class DataFolder:
    """Owns ``path`` from entering to leaving; the kernel releases the folder when the process ends in any way."""

    def __init__(self, path: Path, *, min_free_bytes: int = MIN_FREE_BYTES) -> None:
        """``path`` may be relative and contain links.

        Raises:
            ConfigurationError: the links of the path lead in a circle.
        """
        try:
            self.path = path.resolve()
        except RuntimeError as error:  # Python 3.11 raises it for ELOOP
            raise ConfigurationError(
                f"The data folder {path} cannot be found: its symbolic links lead in a circle.",
                remedy="Choose another with --data or correct the links.",
            ) from error
        self._min_free_bytes = min_free_bytes
        self._lock: int | None = None

    def __enter__(self) -> Self:
        """Take the folder.

        Raises:
            ConfigurationError: a service cannot use the folder's name, or the folder cannot be written, has too little free space
                or belongs to another process.
        """
        check_name(self.path)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = os.open(self.path / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise ConfigurationError(
                f"The data folder {self.path} cannot be written: {error.strerror}.",
                remedy="Choose another with --data or change its owner.",
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(lock, 20).decode("ascii", "replace").strip()
            os.close(lock)
            raise ConfigurationError(
                f"The data folder {self.path} is in use by process {owner or 'unknown'}.",
                remedy=f"Stop it (Ctrl-C there, or kill {owner}) or choose another folder with --data."
                if owner
                else "Stop it or choose another folder with --data.",
            ) from None
        self._lock = lock
        try:
            self._check_free_space()
            os.ftruncate(lock, 0)
            os.pwrite(lock, f"{os.getpid()}\n".encode("ascii"), 0)
        except BaseException:
            self._release()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Release the folder."""
        self._release()

    def wipe_for_demo(self) -> None:
        """Empty the folder, if the demo created it.

        Raises:
            ConfigurationError: the folder contains something that the demo did not create.
        """
        mark = self.path / DEMO_MARK
        entries = [entry for entry in self.path.iterdir() if entry.name not in {LOCK_NAME, DEMO_MARK}]
        if entries and not mark.exists():
            raise ConfigurationError(
                f"{self.path} is not empty and was not made by the demo, which starts from nothing.",
                remedy="Choose a new or empty folder with --data.",
            )
        mark.touch()
        for entry in entries:
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()

    def _check_free_space(self) -> None:
        free = shutil.disk_usage(self.path).free
        if free < self._min_free_bytes:
            needed = self._min_free_bytes / 1e9
            raise ConfigurationError(
                f"The disk of {self.path} has {free / 1e9:.1f} GB left; {needed:.1f} GB are needed.",
                remedy="Free some space or choose a folder on another disk with --data.",
            )

    def _release(self) -> None:
        if self._lock is not None:
            with suppress(OSError):
                os.ftruncate(self._lock, 0)
                # Closing is not enough: a child that is being started may still have a copy of the descriptor.
                fcntl.flock(self._lock, fcntl.LOCK_UN)
            os.close(self._lock)
            self._lock = None


def check_name(path: Path) -> None:
    """Reject an absolute path that a service cannot use, before anything is written.

    Raises:
        ConfigurationError: the path is not UTF-8, holds control characters (a line break, for example) or is too long.
    """
    name = os.fsencode(path)
    shown = name.decode("utf-8", "backslashreplace")
    shown = "".join(character if character.isprintable() else f"\\x{ord(character):02x}" for character in shown)
    remedy = "Choose another folder with --data."
    try:
        text = name.decode("utf-8")
    except UnicodeDecodeError:
        raise ConfigurationError(f"The data folder {shown} has a name that is not UTF-8.", remedy=remedy) from None
    if any(unicodedata.category(character) == "Cc" for character in text):
        raise ConfigurationError(f"The data folder {shown} has a control character in its name.", remedy=remedy)
    if len(name) + LONGEST_BELOW > LONGEST_PATH:
        raise ConfigurationError(
            f"The path of the data folder has {len(name):,} bytes; the services need it to have"
            f" at most {LONGEST_PATH - LONGEST_BELOW:,}: {shown[:60]}...",
            remedy=remedy,
        )
