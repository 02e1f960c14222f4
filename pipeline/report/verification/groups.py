"""Lists what one dossier adds to the figures of a period: ``GROUPS`` has one entry for each group of figures of a report.

To verify another group, add an entry with the place of its counts in the rows of the report's JSON, and the domain's function.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final

from domain import figure_groups
from domain.dossiers import Dossier
from domain.group_counts import Addition, Circumstances, additions
from domain.periods import Period, civil_day
from pipeline.report.request import ReportRequest


class Needs(enum.Enum):
    """Which message a dossier must have to add to a group of figures."""

    WITHIN = "a message in the period"
    UNTIL_END = "a message in the period or before"
    EVER = "any message"


@dataclass(frozen=True, slots=True)
class FigureGroup:
    """A group of figures that are added up over units and blocks.

    Attributes:
        name: the name of the group.
        place: the keys that lead to the counts in a row of the report's JSON.
        place_before: the keys that lead to the counts of the earlier period.
        of: returns the (event, name of a count) pairs of a dossier; each pair adds 1 to that count of the event's stored unit.
        needs: which message a dossier must have to add to the group.
        by_last_day: whether units are followed through the successions to the last day of the period, instead of by the unit
            map of the report.
        asked: returns whether a report has the group.
        divided: whether the group is divided by sub-unit or procedure when the report is; False: it is always by unit.
    """

    name: str
    place: tuple[str, ...]
    place_before: tuple[str, ...]
    of: Callable[[Dossier, Circumstances], Iterable[Addition]]
    needs: Needs = Needs.WITHIN
    by_last_day: bool = False
    asked: Callable[[ReportRequest], bool] = lambda _: True
    divided: bool = True


def _milestones(dossier: Dossier, circumstances: Circumstances) -> Iterator[Addition]:
    """Yield (event, name of a count) for each milestone of the dossier in the period."""
    period = circumstances.period
    for event in dossier.events:
        if period.start <= civil_day(event.occurred_at) <= period.end:
            yield from ((event, name) for name in dossier.counts_of(event))
            if event is dossier.given_back:
                yield event, "given_back"


#: The dossiers that may add to a group beside those with a message in the period. A due day may lie before the first event.
_NEEDS: Final = {"balance": Needs.UNTIL_END, "due": Needs.EVER, "due-766": Needs.UNTIL_END}


def _group(name: str) -> FigureGroup:
    return FigureGroup(
        name,
        ("figures", name, "counts"),
        ("figures", name, "before", "counts"),
        partial(additions, name),
        needs=_NEEDS.get(name, Needs.WITHIN),
        by_last_day=figure_groups.GROUPS[name].by_last_day,
        asked=lambda request: name in request.groups_read,
    )


#: The counts of dossiers; ``events`` are counted beside the dossiers, because they count whatever becomes of these. Those of
#: before stand in the report as the numerators and denominators of indicators.
COUNTS: Final = "counts"
GROUPS: Final = (
    FigureGroup(COUNTS, ("counts",), (), _milestones, divided=False),
    *(_group(name) for name in figure_groups.GROUPS),
)


def periods_of(request: ReportRequest) -> tuple[Period, ...]:
    """The periods of a report: first its own, then, with a comparison, the earlier period."""
    return tuple(named.period for named in (request.period, request.compared) if named is not None)
