"""Writes files so that they appear only when they are complete. A device or a pipe is written directly, not replaced."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

#: The end of the name under which a file is written.
_SCRATCH: Final = ".new"
#: Names below these folders mean something that is open already, such as /dev/stdout.
_OPEN_ALREADY: Final = (Path("/dev"), Path("/proc"))


def is_replaceable(path: Path) -> bool:
    """Whether a path names a plain file, or nothing yet, so that a complete file may take its place.

    Raises:
        OSError: the path cannot be examined.
    """
    absolute = Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow links
    if any(folder in absolute.parents for folder in _OPEN_ALREADY):
        return False
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except FileNotFoundError:
        return True


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A binary file whose content takes the place of ``path`` when the block ends; after an error everything is as before.

    A link stays and its target is written; a file that exists keeps its permissions. A device or a pipe is opened and written.

    Raises:
        OSError: the file cannot be written; the error names ``path``.
    """
    try:
        with _whole_file(path) as file:
            yield file
    except OSError as error:
        if error.errno is None or (error.filename is not None and not str(error.filename).endswith(_SCRATCH)):
            raise
        raise type(error)(error.errno, error.strerror, str(path)) from error


@contextmanager
def _whole_file(path: Path) -> Iterator[BinaryIO]:
    if not is_replaceable(path):
        with path.open("wb") as file:
            yield file
        return
    target = path.resolve()
    mode = None
    if target.exists():
        mode = stat.S_IMODE(target.stat().st_mode)
        if not os.access(target, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
    # A short name of its own: any name that the folder takes can be written, and two processes do not share a scratch file.
    scratch = target.with_name(f".{secrets.token_hex(8)}{_SCRATCH}")
    try:
        with scratch.open("xb") as file:
            yield file
        if mode is not None:
            scratch.chmod(mode)
        scratch.replace(target)
    finally:
        scratch.unlink(missing_ok=True)


def write_whole(path: Path, content: bytes) -> None:
    """Write ``content`` as the complete file ``path``; see ``whole_file``.

    Raises:
        OSError: the file cannot be written.
    """
    with whole_file(path) as file:
        file.write(content)
