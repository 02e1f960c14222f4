"""Prints exact figures: rates in percent, changes in points and in percent, in English and Vietnamese notation.

A printed rate is cut by default, never rounded: 48 of 965 is below 5 % and prints 4.97. Decimals and rounding of a document are
options (docs/domain.md). Everything is computed from integers. Thresholds are never compared with printed figures.
``dashboards/queries/clickhouse.py`` and ``dashboards/rules/annotations.py`` cut in the languages of Grafana and Prometheus.
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
    """A number with a fixed number of decimals and a decimal point. Cut is towards zero, half-up away from it at the half.

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
    """The ratio in percent with a fixed number of decimals, or None when there is no data.

    >>> percent(Ratio(3247, 5000))
    '64.94'
    """
    if ratio.no_data:
        return None
    return decimal(Fraction(100 * ratio.numerator, ratio.denominator), decimals=decimals, rounding=rounding)


def change_in_points(before: Ratio, after: Ratio, *, decimals: int = 2) -> str | None:
    """The difference of two rates in percentage points (điểm phần trăm), exact and then cut towards zero; with its sign.

    None when either has no data.

    >>> change_in_points(Ratio(12, 100), Ratio(24, 100))
    '+12.00'
    """
    if before.no_data or after.no_data:
        return None
    difference = Fraction(after.numerator, after.denominator) - Fraction(before.numerator, before.denominator)
    return signed(decimal(100 * difference, decimals=decimals))


def change_in_percent(before: Ratio, after: Ratio, *, decimals: int = 2) -> str | None:
    """How much a rate grew in percent of what it was, exact and then cut towards zero; with its sign.

    None when either has no data, or when it was 0.

    >>> change_in_percent(Ratio(12, 100), Ratio(24, 100))
    '+100.00'
    """
    if before.no_data or after.no_data or before.numerator == 0:
        return None
    quotient = Fraction(after.numerator * before.denominator, after.denominator * before.numerator)
    return signed(decimal(100 * (quotient - 1), decimals=decimals))


def vietnamese(number: str) -> str:
    """A number with a decimal point in Vietnamese notation: dots for thousands, a comma for decimals; a sign stays."""
    sign = number[:1] if number[:1] in {"+", "-"} else ""
    whole, _, fraction = number.removeprefix(sign).partition(".")
    grouped = sign + f"{int(whole):,}".replace(",", ".")
    return f"{grouped},{fraction}" if fraction else grouped


def signed(number: str) -> str:
    """A printed number with its sign; zero has none."""
    return number if number.startswith("-") or not number.strip("0.") else f"+{number}"
