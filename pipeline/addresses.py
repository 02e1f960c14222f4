"""``DIR/addresses.json``: how every command finds the running local stack."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from pipeline.core.errors import ConfigurationError

FILE_NAME = "addresses.json"


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the parts of a local stack listen: ``kafka`` as host:port, the others as URLs."""

    kafka: str
    http: str
    prometheus: str
    alertmanager: str


def read_addresses(data_dir: Path) -> Addresses | None:
    """The addresses of the stack that runs on ``data_dir``, or None when none is running.

    Raises:
        ConfigurationError: the file is there but is not what ``portalpulse up`` writes.
    """
    path = data_dir / FILE_NAME
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        return Addresses(**{name: fields[name] for name in ("kafka", "http", "prometheus", "alertmanager")})
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(
            f"{path} cannot be used: {error}.",
            remedy="Stop the stack, delete the file and start `portalpulse up` again.",
        ) from error


def write_addresses(data_dir: Path, addresses: Addresses) -> None:
    """Write the file in one step, so that a reader sees all of it or nothing."""
    path = data_dir / FILE_NAME
    scratch = path.with_suffix(".new")
    scratch.write_text(json.dumps(asdict(addresses), indent=2) + "\n", encoding="utf-8")
    scratch.replace(path)


def remove_addresses(data_dir: Path) -> None:
    """Say that nothing runs on ``data_dir`` any more."""
    (data_dir / FILE_NAME).unlink(missing_ok=True)
