"""The published indicators: numerator and denominator of each, the day that places a dossier in a period, and the publisher.

Those of ``INDICATORS`` divide two counts of dossiers (domain.tiers). Those of ``SUPPLY_INDICATORS`` divide two numbers of offered
procedures or services (domain.supply), by the service catalogue of the last day of the period. Numerators and denominators are
summed over agencies and then divided; ratios are never averaged. A denominator of 0 means "no data", never 0 %.

Sources and open questions: docs/domain.md.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final


@dataclass(frozen=True, slots=True)
class Indicator:
    """One indicator.

    Attributes:
        code: the name in reports, metrics and settings.
        name_vi, name_en: the official name, and an English one.
        numerator, denominator: the two numbers of which it is the ratio; in ``INDICATORS`` names of counts of ``domain.tiers``.
        placed_by: which day decides to which period a dossier belongs.
        source: who publishes the indicator, or where its rule comes from.
        remarks: open questions, and what a reader has to know.
    """

    code: str
    name_vi: str
    name_en: str
    numerator: str
    denominator: str
    placed_by: str
    source: str
    remarks: str = ""


class ReturnAtCounter(enum.StrEnum):
    """Whether I1 counts a dossier as toàn trình although its result was handed out at the counter. Both counts are stored."""

    EXCLUDED = "excluded"
    COUNTED = "counted"


#: The indicators of dossiers, with results that were handed out at the counter excluded from I1.
INDICATORS: Final[Mapping[str, Indicator]] = {
    "I1": Indicator(
        "I1",
        "Tỷ lệ hồ sơ trực tuyến toàn trình",
        "Dossiers settled toàn trình",
        "settled_full",
        "settled",
        placed_by="the day of the settled event: the first 9, else the first 10 that does not return a refused dossier",
        source="EMC (Bộ KH&CN, before 2025-03 Bộ TT&TT): official ratio; by which day a dossier is placed is derived",
        remarks="A result that was handed out at the counter does not count as toàn trình (return_at_counter = excluded).",
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


_AT_THE_END: Final = "the last day of the period, by the service catalogue"
_PROCEDURES: Final = "A procedure counts once in a unit, a block and the nation, at its highest level there: sums over nothing."
SUPPLY_INDICATORS: Final[Mapping[str, Indicator]] = {
    "I2a": Indicator(
        "I2a",
        "Tỷ lệ DVCTT toàn trình trên tổng số TTHC",
        "Procedures offered toàn trình, of all",
        "procedures offered toàn trình",
        "all procedures",
        placed_by=_AT_THE_END,
        source="EMC (all TTHC: 04/2025, 50,4 %)",
        remarks=_PROCEDURES,
    ),
    "I2b": Indicator(
        "I2b",
        "Tỷ lệ DVCTT toàn trình trên số TTHC có phát sinh hồ sơ",
        "Procedures offered toàn trình, of those with dossiers",
        "procedures offered toàn trình",
        "procedures with a dossier submitted in the period",
        placed_by=_AT_THE_END + "; dossiers by the submitted event",
        source="EMC (08/2024: 55,5 %)",
        remarks=_PROCEDURES,
    ),
    "I2c": Indicator(
        "I2c",
        "Tỷ lệ DVCTT toàn trình trên số TTHC đủ điều kiện",
        "Procedures offered toàn trình, of those eligible",
        "procedures offered toàn trình",
        "procedures that may be offered toàn trình",
        placed_by=_AT_THE_END,
        source="formula 3.1 of the 766 index; EMC (04/2023: over 84 %)",
        remarks=_PROCEDURES,
    ),
    "I3": Indicator(
        "I3",
        "Tỷ lệ TTHC cung cấp DVCTT",
        "Procedures offered online",
        "procedures offered một phần or toàn trình",
        "all procedures",
        placed_by=_AT_THE_END,
        source="EMC",
        remarks=_PROCEDURES,
    ),
    "I4": Indicator(
        "I4",
        "Tỷ lệ DVCTT có phát sinh hồ sơ",
        "Online services with dossiers",
        "online services with a dossier submitted online in the period",
        "services offered một phần or toàn trình",
        placed_by=_AT_THE_END + "; dossiers by the submitted event",
        source="EMC; legacy levels 3 and 4 before 2022",
        remarks="A service is a procedure at a unit: sums over units, never over periods.",
    ),
}
#: Every indicator by its code, those of dossiers as in ``INDICATORS``.
ALL_INDICATORS: Final[Mapping[str, Indicator]] = {**INDICATORS, **SUPPLY_INDICATORS}
_I1_ANY_RETURN: Final = replace(
    INDICATORS["I1"],
    numerator="settled_full_any_return",
    remarks="A result that was handed out at the counter counts as toàn trình as well (return_at_counter = counted).",
)


def indicators_by(return_at_counter: ReturnAtCounter) -> Mapping[str, Indicator]:
    """``INDICATORS``, with the numerator of I1 that ``return_at_counter`` chooses."""
    return INDICATORS if return_at_counter is ReturnAtCounter.EXCLUDED else {**INDICATORS, "I1": _I1_ANY_RETURN}


@dataclass(frozen=True, slots=True)
class Ratio:
    """A numerator and a denominator, both whole numbers (of dossiers, procedures or services)."""

    numerator: int
    denominator: int

    def __add__(self, other: Ratio) -> Ratio:
        return Ratio(self.numerator + other.numerator, self.denominator + other.denominator)

    @property
    def no_data(self) -> bool:
        """Whether the denominator is 0, which means "no data", not 0 %."""
        return self.denominator == 0


def ratio_of(indicator: Indicator, counts: object) -> Ratio:
    """The ratio of an indicator; ``counts`` has its two counts as attributes (for example ``sinks.contract.tallies.Counts``)."""
    return Ratio(int(getattr(counts, indicator.numerator)), int(getattr(counts, indicator.denominator)))
