"""Opens recorded files, and tells whether they can be read again and are the same."""

from __future__ import annotations

import os
import shutil
import stat
import sys
import tempfile
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path
from typing import BinaryIO, Final, cast

from domain.errors import ConfigurationError

STDIN: Final = "-"


def opened_file(name: str) -> AbstractContextManager[BinaryIO]:
    """A file or standard input, opened.

    Raises:
        ConfigurationError: there is none, or it is a folder.
    """
    if name == STDIN:
        if sys.stdin is None or sys.stdin.closed:  # as cron and services start programs
            raise ConfigurationError("Standard input is closed.", remedy="Name a file, or write `< FILE` behind the command.")
        return nullcontext(cast("BinaryIO", sys.stdin.buffer))
    path = Path(name)
    if path.is_dir():
        raise ConfigurationError(
            f"{name} is a folder.", remedy=f"Name its files in the order in which they are to be sent: {path}/*"
        )
    try:
        return cast("AbstractContextManager[BinaryIO]", path.open("rb", buffering=1 << 20))
    except FileNotFoundError as error:
        raise ConfigurationError(f"{name} cannot be read: there is no such file.", remedy="Name an existing file.") from error


def seekable(file: BinaryIO, regular: BinaryIO | None, closing: ExitStack) -> BinaryIO:
    """The bytes of ``file`` in a seekable file: Parquet is read from its end."""
    if regular is not None:
        regular.seek(0)
        return regular
    whole = closing.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - it is entered here
    shutil.copyfileobj(file, whole, 1 << 20)
    whole.seek(0)
    return cast("BinaryIO", whole)


def is_regular(name: str) -> bool:
    """Whether a file can be read again. A missing file is reported when it is opened."""
    try:
        return name != STDIN and stat.S_ISREG(Path(name).stat().st_mode)
    except OSError:
        return True


def identity(name: str) -> object:
    """The same for two names of one pipe."""
    try:
        found = os.fstat(sys.stdin.fileno()) if name == STDIN else Path(name).stat()
    except (OSError, ValueError, AttributeError):  # a standard input that is closed, or no file of the system
        return name
    return found.st_dev, found.st_ino


def signature(file: BinaryIO) -> tuple[int, int, int]:
    """What changes when a file is written to or replaced."""
    found = os.fstat(file.fileno())
    return found.st_ino, found.st_size, found.st_mtime_ns


def shown_name(name: str) -> str:
    """The name of a file in messages."""
    return "Standard input" if name == STDIN else name
