"""The services of one simulated agency over time: its entries of the catalogue, and which services are online when a period ends.

The number of online services (levels 3 and 4) at the end of each period is given. Services open and close in between, some rise
from level 2 to 3, and entries begin and end on the days next to the ends of periods, so that counting by a wrong day shows.
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from domain.agencies import Agency
from domain.catalogue import LEVEL_OF_LEGACY, CatalogueEntry
from domain.periods import Period
from producers.portals.catalogue import SERIES_SHARES
from producers.portals.dossier_plan import LEVELS

#: Of the online services, those that close between the ends of two periods and are replaced by as many others.
_CHURN: Final = 0.01
#: Of the services that open, those that were offered at level 2 before.
_RAISED: Final = 0.5
#: Services that open on the day after the last period.
_LATER: Final = 1
_LEVEL_4: Final = 0.3
_LEVEL_1: Final = 0.4
#: Procedure numbers lie below this.
_NUMBERS: Final = 13_000
#: Longest time of a simulated procedure (calendar days).
_DAYS: Final = (1, 60)
_ONE_DAY: Final = dt.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class ServiceStock:
    """The services of an agency; a service is an index into ``procedures``.

    Attributes:
        agency: the agency's code.
        procedures: the codes of the procedures.
        entries: the entries of the catalogue.
        levels: the highest level of each service, an index into ``producers.portals.dossier_plan.LEVELS``.
        online: for each period, the services that are online on its last day.
        information: services that never are online.
        closed: services that were online and are closed before the end of a period.
        unknown: procedures that the catalogue does not have.
    """

    agency: str
    procedures: tuple[str, ...]
    entries: tuple[CatalogueEntry, ...]
    levels: np.ndarray
    online: tuple[np.ndarray, ...]
    information: np.ndarray
    closed: np.ndarray
    unknown: np.ndarray


def service_stock(
    rng: np.random.Generator,
    agency: Agency,
    periods: Sequence[Period],
    online: Sequence[int],
    *,
    information: int,
    unknown: int = 2,
) -> ServiceStock:
    """Draw the services of an agency.

    Args:
        rng: every draw comes from this generator.
        agency: the agency.
        periods: in the order of time, without overlap.
        online: how many services are online on the last day of each period.
        information: services of levels 1 and 2.
        unknown: procedures that portals send and the catalogue does not have.
    """
    opened, closed = _changes(online)
    gone_before = max(1, round(online[0] * _CHURN))
    known = online[0] + gone_before + sum(opened) + _LATER + information
    procedures = procedure_codes(rng, known + unknown)
    legacy = np.where(rng.random(known + unknown) < _LEVEL_4, 4, 3)
    first_information = known - information
    low = np.where(rng.random(information) < _LEVEL_1, 1, 2)
    legacy[first_information:known] = low
    days = rng.integers(_DAYS[0], _DAYS[1] + 1, size=known).tolist()
    entries: list[CatalogueEntry] = []

    def add(service: int, level: int, first: dt.date, last: dt.date | None) -> None:
        entries.append(
            CatalogueEntry(
                agency.code,
                procedures[service],
                first,
                last,
                name=f"Thủ tục mô phỏng {service + 1} ({agency.short_name_vi})",
                legacy_level=level,
                eligible=level >= 3,
                longest_days=days[service],
            )
        )

    # The first ones lie right at the bounds: opened on the last day, closed on the day before it.
    end = periods[0].end
    begins = {service: end if service == 0 else _day(rng, agency.valid_from, end) for service in range(online[0])}
    present = np.arange(online[0])
    ends_of_periods = [present]
    next_service = online[0] + gone_before
    ends: dict[int, dt.date] = {}
    for service in range(online[0], next_service):
        begins[service] = agency.valid_from
        ends[service] = end - _ONE_DAY if not ends else _day(rng, agency.valid_from, end - _ONE_DAY)
    for number, (opening, closing) in enumerate(zip(opened, closed, strict=True), 1):
        earlier, last = periods[number - 1].end, periods[number].end
        gone = rng.choice(present, size=closing, replace=False)
        new = np.arange(next_service, next_service + opening)
        next_service += opening
        for place, service in enumerate(gone.tolist()):
            ends[service] = last - _ONE_DAY if place == 0 else _day(rng, earlier, last - _ONE_DAY)
        for place, service in enumerate(new.tolist()):
            begins[service] = (earlier + _ONE_DAY, last)[place] if place < 2 else _day(rng, earlier + _ONE_DAY, last)
            if rng.random() < _RAISED:
                add(service, 2, agency.valid_from, begins[service] - _ONE_DAY)
        present = np.concatenate([np.setdiff1d(present, gone), new])
        ends_of_periods.append(present)
    for service in range(next_service, first_information):
        begins[service] = periods[-1].end + _ONE_DAY
    for service in range(first_information):
        add(service, int(legacy[service]), begins[service], ends.get(service))
    for service in range(first_information, known):
        add(service, int(legacy[service]), agency.valid_from, None)
    levels = np.array([LEVELS.index(LEVEL_OF_LEGACY[int(level)]) for level in legacy], dtype=np.int8)
    return ServiceStock(
        agency=agency.code,
        procedures=procedures,
        entries=tuple(entries),
        levels=levels,
        online=tuple(ends_of_periods),
        information=np.arange(first_information, known),
        closed=np.array(sorted(ends), dtype=np.int64),
        unknown=np.arange(known, known + unknown),
    )


def procedure_codes(rng: np.random.Generator, count: int, *, first: int = 0) -> tuple[str, ...]:
    """Different codes of procedures, numbered from ``first`` on."""
    numbers = first + rng.choice(_NUMBERS, size=count, replace=False)
    series = rng.choice(3, size=count, p=SERIES_SHARES) + 1
    return tuple(f"{each}.{number:06d}" for each, number in zip(series.tolist(), numbers.tolist(), strict=True))


def _changes(online: Sequence[int]) -> tuple[list[int], list[int]]:
    """How many services open, and how many close, between the ends of two successive periods."""
    opened, closed = [], []
    for before, after in itertools.pairwise(online):
        churn = min(round(before * _CHURN), after)
        opened.append(churn + max(0, after - before))
        closed.append(churn + max(0, before - after))
    return opened, closed


def _day(rng: np.random.Generator, first: dt.date, last: dt.date) -> dt.date:
    return first + dt.timedelta(days=int(rng.integers(0, (last - first).days + 1)))
