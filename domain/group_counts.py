"""What one dossier adds to each group of figures of a period. Tests compare the SQL of these counts with this module."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from domain.acceptance import FIRST_DAY, accepted_late
from domain.agencies import AgencyRegistry
from domain.balance import balance
from domain.catalogue import Catalogue
from domain.dossiers import Dossier
from domain.due_dates import Result766, by_766, by_due_day, of_the_settled
from domain.events import Channel, DossierEvent
from domain.figure_group import Grouping
from domain.periods import Period, civil_day
from domain.unit_maps import UnitMap
from domain.working_days import WorkingDays

#: The event that names unit and procedure, and the count to which its dossier adds 1.
Addition = tuple[DossierEvent, str]
_CHANNELS: Final = {0: "no_channel", Channel.IN_PERSON: "in_person", Channel.ONLINE: "online", Channel.POST: "post"}
_LEVELS: Final = {3: "online_level_3", 4: "online_level_4"}


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What the figures of a dossier depend on besides the dossier itself.

    Attributes:
        period: whole civil days.
        today: the civil day of the clock.
        longest_days: (unit as stored, procedure) -> longest time in the catalogue in calendar days; see ``longest_days`` below.
        working_days: which days are working days.
        accepted_late_from: dossiers registered before this day do not count in the group ``accepted-late``.
    """

    period: Period
    today: dt.date
    longest_days: Mapping[tuple[str, str], int] = field(default_factory=dict)
    working_days: WorkingDays = field(default_factory=WorkingDays)
    accepted_late_from: dt.date = FIRST_DAY


def part_of(grouping: Grouping, code: str, event: DossierEvent) -> str:
    """The part of its unit to which a dossier belongs, by its code or by one of its events; "" when ``grouping`` is the unit."""
    if grouping is Grouping.SUB_UNIT:
        return sub_unit(code)
    return event.procedure_code if grouping is Grouping.PROCEDURE else ""


def sub_unit(code: str) -> str:
    """The receiving unit that a dossier code names: its part before the date.

    >>> sub_unit("000.00.12.H17-250601-0002")
    '000.00.12.H17'
    """
    return code.partition("-")[0]


def longest_days(catalogue: Catalogue, registry: AgencyRegistry, day: dt.date) -> dict[tuple[str, str], int]:
    """(unit as stored, procedure) -> longest time in calendar days, from the entries in force on ``day``.

    Agencies and stored units are followed through the successions to ``day``: a merged unit has the times of its successor. When
    the entries of two agencies with one successor have the same procedure, the longer time holds.
    """
    units = UnitMap(registry, day, day)
    found: dict[tuple[str, str], int] = {}
    for entry in catalogue.in_force(day):
        unit = units.unit_of(entry.agency)
        if entry.longest_days is not None and unit is not None:
            key = unit.code, entry.procedure_code
            found[key] = max(entry.longest_days, found.get(key, 0))
    codes: dict[str, list[str]] = {}
    for code in registry.codes:
        if found and (unit := units.unit_of(code)) is not None:
            codes.setdefault(unit.code, []).append(code)
    return {(code, procedure): days for (unit_code, procedure), days in found.items() for code in codes.get(unit_code, ())}


def additions(group: str, dossier: Dossier, circumstances: Circumstances) -> Iterable[Addition]:
    """What a dossier adds to the group of ``domain.figure_groups`` with the name ``group``: each pair adds 1 to its count.

    Raises:
        ConfigurationError: the holidays of a year are not known.
    """
    return _ADDITIONS[group](dossier, circumstances)


def _balance(dossier: Dossier, circumstances: Circumstances) -> Iterator[Addition]:
    found = balance(dossier, circumstances.period)
    for name in ("received", "carried_over", "in_hand", "settled", "given_back", "open"):
        if getattr(found, name):
            yield dossier.submitted, name


def _refused(dossier: Dossier, circumstances: Circumstances) -> Iterator[Addition]:
    for name in ("refused", "withdrawn", "stopped"):
        event: DossierEvent | None = getattr(dossier, name)
        if event is not None and _within(event, circumstances.period):
            yield event, name


def _due(dossier: Dossier, circumstances: Circumstances) -> Iterator[Addition]:
    period, names = circumstances.period, []
    due = by_due_day(dossier, period, today=circumstances.today)
    if due is not None:
        names += ["due", due.value]
    part = balance(dossier, period)
    if part.given_back:
        names.append("given_back_or_withdrawn")
    if part.received:
        names.append("received")
        if dossier.due_at is None:
            names.append("without_due_date")
        if dossier.online and dossier.legacy_level in _LEVELS:
            names += [_LEVELS[dossier.legacy_level], "online"]
    yield from ((dossier.submitted, name) for name in names)


def _settled_due(dossier: Dossier, circumstances: Circumstances) -> Iterator[Addition]:
    found = of_the_settled(dossier, circumstances.period)
    if found is not None and dossier.settled is not None:
        yield dossier.settled, "settled"
        yield dossier.settled, found.value


def _due_766(dossier: Dossier, circumstances: Circumstances) -> Iterator[Addition]:
    event = dossier.submitted
    longest = circumstances.longest_days.get((event.agency, event.procedure_code))
    found = by_766(dossier, circumstances.period, longest_days=longest)
    if found is not None:
        yield event, found.value
        if found is not Result766.NO_DUE_DATE:
            yield event, "base_766"


def _accepted_late(dossier: Dossier, circumstances: Circumstances) -> Iterator[Addition]:
    late = accepted_late(
        dossier,
        circumstances.period,
        today=circumstances.today,
        working_days=circumstances.working_days,
        first_day=circumstances.accepted_late_from,
    )
    if late is not None:
        yield dossier.submitted, "registered_online"
        if late:
            yield dossier.submitted, "accepted_late"


def _channels(dossier: Dossier, circumstances: Circumstances) -> Iterator[Addition]:
    channel = _CHANNELS[dossier.channel]
    for name, event in (("submitted", dossier.submitted), ("settled", dossier.settled)):
        if event is not None and _within(event, circumstances.period):
            yield event, name
            yield event, f"{name}_{channel}"
            if name == "settled":
                full = ("settled_full", "settled_full_any_return")
                yield from ((event, f"{each}_online") for each in full if getattr(dossier, each))


def _within(event: DossierEvent, period: Period) -> bool:
    return period.start <= civil_day(event.occurred_at) <= period.end


_ADDITIONS: Final[Mapping[str, Callable[[Dossier, Circumstances], Iterator[Addition]]]] = {
    "balance": _balance,
    "refused": _refused,
    "due": _due,
    "settled-due": _settled_due,
    "due-766": _due_766,
    "accepted-late": _accepted_late,
    "channels": _channels,
}
