"""The definition of a group of figures over whole dossiers, and its rates. ``domain.figure_groups`` lists the groups."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from domain.indicators import Indicator, Ratio


class Grouping(enum.StrEnum):
    """The parts for which figures are shown separately; the value is the name in options."""

    UNIT = "unit"
    SUB_UNIT = "sub-unit"  # the receiving unit that the dossier code names
    PROCEDURE = "procedure"


@dataclass(frozen=True, slots=True)
class Group:
    """A group of figures that are counted together.

    Attributes:
        name: name of the group in options and in JSON.
        name_vi, name_en: headings.
        figures: the group's counts in order. ``numerator`` names the count itself, ``denominator`` another count, or "": no rate.
        by_last_day: whether units are followed through the successions to the last day of the period, whatever the report's units
            (``domain.unit_maps``) are.
        in_tallies: whether the tallies have the counts; otherwise they are read from whole dossiers.
    """

    name: str
    name_vi: str
    name_en: str
    figures: tuple[Indicator, ...]
    by_last_day: bool = False
    in_tallies: bool = False

    @property
    def counts(self) -> tuple[str, ...]:
        """The names of the group's counts, in order."""
        return tuple(figure.code for figure in self.figures)

    @property
    def rates(self) -> tuple[Indicator, ...]:
        """The figures of the group that are rates: those with a denominator."""
        return tuple(figure for figure in self.figures if figure.denominator)


def rate(figure: Indicator, counts: Mapping[str, int]) -> Ratio:
    """The numerator and denominator of a figure that is a rate, taken from the counts of its group."""
    return Ratio(counts.get(figure.numerator, 0), counts.get(figure.denominator, 0))


#: Group -> (the count that would be above 0, the count of dossiers without due date).
_NEEDS_DUE: Final = {"due": ("due", "without_due_date"), "due-766": ("base_766", "no_due_date_766")}


def lacks_due_dates(group: str, figure: Indicator, counts: Mapping[str, int]) -> bool:
    """Whether a rate of a group means nothing, because the dossiers that it is about have no due date."""
    if group in _NEEDS_DUE:
        base, without = _NEEDS_DUE[group]
        return figure.denominator == base and not counts.get(base, 0) and counts.get(without, 0) > 0
    if group == "settled-due" and figure.code != "settled_without_due_date":
        return 0 < counts.get("settled", 0) == counts.get("settled_without_due_date", 0)
    return False
