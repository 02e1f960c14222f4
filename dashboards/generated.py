"""Writes committed files that code generates, and finds those that are out of date."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import typer

from domain.errors import ConfigurationError
from pipeline.whole_files import write_whole


def write_files(texts: Mapping[Path, str]) -> list[Path]:
    """Write every text to its path, with its folder where that is missing; returns the paths in the order given."""
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, text.encode())
    return list(texts)


def outdated_files(texts: Mapping[Path, str]) -> list[Path]:
    """The paths whose file is missing or holds another text."""
    return [path for path, text in texts.items() if not path.is_file() or path.read_text(encoding="utf-8") != text]


def require_unchanged(changed: Sequence[Path], *, rebuild: str) -> None:
    """Raise an error if ``changed``, the generated files that are out of date, is not empty.

    Otherwise print that all are current.

    Raises:
        ConfigurationError: there are such files; the message names them and ``rebuild``, the command that regenerates them.
    """
    if changed:
        names = ", ".join(path.name for path in changed)
        raise ConfigurationError(f"Generated files are out of date: {names}.", remedy=f"Run `{rebuild}` and commit the result.")
    typer.echo("unchanged")
