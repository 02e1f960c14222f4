"""Formats percentages: exact arithmetic, rounded half up or truncated, in English and Vietnamese notation.

Published documents use both modes (docs/domain.md), so each report chooses its mode and decimals. Thresholds are never compared
with rounded figures.
"""

from __future__ import annotations

import enum
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal, localcontext

from domain.indicators import Ratio


class Rounding(enum.StrEnum):
    """How a percentage is reduced to its decimals; the value is the name in settings and reports."""

    HALF_UP = "half-up"
    TRUNCATE = "truncate"


_MODES = {Rounding.HALF_UP: ROUND_HALF_UP, Rounding.TRUNCATE: ROUND_DOWN}


def percent(ratio: Ratio, *, decimals: int = 2, rounding: Rounding = Rounding.HALF_UP) -> str | None:
    """The ratio in percent with a fixed number of decimals, or None when there is no data.

    >>> percent(Ratio(3247, 5000))
    '64.94'
    """
    if ratio.no_data:
        return None
    with localcontext() as context:
        context.prec = 50  # more digits than any count has, so that only the last step rounds
        exact = Decimal(100 * ratio.numerator) / Decimal(ratio.denominator)
        return str(exact.quantize(Decimal(1).scaleb(-decimals), rounding=_MODES[rounding]))


def vietnamese(number: str) -> str:
    """A number with a decimal point in Vietnamese notation: dots for thousands, a comma for decimals."""
    whole, _, fraction = number.partition(".")
    grouped = f"{int(whole):,}".replace(",", ".")
    return f"{grouped},{fraction}" if fraction else grouped
