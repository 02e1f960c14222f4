"""Moves the messages of a node back to its folder if an earlier version stored them elsewhere.

That version wrote the whole path to ``log.dirs`` without escaping. Java read it as ISO-8859-1, with backslashes as escapes and
commas as separators, so the messages of a folder with such a name are in another one.
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


def restore_messages(folder: Path, *, cluster_id: str) -> None:
    """Move the messages of the node in ``folder`` back to it, if they are in one other folder.

    Raises:
        ConfigurationError: the messages are in several folders (the name contains a comma).
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
        paths = " and ".join(str(entry) for entry in entries)
        raise ConfigurationError(
            f"Kafka's messages of {folder} are in {paths}: an earlier version treated the comma in the name as a separator.",
            remedy="Stored events are still in ClickHouse. Start with a new --data folder"
            " and send the events again (portalpulse replay), or use the version that created the folder.",
        )
    with suppress(OSError):
        home.rmdir()
    shutil.move(found[0], home)
    for parent in found[0].parents:  # folders that exist only because of the wrong name
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
