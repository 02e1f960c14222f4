"""How commands find the running local stack: by ``DIR/addresses.json`` and the lock that the stack holds."""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from domain.errors import ConfigurationError
from pipeline.bounded_files import bounded_content
from pipeline.texts import read_json, require_text

FILE_NAME = "addresses.json"
#: Header of every answer of a process of portalpulse: an answer without it comes from another program.
SIGNATURE = "Portalpulse-Version"
#: Locked by the stack that owns the folder; holds its process id.
LOCK_NAME = "stack.lock"


@dataclass(frozen=True, slots=True)
class Addresses:
    """The addresses of the parts of a local stack: ``kafka`` as host:port, the others as URLs.

    ``clickhouse`` is empty when the engine is embedded in the worker.
    """

    kafka: str
    http: str
    prometheus: str
    alertmanager: str
    clickhouse: str = ""


def read_addresses(data_dir: Path) -> Addresses | None:
    """The addresses of the stack that runs on ``data_dir``, or None when no stack runs on it.

    Raises:
        ConfigurationError: the file of addresses exists, but cannot be read or is not one that ``portalpulse up`` writes.
    """
    path = data_dir / FILE_NAME
    try:
        fields = read_json(bounded_content(path).decode("utf-8"))
        wanted = {name: _text(fields[name], name) for name in ("kafka", "http", "prometheus", "alertmanager")}
        return Addresses(**wanted, clickhouse=_text(fields.get("clickhouse", ""), "clickhouse"))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be read: {error.strerror or error}.",
            remedy="Make it readable for this user, or name another folder with --data.",
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(
            f"{path} cannot be used: {error}.",
            remedy="Stop the stack, delete the file and start `portalpulse up` again.",
        ) from error


def _text(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} is not a text")
    require_text(value)
    return value


def write_addresses(data_dir: Path, addresses: Addresses) -> None:
    """Write the file of addresses in one step, so that a reader never sees a part of it."""
    path = data_dir / FILE_NAME
    scratch = path.with_suffix(".new")
    scratch.write_text(json.dumps(asdict(addresses), indent=2) + "\n", encoding="utf-8")
    scratch.replace(path)


def remove_addresses(data_dir: Path) -> None:
    """Remove the file of addresses: no stack runs on ``data_dir`` any more."""
    (data_dir / FILE_NAME).unlink(missing_ok=True)


def owner_of(data_dir: Path) -> int | None:
    """The process id of the stack that holds the folder's lock; 0: it is held, but the id is not known; None: it is free."""
    try:
        lock = os.open(data_dir / LOCK_NAME, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe would wait for a writer
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.read(lock, 20).decode("ascii", "replace").strip()
        return int(text) if text.isdigit() and psutil.pid_exists(int(text)) else 0
    finally:
        os.close(lock)
    return None
