"""Targets of indicators, read from ``data/targets.csv``, and how many dossiers are missing to reach one."""

from __future__ import annotations

import csv
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
    """The target of an indicator in a year for a block, else for the nation; None: neither has one. ``block`` "": the nation."""
    found = _targets()
    return found.get((indicator, year, block or _NATION), found.get((indicator, year, _NATION)))


def missing_to(ratio: Ratio, limit: Fraction) -> int | None:
    """How many more dossiers a rate needs to reach ``limit``, if each of them counts in numerator and denominator.

    0 when ``limit`` is reached; None when no number of dossiers reaches it (a limit of 1).
    """
    gap = limit * ratio.denominator - ratio.numerator
    if gap <= 0:
        return 0
    return None if limit >= 1 else math.ceil(gap / (1 - limit))
