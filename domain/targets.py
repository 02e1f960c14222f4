"""Targets of indicators, and the class of a rate: zero, below 5, below 10, below the target, met.

Targets stand in ``data/targets.csv`` with their sources. 5 % and 10 % are cut-offs of press and ministry, not legal limits.
Classes compare exact fractions; exactly 5 % is not below 5 %.
"""

from __future__ import annotations

import csv
import enum
import functools
import math
from collections.abc import Mapping
from fractions import Fraction
from importlib import resources
from typing import Final

from domain.indicators import Ratio

#: A firing alert ends only this far above its threshold (0.01 = one percentage point), so that it does not flap.
DEADBAND: Final = Fraction(1, 100)
#: The row of ``targets.csv`` that holds for every block without a row of its own.
_NATION: Final = "nation"


class RateClass(enum.StrEnum):
    """The class of a rate, the lowest first."""

    ZERO = "zero"
    BELOW_5 = "below_5"
    BELOW_10 = "below_10"
    BELOW_TARGET = "below_target"
    MET = "met"
    NO_TARGET = "no_target"
    NO_DATA = "no_data"


@functools.cache
def _targets() -> Mapping[tuple[str, int, str], Fraction]:
    """(indicator, year, block) -> lowest rate that meets the target."""
    text = resources.files("domain").joinpath("data/targets.csv").read_text(encoding="utf-8")
    return {
        (row["indicator"], int(row["period"]), row["block"]): Fraction(row["value"]) / 100
        for row in csv.DictReader(text.splitlines())
        if row["kind"] == "target" and row["comparison"] == "ge" and row["unit"] == "percent"
    }


def target_of(indicator: str, *, year: int, block: str) -> Fraction | None:
    """The target of a year for a block, else for the nation; None when there is none. ``block`` "" is the nation."""
    found = _targets()
    return found.get((indicator, year, block or _NATION), found.get((indicator, year, _NATION)))


def class_of(ratio: Ratio, target: Fraction | None) -> RateClass:
    """The class of a rate, by exact fractions."""
    if ratio.no_data:
        return RateClass.NO_DATA
    rate = Fraction(ratio.numerator, ratio.denominator)
    for limit, name in ((0, RateClass.ZERO), (Fraction(5, 100), RateClass.BELOW_5), (Fraction(10, 100), RateClass.BELOW_10)):
        if rate < limit or rate == limit == 0:
            return name
    if target is None:
        return RateClass.NO_TARGET
    return RateClass.MET if rate >= target else RateClass.BELOW_TARGET


def missing_to(ratio: Ratio, limit: Fraction) -> int | None:
    """How many new dossiers, all of them counted in the numerator, reach ``limit``: they count in the denominator, too.

    0 when it is reached; None when no number reaches it (a limit of 1).
    """
    gap = limit * ratio.denominator - ratio.numerator
    if gap <= 0:
        return 0
    return None if limit >= 1 else math.ceil(gap / (1 - limit))
