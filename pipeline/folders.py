"""Folders as arguments of commands."""

from __future__ import annotations

from pathlib import Path

import typer


def folder(text: str | Path) -> Path:
    """The folder that an option names. An empty text would be the current folder: mostly a shell variable that is not set.

    Raises:
        typer.BadParameter: it is empty.
    """
    if not str(text):
        raise typer.BadParameter("the name of the folder is empty; the current folder is called .")
    return Path(text)
