"""The published indicators: which counts (domain.tiers) they divide, as numerator over denominator.

I1  tỷ lệ hồ sơ trực tuyến toàn trình: settled toàn trình / settled
I5  tỷ lệ hồ sơ trực tuyến:            submitted online / submitted

Numerators and denominators are summed over agencies and then divided; ratios are never averaged. A denominator of 0 means
"no data", never 0 %. Sources and open questions: docs/domain.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Indicator:
    """One indicator, with the names of the two counts that it divides."""

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
    """A numerator and a denominator, both whole numbers (of dossiers, procedures or services)."""

    numerator: int
    denominator: int

    def __add__(self, other: Ratio) -> Ratio:
        return Ratio(self.numerator + other.numerator, self.denominator + other.denominator)

    @property
    def no_data(self) -> bool:
        """Whether nothing was counted."""
        return self.denominator == 0


def ratio_of(indicator: Indicator, counts: object) -> Ratio:
    """The indicator's two counts from an object with counts (``sinks.contract.tallies.Counts`` or similar)."""
    return Ratio(int(getattr(counts, indicator.numerator)), int(getattr(counts, indicator.denominator)))
