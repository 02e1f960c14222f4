"""Values of options that several commands read alike."""

from __future__ import annotations

import datetime as dt

from domain.errors import ConfigurationError
from domain.periods import parse_day


def day(option: str, text: str) -> dt.date:
    """The civil day that an option such as ``--from`` gives.

    Raises:
        ConfigurationError: it is none; names the option.
    """
    try:
        return parse_day(text)
    except ValueError as error:
        raise ConfigurationError(f"{option} must be a day such as 2024-08-20, this is {text!r}.") from error
