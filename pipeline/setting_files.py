"""Reads a file that a setting names."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from domain.errors import ConfigurationError
from pipeline.bounded_files import MIB, bounded_content

#: A registry of all agencies has some 20 KB.
_LARGEST: Final = 16 * MIB


def content_of(path: str, *, variable: str, holds: str) -> bytes:
    """Read the bytes of a file that a setting names.

    Args:
        path: the path of the file.
        variable: the setting that names the file, for the error.
        holds: which file is right, for the remedy of the error: "with the columns day and kind".

    Raises:
        ConfigurationError: the file cannot be read, or is larger than ``_LARGEST``.
    """
    try:
        return bounded_content(Path(path), maximum=_LARGEST)
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ConfigurationError(
            f"{variable} names {path}, which cannot be read: {reason}.", remedy=f"Name a file {holds}, or remove the variable."
        ) from error
