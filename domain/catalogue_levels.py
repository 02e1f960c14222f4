"""The service levels of the catalogue, for dossiers whose messages have none, and the load from which each level comes.

A catalogue may be replaced while dossiers are counted. So the level with which a dossier was counted is stored beside it as a
level note with its generation, and of several notes the one of the newest generation holds. DECISIONS.md has the proof.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from domain.catalogue import CatalogueEntry, level_of


class Generation(NamedTuple):
    """A load of the catalogue of one agency. Of two generations the greater is the newer.

    ``loaded_at``: time of the load by the server's clock, epoch milliseconds. ``load``: the id of the load as hexadecimal text,
    which orders loads of the same time.
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
    """The levels of the procedures of one agency in one generation.

    Attributes:
        generation: the load from which the levels come.
        spans: procedure -> its levels over time.
    """

    generation: Generation
    spans: Mapping[str, tuple[LevelSpan, ...]] = field(default_factory=dict)

    def level(self, procedure: str, day: dt.date) -> str:
        """The level of a procedure on a day; "" when its entry has no level or it has no entry on that day."""
        for span in self.spans.get(procedure, ()):
            if span.start <= day and (span.end is None or day <= span.end):
                return span.level
        return ""


@dataclass(frozen=True, slots=True)
class CatalogueLevels:
    """The levels of the catalogues of some agencies. A call returns one level, as ``domain.dossiers.Levels`` asks for.

    Attributes:
        agencies: code of an agency that has a catalogue -> its levels.
        recounted: the agencies whose stored dossiers have all been counted with these levels.
    """

    agencies: Mapping[str, AgencyLevels] = field(default_factory=dict)
    recounted: frozenset[str] = frozenset()

    def __call__(self, agency: str, procedure: str, day: dt.date) -> str:
        """The level of a service on a day; "" when its entry has no level or it has no entry on that day."""
        known = self.agencies.get(agency)
        return "" if known is None else known.level(procedure, day)


NO_CATALOGUE = CatalogueLevels()


def spans_of(entries: Iterable[CatalogueEntry]) -> dict[str, tuple[LevelSpan, ...]]:
    """Procedure -> its levels over time, from the entries of one agency."""
    found: defaultdict[str, list[LevelSpan]] = defaultdict(list)
    for entry in entries:
        found[entry.procedure_code].append(LevelSpan(entry.valid_from, entry.valid_to, level_of(entry)))
    return {procedure: tuple(spans) for procedure, spans in found.items()}
