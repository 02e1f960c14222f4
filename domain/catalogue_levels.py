"""The levels of the service catalogue for dossiers whose messages give none, and which load of the catalogue they come from.

A catalogue may be replaced while dossiers are counted. So a level that was used is noted beside the dossier with the generation
that it comes from, and of several notes the newest generation holds. DECISIONS.md has the proof.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from domain.catalogue import CatalogueEntry, level_of


class Generation(NamedTuple):
    """A load of the catalogue of one agency. The greater one is the newer one.

    ``loaded_at``: epoch milliseconds of the server. ``load``: the id of the load as hexadecimal text, which decides between equal
    times.
    """

    loaded_at: int
    load: str


class LevelSpan(NamedTuple):
    """A level from one day to another, both included; ``end`` is None while no last day is known."""

    start: dt.date
    end: dt.date | None
    level: str


@dataclass(frozen=True, slots=True)
class AgencyLevels:
    """The levels of one agency in one generation.

    Attributes:
        generation: of which load they are.
        spans: procedure -> its levels over time.
    """

    generation: Generation
    spans: Mapping[str, tuple[LevelSpan, ...]] = field(default_factory=dict)

    def level(self, procedure: str, day: dt.date) -> str:
        """The level of a procedure on a day; "" when there is none, or no entry."""
        for span in self.spans.get(procedure, ()):
            if span.start <= day and (span.end is None or day <= span.end):
                return span.level
        return ""


@dataclass(frozen=True, slots=True)
class CatalogueLevels:
    """The levels of some agencies. It is a ``domain.dossiers.Levels``.

    Attributes:
        agencies: those that have a catalogue.
        recounted: of these, the agencies whose stored dossiers were all counted with it.
    """

    agencies: Mapping[str, AgencyLevels] = field(default_factory=dict)
    recounted: frozenset[str] = frozenset()

    def __call__(self, agency: str, procedure: str, day: dt.date) -> str:
        """The level of a service on a day; "" when there is none, or no entry."""
        known = self.agencies.get(agency)
        return "" if known is None else known.level(procedure, day)


NO_CATALOGUE = CatalogueLevels()


def spans_of(entries: Iterable[CatalogueEntry]) -> dict[str, tuple[LevelSpan, ...]]:
    """The levels of the entries of one agency, by procedure."""
    found: defaultdict[str, list[LevelSpan]] = defaultdict(list)
    for entry in entries:
        found[entry.procedure_code].append(LevelSpan(entry.valid_from, entry.valid_to, level_of(entry)))
    return {procedure: tuple(spans) for procedure, spans in found.items()}
