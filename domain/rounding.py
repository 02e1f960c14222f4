"""Turns exact figures into text: rates in percent, changes in points and in percent, in English and Vietnamese notation.

A rate is cut by default, not rounded: 48 of 965 is below 5 % and prints 4.97. The number of decimals and the rounding of a report
are options (docs/domain.md). Everything is computed from integers. Thresholds are never compared with printed figures.
``dashboards/queries/clickhouse.py`` and ``dashboards/rules/annotations.py`` do the same in SQL and in templates of Prometheus.
"""

from __future__ import annotations

import enum
from fractions import Fraction

from domain.indicators import Ratio


class Rounding(enum.StrEnum):
    """How a figure is reduced to its decimals; the value is the name in options and reports."""

    CUT = "cut"
    HALF_UP = "half-up"


def decimal(number: Fraction, *, decimals: int = 2, rounding: Rounding = Rounding.CUT) -> str:
    """A number as text with ``decimals`` decimals and a decimal point.

    ``CUT`` drops further decimals; ``HALF_UP`` rounds to the nearest, a half away from zero.

    >>> decimal(Fraction(-1, 3))
    '-0.33'
    """
    scaled = abs(number) * 10**decimals
    whole = scaled.numerator // scaled.denominator
    if rounding is Rounding.HALF_UP and 2 * (scaled - whole) >= 1:
        whole += 1
    sign = "-" if number < 0 and whole else ""
    if not decimals:
        return f"{sign}{whole}"
    digits = str(whole).rjust(decimals + 1, "0")
    return f"{sign}{digits[:-decimals]}.{digits[-decimals:]}"


def percent(ratio: Ratio, *, decimals: int = 2, rounding: Rounding = Rounding.CUT) -> str | None:
    """The ratio in percent as text with ``decimals`` decimals, or None when there is no data.

    >>> percent(Ratio(3247, 5000))
    '64.94'
    """
    if ratio.no_data:
        return None
    return decimal(Fraction(100 * ratio.numerator, ratio.denominator), decimals=decimals, rounding=rounding)


def change_in_points(before: Ratio, after: Ratio, *, decimals: int = 2) -> str | None:
    """``after`` minus ``before`` in percentage points (điểm phần trăm) as text with its sign; computed exactly, then cut.

    None when one of the two has no data.

    >>> change_in_points(Ratio(12, 100), Ratio(24, 100))
    '+12.00'
    """
    if before.no_data or after.no_data:
        return None
    difference = Fraction(after.numerator, after.denominator) - Fraction(before.numerator, before.denominator)
    return signed(decimal(100 * difference, decimals=decimals))


def change_in_percent(before: Ratio, after: Ratio, *, decimals: int = 2) -> str | None:
    """The growth of a rate in percent of the rate ``before``, as text with its sign; computed exactly, then cut.

    None when one of the two has no data, or when the rate ``before`` is 0.

    >>> change_in_percent(Ratio(12, 100), Ratio(24, 100))
    '+100.00'
    """
    if before.no_data or after.no_data or before.numerator == 0:
        return None
    quotient = Fraction(after.numerator * before.denominator, after.denominator * before.numerator)
    return signed(decimal(100 * (quotient - 1), decimals=decimals))


def vietnamese(number: str) -> str:
    """Turn a number as text into Vietnamese notation: dots for thousands, a comma for decimals. A sign stays."""
    sign = number[:1] if number[:1] in {"+", "-"} else ""
    whole, _, fraction = number.removeprefix(sign).partition(".")
    grouped = sign + f"{int(whole):,}".replace(",", ".")
    return f"{grouped},{fraction}" if fraction else grouped


def signed(number: str) -> str:
    """A number as text with a plus sign in front when it is positive; zero has no sign."""
    return number if number.startswith("-") or not number.strip("0.") else f"+{number}"
