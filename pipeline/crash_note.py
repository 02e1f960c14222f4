"""What a command was doing when a library of it broke down, for the process that waits for the command."""

from __future__ import annotations

import mmap
from typing import Final

_BYTES: Final = 4096
_page: mmap.mmap | None = None
_named_by = "PORTALPULSE_KAFKA__BOOTSTRAP"


def share() -> None:
    """Keep notes where processes that are forked from now on can write them, and this one can read them."""
    global _page  # noqa: PLW0603 - one page for each process
    _page = mmap.mmap(-1, _BYTES)


def named_by(what: str) -> None:
    """Note what names the addresses that ``write`` gets from now on."""
    global _named_by  # noqa: PLW0603 - as above
    _named_by = what


def write(brokers: str) -> None:
    """Note the addresses of Kafka that are used from now on. Without ``share`` nothing is kept."""
    if _page is not None:
        text = f"{_named_by}\n{brokers}".encode("utf-8", "replace")[: _BYTES - 1]
        _page[: len(text) + 1] = text + b"\0"


def read() -> tuple[str, str]:
    """The addresses that ``write`` got latest, and what names them; empty: none."""
    text = b"" if _page is None else bytes(_page).partition(b"\0")[0]
    named, _, brokers = text.decode("utf-8", "replace").partition("\n")
    return brokers, named
