"""The standard streams of a command, whatever they are: closed, full, a pipe that nobody reads, or of a narrow encoding.

A character that the encoding lacks is written as ``?``; commands write data for programs as UTF-8 bytes, whatever the locale is.
Output that cannot be written is an error of one sentence. Messages on the error stream that cannot be written are left out: a
full disk must not end a worker by its log.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from contextlib import suppress
from typing import Any, Final, TextIO

from domain.errors import PortalPulseError

#: Columns that a person can read; what is said of a terminal beyond them is a mistake.
_WIDTHS: Final = frozenset(map(str, range(20, 1_001)))


class OutputError(PortalPulseError):
    """The standard output cannot be written (exit code 1). ``quiet``: its reader has gone and wants no more."""

    def __init__(self, error: OSError) -> None:
        super().__init__(f"The output cannot be written: {error.strerror or error}.", remedy="See where it goes to.")
        self.quiet = error.errno == errno.EPIPE


class _Output(io.FileIO):
    """A stream whose failures are ``OutputError``; what comes after the first one is dropped, so that the end is in order."""

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
    """A stream whose failures are nobody's concern."""

    def write(self, data: Any, /) -> int:
        with suppress(OSError):
            return super().write(data) or 0
        return len(data)


def prepare() -> None:
    """Make the standard streams of this process ready for whatever is written to them. Call once, first of all.

    Streams that a test or an embedding program has put in the place of the process's own are left alone.
    """
    for number in range(3):
        _occupy(number)
    _forget_odd_width()
    if sys.stdout is sys.__stdout__:
        sys.stdout = _stream(_Output, 1, sys.stdout)
    if sys.stderr is sys.__stderr__:
        sys.stderr = _stream(_Messages, 2, sys.stderr)


def finish() -> None:
    """Write what is still buffered.

    Raises:
        OutputError: it cannot be written.
    """
    sys.stdout.flush()


def _forget_odd_width() -> None:
    """Leave the width to Rich, which asks the terminal, where COLUMNS holds none: at 0 columns it prints nothing at all."""
    width = os.environ.get("COLUMNS")
    if width is not None and width not in _WIDTHS:
        del os.environ["COLUMNS"]


def _occupy(number: int) -> None:
    """Give a closed descriptor to a file that fails as a closed one does: else a socket would get it, and with it the output."""
    try:
        os.fstat(number)
    except OSError:
        # Wrong way round on purpose: reading the input and writing the output fail. Messages go nowhere.
        found = os.open(os.devnull, os.O_RDONLY if number == 1 else os.O_WRONLY)
        if found != number:
            os.dup2(found, number)
            os.close(found)
        os.set_inheritable(number, True)  # noqa: FBT003 - it takes no name


def _stream(kind: type[io.FileIO], number: int, before: TextIO | None) -> TextIO:
    raw = kind(number, "w", closefd=False)
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=before.encoding if before is not None else "utf-8",
        errors="replace" if number == 1 else "backslashreplace",
        line_buffering=number == 2 or raw.isatty(),
        write_through=isinstance(before, io.TextIOWrapper) and before.write_through,
    )
