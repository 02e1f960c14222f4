"""Finds the messages of a node whose folder's name an earlier version handed to Java unescaped, and brings them home.

``log.dirs`` held the whole path then. Java read it as ISO-8859-1, took backslashes for escapes and commas for separators, so the
messages of a folder with such a name lie in another one.
"""

from __future__ import annotations

import re
import shutil
from contextlib import suppress
from pathlib import Path

from domain.errors import ConfigurationError

_PROPERTIES = "server.properties"
_LOGS = "logs"
_META = "meta.properties"
_ESCAPES = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}


def bring_home(folder: Path, *, cluster_id: str) -> None:
    """Move the messages of the node in ``folder`` to where they belong, if they lie in one other folder.

    Raises:
        ConfigurationError: they lie in several folders (the name holds a comma).
    """
    properties = folder / _PROPERTIES
    home = folder / _LOGS
    if (home / _META).exists() or not properties.exists():
        return
    entries = read_as_java(properties.read_bytes())
    found = [entry for entry in entries if entry != home and _is_of(entry, cluster_id)]
    if not found:
        return
    if len(entries) > 1:
        places = " and ".join(str(entry) for entry in entries)
        raise ConfigurationError(
            f"Kafka's messages of {folder} lie in {places}: an earlier version took the comma in the name for a separator.",
            remedy="What was counted is kept in the events of ClickHouse. Start with a new --data folder"
            " and send the events again (portalpulse replay), or go on with the version that made the folder.",
        )
    with suppress(OSError):
        home.rmdir()
    shutil.move(found[0], home)
    for parent in found[0].parents:  # folders that only the wrong name had made
        try:
            parent.rmdir()
        except OSError:
            break


def read_as_java(properties: bytes) -> list[Path]:
    """The folders that Java reads from the line ``log.dirs`` of a properties file."""
    match = re.search(r"^log\.dirs=(.*)$", properties.decode("iso-8859-1"), re.MULTILINE)
    if match is None:
        return []
    value = re.sub(r"\\(u[0-9a-fA-F]{4}|.)", _unescaped, match[1])
    return [Path(entry.strip()) for entry in value.split(",") if entry.strip()]


def _unescaped(match: re.Match[str]) -> str:
    escape = match[1]
    if len(escape) == 5:
        return chr(int(escape[1:], 16))
    return _ESCAPES.get(escape, escape)


def _is_of(entry: Path, cluster_id: str) -> bool:
    try:
        meta = (entry / _META).read_text(encoding="utf-8")
    except OSError:
        return False
    return f"cluster.id={cluster_id}" in meta.splitlines()
