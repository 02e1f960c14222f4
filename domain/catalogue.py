"""The service catalogue (danh mục dịch vụ công): which procedures an agency offers, at which level, from when until when.

An entry is one procedure of one agency during a span of days; the procedure at that agency is a *service*. A service has any
number of entries over time, and at most one on a day. Indicators about what is offered are in ``domain.supply``.
Source of the rules: docs/catalogue.md.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from domain.errors import ConfigurationError
from domain.events import ServiceLevel
from domain.periods import Period

#: What an entry counts as that has a legacy level only (Thông tư 32/2017/TT-BTTTT).
LEVEL_OF_LEGACY: Final[Mapping[int, str]] = {
    0: "",
    1: ServiceLevel.INFORMATION,
    2: ServiceLevel.INFORMATION,
    3: ServiceLevel.PARTIAL,
    4: ServiceLevel.FULL,
}
#: The levels from the lowest to the highest; an unknown one is the lowest.
LEVELS: Final = ("", ServiceLevel.INFORMATION, ServiceLevel.PARTIAL, ServiceLevel.FULL)
#: The columns of a file that holds a catalogue, in the order in which they are written.
COLUMNS: Final = (
    "agency_code",
    "procedure_code",
    "name",
    "service_level",
    "legacy_level",
    "eligible",
    "longest_days",
    "valid_from",
    "valid_to",
)
_ONE_DAY: Final = dt.timedelta(days=1)


class ServiceKey(NamedTuple):
    """A service: a procedure at an agency."""

    agency: str
    procedure_code: str


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """One procedure of one agency from ``valid_from`` to ``valid_to``, both included."""

    agency: str  # level-1 code
    procedure_code: str
    valid_from: dt.date
    valid_to: dt.date | None = None  # None: no end is known
    name: str = ""
    service_level: str = ""  # of ``ServiceLevel``; "": not stated
    legacy_level: int = 0  # 1 to 4; 0: not stated
    eligible: bool | None = None  # may it be offered toàn trình; None: not stated
    longest_days: int | None = None  # longest time of the procedure in calendar days; None: not stated

    @property
    def service(self) -> ServiceKey:
        """The service to which the entry belongs."""
        return ServiceKey(self.agency, self.procedure_code)

    def in_force(self, day: dt.date) -> bool:
        """Whether ``day`` is within the days of the entry."""
        return self.valid_from <= day and (self.valid_to is None or day <= self.valid_to)

    def overlaps(self, other: CatalogueEntry) -> bool:
        """Whether the days of this entry and of ``other`` overlap."""
        first, second = sorted((self, other), key=lambda entry: entry.valid_from)
        return first.valid_to is None or first.valid_to >= second.valid_from


def level_of(entry: CatalogueEntry) -> str:
    """The level that an entry counts as: its service level, else the one its legacy level stands for; "" when it has neither."""
    return entry.service_level or LEVEL_OF_LEGACY[entry.legacy_level]


def is_online(entry: CatalogueEntry) -> bool:
    """Whether the entry's service is an online service: một phần or toàn trình, or legacy level 3 or 4."""
    return level_of(entry) in (ServiceLevel.PARTIAL, ServiceLevel.FULL)


def is_full(entry: CatalogueEntry) -> bool:
    """Whether the entry's service is offered toàn trình, or at legacy level 4."""
    return level_of(entry) == ServiceLevel.FULL


class OverlapError(ConfigurationError):
    """Two entries of one service overlap: they share a day. ``earlier`` is the one that begins first."""

    def __init__(self, earlier: CatalogueEntry, later: CatalogueEntry) -> None:
        self.earlier, self.later = earlier, later
        super().__init__(
            f"{later.agency} has two entries for the procedure {later.procedure_code} on {later.valid_from}: "
            f"{span_text(earlier)} and {span_text(later)}.",
            remedy="End the earlier entry (valid_to) before the later one begins.",
        )


def span_text(entry: CatalogueEntry) -> str:
    """The days of an entry as words of a sentence: from 2024-01-01 to 2024-12-31, or from 2024-01-01 on."""
    return f"from {entry.valid_from} " + ("on" if entry.valid_to is None else f"to {entry.valid_to}")


class Catalogue:
    """The entries of any number of agencies, by service and day. Immutable.

    Raises:
        OverlapError: two entries of one service share a day.
    """

    def __init__(self, entries: Iterable[CatalogueEntry]) -> None:
        services: dict[ServiceKey, list[CatalogueEntry]] = defaultdict(list)
        for entry in sorted(entries, key=lambda entry: (entry.service, entry.valid_from)):
            spans = services[entry.service]
            if spans and spans[-1].overlaps(entry):
                raise OverlapError(spans[-1], entry)
            spans.append(entry)
        self._services = {service: tuple(spans) for service, spans in services.items()}
        days: dict[str, dict[tuple[dt.date, dt.date | None], None]] = defaultdict(dict)
        for entry in self:
            days[entry.agency][entry.valid_from, entry.valid_to] = None  # a few different ones
        self._days = {agency: tuple(spans) for agency, spans in days.items()}

    def __iter__(self) -> Iterator[CatalogueEntry]:
        """The entries by agency, procedure and day."""
        for spans in self._services.values():
            yield from spans

    def __len__(self) -> int:
        return sum(map(len, self._services.values()))

    @property
    def agencies(self) -> tuple[str, ...]:
        """The agencies that have an entry, sorted."""
        return tuple(sorted({service.agency for service in self._services}))

    def level(self, agency: str, procedure: str, day: dt.date) -> str:
        """The level that a service counts as on a day; "" when its entry has no level or it has no entry on that day."""
        entry = self.entry(agency, procedure, day)
        return "" if entry is None else level_of(entry)

    def covers(self, agency: str, day: dt.date) -> bool:
        """Whether the agency has any entry in force on a day."""
        return any(start <= day and (end is None or day <= end) for start, end in self._days.get(agency, ()))

    def entry(self, agency: str, procedure_code: str, day: dt.date) -> CatalogueEntry | None:
        """The entry of a service on ``day``, or None."""
        spans = self._services.get(ServiceKey(agency, procedure_code), ())
        return next((entry for entry in spans if entry.in_force(day)), None)

    def in_force(self, day: dt.date) -> tuple[CatalogueEntry, ...]:
        """The entries in force on ``day``, one for each service that is offered then."""
        return tuple(entry for entry in self if entry.in_force(day))

    def opened(self, period: Period) -> tuple[CatalogueEntry, ...]:
        """The entries that begin in the period, of services that were not offered the day before."""
        return tuple(
            entry
            for entry in self
            if period.start <= entry.valid_from <= period.end and self._beside(entry, entry.valid_from, -_ONE_DAY) is None
        )

    def closed(self, period: Period) -> tuple[CatalogueEntry, ...]:
        """The entries whose last day is in the period, of services that are not offered the day after."""
        return tuple(
            entry
            for entry in self
            if entry.valid_to is not None
            and period.start <= entry.valid_to <= period.end
            and self._beside(entry, entry.valid_to, _ONE_DAY) is None
        )

    def _beside(self, entry: CatalogueEntry, day: dt.date, step: dt.timedelta) -> CatalogueEntry | None:
        """The entry that the service of ``entry`` has on ``day`` + ``step``, or None."""
        return self.entry(entry.agency, entry.procedure_code, day + step)


#: The catalogue before any was loaded.
NO_ENTRIES: Final = Catalogue(())


def services_by_level(entries: Iterable[CatalogueEntry]) -> dict[str, int]:
    """Level -> number of entries that count as it. Has every level of ``LEVELS``, 0 for those without an entry."""
    found = Counter(level_of(entry) for entry in entries)
    return {str(level): found[level] for level in LEVELS}
