"""A note of which brokers a command was talking to when a library crashed it, for the process that waits for the command."""

from __future__ import annotations

import mmap
from typing import Final

_BYTES: Final = 4096
_page: mmap.mmap | None = None
_named_by = "PORTALPULSE_KAFKA__BOOTSTRAP"


def share() -> None:
    """Create the shared memory for notes: processes forked after this call can write them, and this process can read them."""
    global _page  # noqa: PLW0603 - one page for each process
    _page = mmap.mmap(-1, _BYTES)


def named_by(what: str) -> None:
    """Set the setting or option from which the addresses of later calls of ``write`` come."""
    global _named_by  # noqa: PLW0603 - as above
    _named_by = what


def write(brokers: str) -> None:
    """Note the addresses of Kafka that the command uses from now on. Does nothing before ``share`` was called."""
    if _page is not None:
        text = f"{_named_by}\n{brokers}".encode("utf-8", "replace")[: _BYTES - 1]
        _page[: len(text) + 1] = text + b"\0"


def read() -> tuple[str, str]:
    """The addresses that ``write`` noted last, and the setting or option from which they come; empty: none."""
    text = b"" if _page is None else bytes(_page).partition(b"\0")[0]
    named, _, brokers = text.decode("utf-8", "replace").partition("\n")
    return brokers, named
