"""Writes the catalogue of the simulated agencies as a file that ``portalpulse catalogue load`` reads."""

from __future__ import annotations

import csv
import datetime as dt
import io
from collections.abc import Iterable, Iterator
from typing import Final

from domain.agencies import Agency, AgencyRegistry
from domain.catalogue import COLUMNS, LEVEL_OF_LEGACY, CatalogueEntry
from domain.events import ServiceLevel
from producers.portals.catalogue import catalogue_of, rng_of

#: The legacy level of each level: the highest that stands for it.
_LEGACY: Final = {level: legacy for legacy, level in sorted(LEVEL_OF_LEGACY.items())}
#: Shortest and longest time of a simulated procedure (calendar days).
_DAYS: Final = (1, 60)
#: Of the procedures that are not offered toàn trình, how many may be.
_ELIGIBLE: Final = {ServiceLevel.PARTIAL: 0.5, ServiceLevel.INFORMATION: 0.1}


def catalogue_csv(entries: Iterable[CatalogueEntry]) -> str:
    """The entries of a catalogue as CSV, in the columns of a catalogue file."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for entry in entries:
        writer.writerow(
            (
                entry.agency,
                entry.procedure_code,
                entry.name,
                entry.service_level,
                entry.legacy_level or "",
                "" if entry.eligible is None else str(entry.eligible).lower(),
                "" if entry.longest_days is None else entry.longest_days,
                entry.valid_from.isoformat(),
                "" if entry.valid_to is None else entry.valid_to.isoformat(),
            )
        )
    return text.getvalue()


def simulated_catalogue(
    agencies: Iterable[str], *, day: dt.date, seed: int, registry: AgencyRegistry
) -> Iterator[CatalogueEntry]:
    """The procedures of some agencies with the levels that their simulated dossiers have.

    Args:
        agencies: the codes of the agencies.
        day: a day on which all entries are in force; each begins when the agency got its present name, and has no end.
        seed: the seed of the traffic. Same seed, same rows.
        registry: the registry of the agencies.
    """
    for code in sorted(agencies):
        agency = registry.at(code, day)
        if agency is not None:
            yield from _entries(agency, seed=seed)


def _entries(agency: Agency, *, seed: int) -> Iterator[CatalogueEntry]:
    catalogue = catalogue_of(agency.code, seed=seed)
    levels = {int(index): level for level, (indices, _) in catalogue.by_level.items() for index in indices}
    rng = rng_of(seed, "catalogue file", agency.code)  # of its own: the bytes of the traffic stay as they are
    days = rng.integers(_DAYS[0], _DAYS[1] + 1, size=len(catalogue.codes)).tolist()
    drawn = rng.random(len(catalogue.codes)).tolist()
    for index, procedure in enumerate(catalogue.codes):
        level = levels[index]
        yield CatalogueEntry(
            agency.code,
            procedure,
            agency.valid_from,
            name=f"Thủ tục mô phỏng {index + 1} ({agency.short_name_vi})",
            service_level=level,
            legacy_level=_LEGACY[level],
            eligible=level is ServiceLevel.FULL or drawn[index] < _ELIGIBLE[level],
            longest_days=days[index],
        )
