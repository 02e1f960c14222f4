"""What a group of figures over whole dossiers is, and its rates. ``domain.figure_groups`` lists the groups."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from domain.indicators import Indicator, Ratio


class Grouping(enum.StrEnum):
    """By what figures are divided; the value is the name of the option."""

    UNIT = "unit"
    SUB_UNIT = "sub-unit"  # the receiving unit that the dossier code names
    PROCEDURE = "procedure"


@dataclass(frozen=True, slots=True)
class Group:
    """A group of figures.

    Attributes:
        name: in options and in JSON.
        name_vi, name_en: headings.
        figures: its counts in order; ``numerator`` is the name of the count and ``denominator`` that of another count or "".
        by_last_day: whether units are followed through the successions to the last day of the period, whatever map a report has.
        in_tallies: whether its counts are tallied; else they are read from whole dossiers.
    """

    name: str
    name_vi: str
    name_en: str
    figures: tuple[Indicator, ...]
    by_last_day: bool = False
    in_tallies: bool = False

    @property
    def counts(self) -> tuple[str, ...]:
        """The names of its counts, in order."""
        return tuple(figure.code for figure in self.figures)

    @property
    def rates(self) -> tuple[Indicator, ...]:
        """Its figures that are rates."""
        return tuple(figure for figure in self.figures if figure.denominator)


def rate(figure: Indicator, counts: Mapping[str, int]) -> Ratio:
    """The numerator and denominator of a rate of a group."""
    return Ratio(counts.get(figure.numerator, 0), counts.get(figure.denominator, 0))


#: Group -> (the count that would be above 0, the count of dossiers without due date).
_NEEDS_DUE: Final = {"due": ("due", "without_due_date"), "due-766": ("base_766", "no_due_date_766")}


def lacks_due_dates(group: str, figure: Indicator, counts: Mapping[str, int]) -> bool:
    """Whether a rate says nothing because its dossiers have no due date."""
    if group in _NEEDS_DUE:
        base, without = _NEEDS_DUE[group]
        return figure.denominator == base and not counts.get(base, 0) and counts.get(without, 0) > 0
    if group == "settled-due" and figure.code != "settled_without_due_date":
        return 0 < counts.get("settled", 0) == counts.get("settled_without_due_date", 0)
    return False
