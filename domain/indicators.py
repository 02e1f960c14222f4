"""The published indicators: which counts (domain.tiers) they divide, as numerator over denominator.

Numerators and denominators are summed over agencies and then divided; ratios are never averaged. A denominator of 0 means
"no data", never 0 %. Sources and open questions: docs/domain.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Indicator:
    """One indicator.

    Attributes:
        code: as in reports, metrics and settings.
        name_vi, name_en: official name, and in English.
        numerator, denominator: names of the two counts of ``domain.tiers`` that it divides.
        placed_by: the day that places a dossier in a period.
        source: who publishes it, or where its rule comes from.
        remarks: what is open or to be known.
    """

    code: str
    name_vi: str
    name_en: str
    numerator: str
    denominator: str
    placed_by: str
    source: str
    remarks: str = ""


INDICATORS: Final[Mapping[str, Indicator]] = {
    "I1": Indicator(
        "I1",
        "Tỷ lệ hồ sơ trực tuyến toàn trình",
        "Dossiers settled toàn trình",
        "settled_full",
        "settled",
        placed_by="the day of the settled event: the first 9, else the first 10 that does not return a refused dossier",
        source="EMC (Bộ KH&CN, before 2025-03 Bộ TT&TT): official ratio; by which day a dossier is placed is derived",
        remarks="A result that was handed out at the counter does not count as toàn trình; settled_full_any_return counts it.",
    ),
    "I5": Indicator(
        "I5",
        "Tỷ lệ hồ sơ trực tuyến",
        "Dossiers submitted online",
        "submitted_online",
        "submitted",
        placed_by="the day of the submitted event: the first event of the dossier, of whatever status",
        source="formulas of the 766 index, sections 3.2 and 3.3; practice",
        remarks="Not to be mixed with I1: localities reported 83 % here while their I1 was 17,9 %.",
    ),
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
