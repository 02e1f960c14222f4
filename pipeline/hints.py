"""Makes command lines for messages that people can copy: right for this shell and folder, with quotes where needed."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path

PROGRAM = "portalpulse"


def command(*arguments: str | os.PathLike[str]) -> str:
    """A command line of this installation, for example ``.venv/bin/portalpulse report --data 'my data'``."""
    return shlex.join([*program(), *(os.fspath(argument) for argument in arguments)])


def program(*, executable: str = sys.executable, path: str | None = None, directory: Path | None = None) -> list[str]:
    """The words that start this installation of portalpulse: its name when PATH leads to it, else its path.

    Args:
        executable: the Python interpreter of the installation.
        path: the folders in which the shell looks for programs; None: PATH.
        directory: the working directory of the shell; None: that of this process.
    """
    script = Path(executable).with_name(PROGRAM)
    if not script.exists():
        return [executable, "-m", "pipeline.cli"]
    on_path = shutil.which(PROGRAM, path=path)
    if on_path is not None and Path(on_path).samefile(script):
        return [PROGRAM]
    directory = directory or Path.cwd()
    return [str(script.relative_to(directory)) if script.is_relative_to(directory) else str(script)]
