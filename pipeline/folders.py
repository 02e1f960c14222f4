"""Reads the names of folders that commands get as options."""

from __future__ import annotations

from pathlib import Path

import typer


def folder(text: str | Path) -> Path:
    """The folder that an option names. In ``missing/../x`` the folder ``missing`` need not exist: every command then uses x.

    Raises:
        typer.BadParameter: the name is empty. It would mean the current folder, but mostly a shell variable is not set.
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
