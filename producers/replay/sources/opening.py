"""Opens recorded files, and tells whether they can be read again and whether they have changed."""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import IO, BinaryIO, Final, cast

from domain.errors import ConfigurationError
from producers.replay.system_errors import temporary_files

STDIN: Final = "-"
_COPIED_AT_ONCE: Final = 1 << 20


def opened_file(name: str) -> AbstractContextManager[BinaryIO]:
    """Open a file or standard input (``-``).

    Raises:
        ConfigurationError: there is no such file, or it is a folder.
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


def seekable(file: BinaryIO, regular: BinaryIO | None, name: str, closing: ExitStack) -> BinaryIO:
    """The bytes of ``file`` in a seekable file: Parquet is read from its end.

    Args:
        file: a stream that was examined.
        regular: the file itself when it is seekable and holds these bytes.
        name: of the file, for a sentence.
        closing: closes what is opened here.

    Raises:
        UnavailableError: the temporary copy cannot be written.
        OSError, EOFError, zlib.error, lzma.LZMAError: ``file`` cannot be read.
    """
    if regular is not None:
        regular.seek(0)
        return regular
    copying = partial(temporary_files, f"The temporary copy of {name}", need="a packed Parquet file is unpacked there")
    with copying():
        whole = tempfile.TemporaryFile()  # noqa: SIM115 - closed below
    closing.callback(_discard, whole)
    while block := file.read(_COPIED_AT_ONCE):
        with copying():
            whole.write(block)
    with copying():
        whole.seek(0)  # writes what is buffered
    return cast("BinaryIO", whole)


def _discard(file: IO[bytes]) -> None:
    with suppress(OSError):  # what is buffered cannot be written; the error of the first attempt is being raised
        file.close()


def is_regular(name: str) -> bool:
    """Whether the name is a regular file, which can be read again.

    Also True for a missing one, which is reported when it is opened.
    """
    try:
        return name != STDIN and stat.S_ISREG(Path(name).stat().st_mode)
    except OSError:
        return True


def identity(name: str) -> object:
    """A value that is the same for two names of one pipe."""
    try:
        found = os.fstat(sys.stdin.fileno()) if name == STDIN else Path(name).stat()
    except (OSError, ValueError, AttributeError):  # a standard input that is closed, or no file of the system
        return name
    return found.st_dev, found.st_ino


def signature(file: BinaryIO) -> tuple[int, int, int]:
    """A value that changes when the file is written to or replaced."""
    found = os.fstat(file.fileno())
    return found.st_ino, found.st_size, found.st_mtime_ns


def shown_name(name: str) -> str:
    """The name of a file in messages."""
    return "Standard input" if name == STDIN else name
