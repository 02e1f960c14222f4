"""The path that the embedded engine is given, for folders with any name.

chDB reads its path as a URI (options follow ``?``) and as UTF-8 under any locale. For other names it is given the entry of the
open folder below /proc, which has a plain name and refers to exactly this folder, also after a restart with another descriptor.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from sinks.errors import Fatal

#: Folders that the engine creates. Where all of them exist, a folder holds its data.
_ENGINE_FOLDERS = ("metadata", "store")


def has_plain_name(folder: Path) -> bool:
    """Whether the engine reads the folder's name as the file system does."""
    return str(folder).isascii() and "?" not in str(folder)


def open_folder(folder: Path) -> int | None:
    """A descriptor for ``engine_path``, which must stay open while the engine runs; None when the name is plain.

    Raises:
        Fatal: the engine cannot use this name on this machine, or an earlier version stored the data elsewhere.
    """
    if has_plain_name(folder):
        return None
    _refuse_misplaced(folder)
    if sys.platform != "linux":
        if "?" in str(folder):
            raise Fatal(f"The embedded ClickHouse cannot use {folder}: the name contains a question mark. Choose another --data.")
        return None
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def engine_path(folder: Path, descriptor: int | None) -> str:
    """The path to give to the engine."""
    # "file:" prevents the driver from resolving the link back into the name.
    return str(folder) if descriptor is None else f"file:/proc/self/fd/{descriptor}"


def _refuse_misplaced(folder: Path) -> None:
    """Earlier versions let the engine cut the path at ``?``. Starting with an empty folder would hide the data stored there.

    Raises:
        Fatal: the data may be in the folder with the cut path.
    """
    cut = Path(str(folder).partition("?")[0])
    if cut == folder or not all((cut / name).is_dir() for name in _ENGINE_FOLDERS):
        return
    if not any((folder / name).is_dir() for name in _ENGINE_FOLDERS):
        raise Fatal(
            f"The data of the embedded ClickHouse in {folder} may be in {cut}, where an earlier version stored it."
            f" Move the contents of {cut} into {folder}, or elsewhere when they belong to another stack."
        )
