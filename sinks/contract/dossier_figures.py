"""Reads figures over whole dossiers, grouped by stored unit and part, as ``domain.group_counts`` defines them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from domain.figure_group import Grouping
from domain.periods import Period

#: (unit as stored, part of it; "" by unit) -> count -> dossiers; counts of 0 may be missing.
GroupCounts = Mapping[tuple[str, str], Mapping[str, int]]


@dataclass(frozen=True, slots=True)
class FigureQuestion:
    """The parameters of a group of figures.

    Attributes:
        period: whole civil days.
        today: the civil day of the clock.
        grouping: what divides the counts of a unit into parts.
        longest_days: (unit as stored, procedure) -> longest time that the procedure may take (calendar days); for ``due-766``.
        deadlines: day of submission -> last day on which an answer is not late, for every day of the period on which dossiers can
            be accepted late; for ``accepted-late``.
    """

    period: Period
    today: dt.date
    grouping: Grouping = Grouping.UNIT
    longest_days: Mapping[tuple[str, str], int] = field(default_factory=dict)
    deadlines: Mapping[dt.date, dt.date] = field(default_factory=dict)


class DossierFigureReader(Protocol):
    """Counts the groups of ``domain.figure_groups`` that are not tallied, and the tallied group by procedure."""

    def counts(self, group: str, question: FigureQuestion) -> GroupCounts:
        """The counts of the group with this name, by unit and part.

        Raises:
            SinkError: the storage does not answer.
        """
        ...
