"""Makes the standard streams usable that may be closed, full, a pipe without a reader, or of a narrow encoding.

A character that the encoding lacks is written as ``?``. Commands write data for programs as UTF-8 bytes in every locale. Output
that cannot be written is an error of one sentence. Messages on the error stream that cannot be written are dropped: a full disk
must not end a worker through its log.
"""

from __future__ import annotations

import errno
import io
import os
import sys
import warnings
from contextlib import suppress
from typing import Any, Final, TextIO

from domain.errors import PortalPulseError

#: Plausible widths of a terminal, as text. Other values of COLUMNS are mistakes.
_WIDTHS: Final = frozenset(map(str, range(20, 1_001)))


class OutputError(PortalPulseError):
    """The standard output cannot be written (exit code 1). ``quiet``: the reader closed the pipe; then nothing is reported."""

    def __init__(self, error: OSError) -> None:
        super().__init__(
            f"The output cannot be written: {error.strerror or error}.",
            remedy="Check the file or device that it is redirected to.",
        )
        self.quiet = error.errno == errno.EPIPE


class _Output(io.FileIO):
    """A stream whose failed write raises ``OutputError``. Later writes are dropped, so that the process can end normally."""

    failed = False

    def write(self, data: Any, /) -> int:
        if not self.failed:
            try:
                return super().write(data) or 0
            except BlockingIOError:
                raise
            except OSError as error:
                self.failed = True
                raise OutputError(error) from error
        return len(data)


class _Messages(io.FileIO):
    """A stream whose failed writes are ignored."""

    def write(self, data: Any, /) -> int:
        with suppress(OSError):
            return super().write(data) or 0
        return len(data)


def prepare() -> None:
    """Prepare the standard streams of this process. Call once, before anything else.

    Streams that a test or an embedding program has replaced are left alone.
    """
    for number in range(3):
        _occupy(number)
    _remove_implausible_width()
    if sys.stdout is sys.__stdout__:
        sys.stdout = _stream(_Output, 1, sys.stdout)
    if sys.stderr is sys.__stderr__:
        sys.stderr = _stream(_Messages, 2, sys.stderr)


def ignore_warnings() -> None:
    """Ignore Python's warnings in this process and its children. They are for developers.

    With PYTHONWARNINGS=error, libraries that warn could not be imported.
    """
    sys.warnoptions.clear()  # multiprocessing passes them on
    os.environ.pop("PYTHONWARNINGS", None)
    warnings.resetwarnings()
    warnings.simplefilter("ignore")


def finish() -> None:
    """Flush the output.

    Raises:
        OutputError: it cannot be written.
    """
    sys.stdout.flush()


def _remove_implausible_width() -> None:
    """Remove an implausible variable COLUMNS, so that Rich asks the terminal: with 0 columns Rich would print nothing."""
    width = os.environ.get("COLUMNS")
    if width is not None and width not in _WIDTHS:
        del os.environ["COLUMNS"]


def _occupy(number: int) -> None:
    """Occupy a closed descriptor with a file that fails like a closed one. Otherwise a socket could get it and receive output."""
    try:
        os.fstat(number)
    except OSError:
        # Opened the wrong way on purpose: reading the input and writing the output fail. Messages are discarded.
        found = os.open(os.devnull, os.O_RDONLY if number == 1 else os.O_WRONLY)
        if found != number:
            os.dup2(found, number)
            os.close(found)
        os.set_inheritable(number, True)  # noqa: FBT003 - it takes no keyword


def _stream(kind: type[io.FileIO], number: int, before: TextIO | None) -> TextIO:
    raw = kind(number, "w", closefd=False)
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=before.encoding if before is not None else "utf-8",
        errors="replace" if number == 1 else "backslashreplace",
        line_buffering=number == 2 or raw.isatty(),
        write_through=isinstance(before, io.TextIOWrapper) and before.write_through,
    )
