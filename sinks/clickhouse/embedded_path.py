"""How the embedded engine is told its folder, whatever the folder is called.

chDB reads its path as a URI (what follows ``?`` are options) and takes it as UTF-8 under any locale. An open folder's entry
below /proc has a plain name and means exactly that folder, also after a restart under another number.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from sinks.errors import Fatal

#: Folders that the engine makes in its own; together they say that a folder holds its data.
_ENGINE_FOLDERS = ("metadata", "store")


def has_plain_name(folder: Path) -> bool:
    """Whether the engine reads the folder's name as the file system does."""
    return str(folder).isascii() and "?" not in str(folder)


def open_folder(folder: Path) -> int | None:
    """A descriptor for ``engine_path``, to be kept open while the engine runs; None when the name is plain.

    Raises:
        Fatal: the engine cannot use this name on this machine, or an earlier version kept the data elsewhere.
    """
    if has_plain_name(folder):
        return None
    _refuse_misplaced(folder)
    if sys.platform != "linux":
        if "?" in str(folder):
            raise Fatal(f"The embedded ClickHouse cannot use {folder}: the name holds a question mark. Choose another --data.")
        return None
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def engine_path(folder: Path, descriptor: int | None) -> str:
    """What the engine is given as its path."""
    # "file:" keeps the driver from resolving the link back into the name.
    return str(folder) if descriptor is None else f"file:/proc/self/fd/{descriptor}"


def _refuse_misplaced(folder: Path) -> None:
    """Earlier versions let the engine cut the path at ``?``; an empty folder beside such data would hide what was counted.

    Raises:
        Fatal: that is the case.
    """
    cut = Path(str(folder).partition("?")[0])
    if cut == folder or not all((cut / name).is_dir() for name in _ENGINE_FOLDERS):
        return
    if not any((folder / name).is_dir() for name in _ENGINE_FOLDERS):
        raise Fatal(
            f"The data of the embedded ClickHouse in {folder} may lie in {cut}, where an earlier version put them."
            f" Move the contents of {cut} into {folder}, or away when they belong to another stack."
        )
