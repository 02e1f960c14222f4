"""Rates that people write in options: percent, with a decimal point or comma."""

from __future__ import annotations

import re
from fractions import Fraction

from domain.errors import ConfigurationError


def percent(text: str, *, option: str) -> Fraction:
    """A rate from 0 to 1 from the text of an option in percent.

    Raises:
        ConfigurationError: the text is not a rate; the message names the option.
    """
    if not re.fullmatch(r"\d{1,3}([.,]\d{1,6})?\s*%?", text, re.ASCII) or Fraction(_plain(text)) > 100:
        raise ConfigurationError(
            f"{option} {text[:20]!r} is not a rate.", remedy="Write percent from 0 to 100, such as 3 or 4.97."
        )
    return Fraction(_plain(text)) / 100


def _plain(text: str) -> str:
    return text.rstrip("% ").replace(",", ".")
