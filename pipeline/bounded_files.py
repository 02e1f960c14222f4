"""Reads small files that people name. A file without an end, such as a device, is refused instead of filling the memory."""

from __future__ import annotations

import errno
from pathlib import Path

MIB = 1 << 20


def bounded_content(path: Path, *, maximum: int = MIB) -> bytes:
    """Read the bytes of a file.

    Raises:
        OSError: the file cannot be read, or has more than ``maximum`` bytes.
        ValueError: no file can have the name ``path``.
    """
    with path.open("rb") as file:
        content = file.read(maximum + 1)
    if len(content) > maximum:
        raise OSError(
            errno.EFBIG, f"it has more than {maximum // MIB:,} MiB" if maximum >= MIB else f"it has more than {maximum:,} bytes"
        )
    return content
