"""The class of a rate, which decides its colour on boards and in reports: zero, below 5 %, below 10 %, below target, target met.

5 % and 10 % are limits that press and ministry use, not legal ones. Classes raise no alert: settings (``ThresholdPolicy``) do.
Classes compare exact fractions; exactly 5 % is not below 5 %.
"""

from __future__ import annotations

import enum
from fractions import Fraction
from typing import Final

from domain.indicators import Ratio


class RateClass(enum.StrEnum):
    """The classes of rates, the lowest first, then those without a target and without data."""

    ZERO = "zero"
    BELOW_5 = "below_5"
    BELOW_10 = "below_10"
    BELOW_TARGET = "below_target"
    MET = "met"
    NO_TARGET = "no_target"
    NO_DATA = "no_data"


#: The limits between classes, the lowest first.
_LIMITS: Final = ((Fraction(5, 100), RateClass.BELOW_5), (Fraction(10, 100), RateClass.BELOW_10))


def next_limit(name: RateClass, target: Fraction | None) -> Fraction | None:
    """The limit that a rate of this class must reach for the next class; None when there is none."""
    if name is RateClass.ZERO:
        return _LIMITS[0][0]
    if name is RateClass.BELOW_TARGET:
        return target
    return next((limit for limit, below in _LIMITS if below is name), None)


def class_of(ratio: Ratio, target: Fraction | None) -> RateClass:
    """The class of a rate, compared with the limits and ``target`` as exact fractions. ``target`` None: there is no target."""
    if ratio.no_data:
        return RateClass.NO_DATA
    rate = Fraction(ratio.numerator, ratio.denominator)
    if rate == 0:
        return RateClass.ZERO
    for limit, name in _LIMITS:
        if rate < limit:
            return name
    if target is None:
        return RateClass.NO_TARGET
    return RateClass.MET if rate >= target else RateClass.BELOW_TARGET
