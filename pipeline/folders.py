"""Folders as arguments of commands."""

from __future__ import annotations

from pathlib import Path

import typer


def folder(text: str | Path) -> Path:
    """The folder that an option names. An empty text would be the current folder: mostly a shell variable that is not set.

    In ``missing/../x`` the first part need not exist. `up` finds the folder x, so every command must.

    Raises:
        typer.BadParameter: it is empty.
    """
    if not str(text):
        raise typer.BadParameter("the name of the folder is empty; the current folder is called .")
    path = Path(text)
    if ".." not in path.parts:
        return path
    try:
        return path.resolve()
    except RuntimeError:  # links in a circle: reported when it is opened
        return path
