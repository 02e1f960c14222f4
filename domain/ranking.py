"""Ranks agencies by an indicator: the highest rate first, equal rates share a rank (1, 2, 2, 4)."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from domain.indicators import Ratio


def ranks(ratios: Mapping[str, Ratio], *, min_volume: int = 1) -> dict[str, int]:
    """Agency -> its rank, by exact rates. An agency without data, or with fewer dossiers than ``min_volume``, is omitted.

    Args:
        ratios: agency -> its numerator and denominator.
        min_volume: smallest denominator with which an agency is ranked.
    """
    rates = {
        name: Fraction(ratio.numerator, ratio.denominator)
        for name, ratio in ratios.items()
        if not ratio.no_data and ratio.denominator >= min_volume
    }
    found: dict[str, int] = {}
    ordered = sorted(rates, key=lambda name: (-rates[name], name))
    for position, name in enumerate(ordered, start=1):
        above = ordered[position - 2] if position > 1 else None
        found[name] = found[above] if above is not None and rates[above] == rates[name] else position
    return found
