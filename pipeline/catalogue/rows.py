"""Turns rows of a catalogue into entries, and notes all faults: of single values and of rows that contradict each other."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from domain.agencies import AgencyRegistry
from domain.catalogue import COLUMNS, CatalogueEntry, span_text
from pipeline.catalogue.faults import Faults, WrongValueError
from pipeline.catalogue.values import REQUIRED, is_missing, parsers, require_in_force

#: What to write where a row needs a value.
_NEEDED: Final[Mapping[str, str]] = {
    "agency_code": "write a level-1 code such as H55",
    "procedure_code": "write a code such as 1.001612",
    "valid_from": "write the first day on which the service is offered like this, such as 2024-08-20",
}
#: Columns whose texts are not worth remembering.
_DISTINCT: Final = frozenset({"procedure_code", "name"})


@dataclass(frozen=True, slots=True)
class Row:
    """One row as it was read. ``place``: where it was, as "line 17", "row 17" or "entry 17"; ``fields``: column -> value."""

    place: str
    fields: Mapping[str, object]


class RowChecker:
    """Checks rows one after another; ``entries`` has the entries of rows without a fault.

    Args:
        registry: the registry of agencies.
        faults: receives the faults.
    """

    def __init__(self, registry: AgencyRegistry, faults: Faults) -> None:
        self._registry, self._faults = registry, faults
        self._parsers = parsers(registry)
        self._placed: list[tuple[CatalogueEntry, str]] = []
        self._read: dict[tuple[str, str], object] = {}  # most texts of a catalogue are repeated

    @property
    def entries(self) -> tuple[CatalogueEntry, ...]:
        """The entries, in the order of their rows."""
        return tuple(entry for entry, _ in self._placed)

    def add(self, row: Row) -> None:
        """Check the values of a row; add its entry, or note its faults."""
        known = self._faults.total
        values: dict[str, Any] = {}
        for column in COLUMNS:
            value = row.fields.get(column)
            try:
                if column in REQUIRED and is_missing(value):
                    raise WrongValueError("is empty", _NEEDED[column])  # noqa: TRY301 - noted like every other fault
                values[column] = self._parsed(column, value)
            except WrongValueError as wrong:
                self._faults.add(row.place, column, value, wrong)
        if self._faults.total > known:
            return
        first, last = cast("dt.date", values["valid_from"]), cast("dt.date | None", values["valid_to"])
        try:
            require_in_force(self._registry, values["agency_code"], first)
        except WrongValueError as wrong:
            self._faults.add(row.place, "valid_from", str(first), wrong)
            return
        if last is not None and last < first:
            backwards = WrongValueError(f"is before valid_from, {first}", "write the last day on which it is offered, or nothing")
            self._faults.add(row.place, "valid_to", str(last), backwards)
            return
        agency = values.pop("agency_code")
        self._placed.append((CatalogueEntry(agency=agency, **values), row.place))

    def _parsed(self, column: str, value: object) -> object:
        if not isinstance(value, str) or column in _DISTINCT:
            return self._parsers[column](value)
        known = self._read.get((column, value), self)
        if known is self:
            known = self._read[column, value] = self._parsers[column](value)
        return known

    def finish(self) -> None:
        """Check the rows together: note a fault where a service has two entries on one day."""
        furthest: tuple[CatalogueEntry, str] | None = None
        for entry, place in sorted(self._placed, key=lambda placed: (placed[0].service, placed[0].valid_from)):
            if furthest is not None and furthest[0].service == entry.service and furthest[0].overlaps(entry):
                self._add_overlap(furthest, (entry, place))
                if furthest[0].valid_to is None or (entry.valid_to is not None and entry.valid_to <= furthest[0].valid_to):
                    continue
            furthest = (entry, place)

    def _add_overlap(self, one: tuple[CatalogueEntry, str], other: tuple[CatalogueEntry, str]) -> None:
        (entry, place), (later, later_place) = one, other
        service = f"{later.agency} {later.procedure_code}"
        if entry == later:
            self._faults.add_sentence(f"{later_place}, column procedure_code", f"{service} repeats {place}", "remove one of them")
            return
        self._faults.add_sentence(
            f"{later_place}, column valid_from",
            f"{service} {span_text(later)} contradicts {place}, {span_text(entry)}",
            "end one (valid_to) before the other begins",
        )


def checked_entries(rows: Iterable[Row], registry: AgencyRegistry, *, source: str) -> tuple[CatalogueEntry, ...]:
    """Check rows and return their entries. ``source`` is the name of their file or request in errors.

    Raises:
        CatalogueFaultsError: a row is wrong.
    """
    faults = Faults(source)
    checker = RowChecker(registry, faults)
    for row in rows:
        checker.add(row)
    checker.finish()
    faults.refuse()
    return checker.entries
