"""The catalogue of the simulated agencies as a file that ``portalpulse catalogue load`` takes."""

from __future__ import annotations

import csv
import datetime as dt
import io
from collections.abc import Iterable, Iterator
from typing import Final

from domain.agencies import AgencyRegistry
from domain.catalogue import COLUMNS, LEVEL_OF_LEGACY
from domain.events import ServiceLevel
from producers.portals.catalogue import catalogue_of, rng_of

#: The legacy level of each level: the highest that stands for it.
_LEGACY: Final = {level: legacy for legacy, level in sorted(LEVEL_OF_LEGACY.items())}
#: Shortest and longest time of a simulated procedure (calendar days).
_DAYS: Final = (1, 60)
#: Of the procedures that are not offered toàn trình, how many may be.
_ELIGIBLE: Final = {ServiceLevel.PARTIAL: 0.5, ServiceLevel.INFORMATION: 0.1}


def catalogue_csv(agencies: Iterable[str], *, day: dt.date, seed: int, registry: AgencyRegistry) -> str:
    """The procedures of some agencies with the levels that their simulated dossiers have, as CSV.

    Args:
        agencies: their codes.
        day: on which they are in force; every entry holds since the agency has its name, and has no end.
        seed: that of the traffic. Same seed, same bytes.
        registry: of the agencies.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for code in sorted(agencies):
        agency = registry.at(code, day)
        if agency is not None:
            writer.writerows(_rows(code, agency.short_name_vi, agency.valid_from, seed=seed))
    return text.getvalue()


def _rows(code: str, name: str, first: dt.date, *, seed: int) -> Iterator[list[object]]:
    catalogue = catalogue_of(code, seed=seed)
    levels = {int(index): level for level, (indices, _) in catalogue.by_level.items() for index in indices}
    rng = rng_of(seed, "catalogue file", code)  # of its own: the bytes of the traffic stay as they are
    days = rng.integers(_DAYS[0], _DAYS[1] + 1, size=len(catalogue.codes)).tolist()
    drawn = rng.random(len(catalogue.codes)).tolist()
    for index, procedure in enumerate(catalogue.codes):
        level = levels[index]
        eligible = level is ServiceLevel.FULL or drawn[index] < _ELIGIBLE[level]
        title = f"Thủ tục mô phỏng {index + 1} ({name})"
        yield [code, procedure, title, level, _LEGACY[level], str(eligible).lower(), days[index], first.isoformat(), ""]
