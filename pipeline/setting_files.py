"""Reads a file that a setting names."""

from __future__ import annotations

from pathlib import Path

from domain.errors import ConfigurationError


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
        return Path(path).read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ConfigurationError(
            f"{variable} names {path}, which cannot be read: {reason}.", remedy=f"Name a file {holds}, or remove the variable."
        ) from error
