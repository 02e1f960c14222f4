"""Reads a file that a setting names."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from domain.errors import ConfigurationError
from pipeline.bounded_files import MIB, bounded_content

#: A registry of all agencies has some 20 KB.
_LARGEST: Final = 16 * MIB


def content_of(path: str, *, variable: str, holds: str) -> bytes:
    """The bytes of a file.

    Args:
        path: its name.
        variable: the setting that names it, for the error.
        holds: what a right file has, for the remedy: "with the columns day and kind".

    Raises:
        ConfigurationError: it cannot be read.
    """
    try:
        return bounded_content(Path(path), maximum=_LARGEST)
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ConfigurationError(
            f"{variable} names {path}, which cannot be read: {reason}.", remedy=f"Name a file {holds}, or remove the variable."
        ) from error
