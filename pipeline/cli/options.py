"""Options that several commands share, and their parsers."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Annotated

import typer

from domain.errors import ConfigurationError
from domain.periods import parse_day
from pipeline.folders import folder

Data = Annotated[Path | None, typer.Option("--data", parser=folder, help="Folder of the running stack.", metavar="DIR")]


def day(option: str, text: str) -> dt.date:
    """Parse the civil day of an option such as ``--from``.

    Raises:
        ConfigurationError: it is not a day; names the option.
    """
    try:
        return parse_day(text)
    except ValueError as error:
        raise ConfigurationError(f"{option} must be a day such as 2024-08-20, not {text!r}.") from error
