"""The published indicators: which counts (domain.tiers) they divide, as numerator over denominator.

I1  tỷ lệ hồ sơ trực tuyến toàn trình: settled toàn trình / settled
I5  tỷ lệ hồ sơ trực tuyến:            submitted online / submitted

Numerators and denominators are summed over agencies, then divided; ratios are never averaged. A denominator of 0 is
"no data", never 0 %. Sources and open questions: docs/domain.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Indicator:
    """One indicator: the names of the two counts it divides."""

    code: str
    name_vi: str
    numerator: str
    denominator: str


INDICATORS: Final[Mapping[str, Indicator]] = {
    "I1": Indicator("I1", "Tỷ lệ hồ sơ trực tuyến toàn trình", "settled_full", "settled"),
    "I5": Indicator("I5", "Tỷ lệ hồ sơ trực tuyến", "submitted_online", "submitted"),
}


@dataclass(frozen=True, slots=True)
class Ratio:
    """A numerator and a denominator, both whole dossiers."""

    numerator: int
    denominator: int

    def __add__(self, other: Ratio) -> Ratio:
        return Ratio(self.numerator + other.numerator, self.denominator + other.denominator)

    @property
    def no_data(self) -> bool:
        """Nothing was counted: neither good nor bad."""
        return self.denominator == 0


def ratio_of(indicator: Indicator, counts: object) -> Ratio:
    """The indicator's two counts out of a row of counts (``sinks.contract.Counts`` or alike)."""
    return Ratio(int(getattr(counts, indicator.numerator)), int(getattr(counts, indicator.denominator)))
