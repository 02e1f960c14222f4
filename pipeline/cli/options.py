"""Parsers of options that several commands share."""

from __future__ import annotations

import datetime as dt

from domain.errors import ConfigurationError
from domain.periods import parse_day


def day(option: str, text: str) -> dt.date:
    """Parse the civil day of an option such as ``--from``.

    Raises:
        ConfigurationError: it is not a day; names the option.
    """
    try:
        return parse_day(text)
    except ValueError as error:
        raise ConfigurationError(f"{option} must be a day such as 2024-08-20, not {text!r}.") from error
