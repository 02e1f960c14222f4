"""The path that is given to the embedded engine, so that its folder can have any name.

chDB reads its path as a URI (options follow ``?``) and as UTF-8 under any locale. For a name that chDB would read otherwise, the
folder is opened and the path of the descriptor below /proc is given, which has a plain name and leads to exactly this folder,
also after a restart with another descriptor.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from sinks.errors import Fatal

#: Folders that the engine creates. Where all of them exist, a folder holds its data.
_ENGINE_FOLDERS = ("metadata", "store")


def has_plain_name(folder: Path) -> bool:
    """Whether the embedded engine reads the name of the folder as the file system does."""
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
    """The path to give to the engine: the folder, or the path of the open descriptor below /proc."""
    # "file:" prevents the driver from resolving the link back into the name.
    return str(folder) if descriptor is None else f"file:/proc/self/fd/{descriptor}"


def _refuse_misplaced(folder: Path) -> None:
    """Raise an error when an earlier version, which cut the path at ``?``, may have stored the data under the cut path.

    Raises:
        Fatal: the data may be in the folder with the cut path. An empty folder would hide it.
    """
    cut = Path(str(folder).partition("?")[0])
    if cut == folder or not all((cut / name).is_dir() for name in _ENGINE_FOLDERS):
        return
    if not any((folder / name).is_dir() for name in _ENGINE_FOLDERS):
        raise Fatal(
            f"The data of the embedded ClickHouse in {folder} may be in {cut}, where an earlier version stored it."
            f" Move the contents of {cut} into {folder}, or elsewhere when they belong to another stack."
        )
