"""Errors of the system while files are read and temporary files are written, with what to do about each."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from domain.errors import UnavailableError

#: What helps whatever file it happens to.
_REMEDIES: Final = {
    errno.EMFILE: "Raise the limit of open files of this process, for example with `ulimit -n 1024`.",
    errno.ENFILE: "End programs that hold many files open: this machine has no more of them.",
    errno.ENOMEM: "Free memory, or raise the limit of this process (`ulimit -v`).",
    errno.EFBIG: "Raise the limit on the size of files (`ulimit -f`), or set TMPDIR to a folder that takes larger ones.",
}
#: What helps where a file of the user is read.
_READING: Final = {
    errno.EACCES: "Make it readable for this user.",
    errno.EPERM: "Make it readable for this user.",
    errno.ELOOP: "Name an existing file.",
    errno.ENAMETOOLONG: "Name an existing file.",
    errno.ENOTDIR: "Name an existing file.",
}
_SPACE: Final = "Set TMPDIR to a folder with free space"


def reading_remedy(error: OSError, *, otherwise: str) -> str:
    """What to do when a file cannot be read. ``otherwise``: what to do when the file or its device is damaged."""
    return _REMEDIES.get(error.errno or 0) or _READING.get(error.errno or 0) or otherwise


@contextmanager
def temporary_files(what: str, *, need: str) -> Iterator[None]:
    """Translate errors of reading and writing temporary files. Put nothing else inside: other errors concern the recording.

    Args:
        what: the files, as the message names them at its beginning.
        need: how much space they need.

    Raises:
        UnavailableError: they cannot be written.
    """
    try:
        yield
    except OSError as error:
        known, text = _REMEDIES.get(error.errno or 0), error.strerror or str(error)
        # Arrow's text says where in Arrow, and how the temporary file is called.
        reason = os.strerror(error.errno) if error.errno and "[errno " in text else text
        raise UnavailableError(f"{what} cannot be written: {reason}.", remedy=known or f"{_SPACE}; {need}.") from error
