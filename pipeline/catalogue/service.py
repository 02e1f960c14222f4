"""Loads the catalogue of agencies, and shows it. Returns plain values, ready for JSON."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from domain.agencies import AgencyRegistry
from domain.catalogue import COLUMNS, CatalogueEntry
from domain.clock import Clock
from domain.errors import ConfigurationError, refuse_unknown
from domain.periods import Period, civil_day
from pipeline.catalogue.json_format import counts_as_dict, entry_as_dict, load_as_dict
from pipeline.catalogue.recount import RecountSteps
from pipeline.catalogue.rows import Row, checked_entries
from sinks.contract.catalogue import CatalogueStore

#: Longest name of a source that is kept beside a load (characters).
_MAX_SOURCE = 200


class CatalogueService:
    """The service over a store.

    Args:
        store: keeps the catalogue.
        registry: of the agencies.
        clock: tells the present day.
        recount: counts stored dossiers again after a load (``pipeline.catalogue.recount.recount_all``).
    """

    def __init__(self, store: CatalogueStore, registry: AgencyRegistry, clock: Clock, recount: RecountSteps) -> None:
        self._store, self._registry, self._clock, self.recount = store, registry, clock, recount

    def load(self, entries: Iterable[Mapping[str, object]], *, add: bool = False, source: str = "") -> dict[str, Any]:
        """Check entries in the columns of a file, and load them. Stored dossiers are counted with them by ``recount``.

        Returns ``changed`` (whether anything was), ``entries`` (those that the agencies have now), ``agencies`` (the numbers of
        entries opened, closed and changed), ``changes`` and ``omitted``, and ``overtaken`` (agencies of which another load came
        at the same time).

        Args:
            entries: as in a file (docs/catalogue.md).
            add: whether to keep the other entries of these agencies.
            source: the name of the file, kept beside the load.

        Raises:
            ConfigurationError: an entry is wrong or contradicts another one. Nothing is loaded.
            SinkError: the storage does not answer.
        """
        rows = []
        for number, entry in enumerate(entries, 1):
            refuse_unknown("column", entry.keys(), COLUMNS)
            rows.append(Row(f"entry {number}", entry))
        if not rows:
            raise ConfigurationError("There are no entries to load.")
        checked = checked_entries(rows, self._registry, source=source or "The request")
        return load_as_dict(self._store.load(checked, add=add, source=source[:_MAX_SOURCE]))

    def show(
        self,
        *,
        day: dt.date | None = None,
        agencies: Collection[str] | None = None,
        procedure: str | None = None,
        all_days: bool = False,
    ) -> dict[str, Any]:
        """The entries in force on a day and the numbers of services by level.

        Returns ``day`` (null with ``all_days``), ``counts`` (of all services, and by level), ``agencies`` (the same of each),
        ``entries``, and ``not_recounted`` (agencies whose stored dossiers were not all counted with their last load).

        Args:
            day: None: today.
            agencies: None: all.
            procedure: only this procedure.
            all_days: every entry instead, as a file that can be loaded again. The numbers are then of entries.

        Raises:
            ConfigurationError: there is no agency of a code.
            SinkError: the storage does not answer.
        """
        for code in agencies or ():
            if code not in self._registry:
                raise ConfigurationError(f"There is no agency {code[:40]!r}.", remedy="Codes look like H17 or G01.")
        chosen = civil_day(self._clock.now()) if day is None else day
        entries = self._store.entries(None if all_days else Period(chosen, chosen), agencies=agencies)
        shown = [entry for entry in entries if procedure is None or entry.procedure_code == procedure]
        by_agency: dict[str, list[CatalogueEntry]] = defaultdict(list)
        for entry in shown:
            by_agency[entry.agency].append(entry)
        return {
            "day": None if all_days else chosen.isoformat(),
            "counts": counts_as_dict(shown),
            "agencies": [{"agency_code": agency} | counts_as_dict(found) for agency, found in sorted(by_agency.items())],
            "entries": [entry_as_dict(entry) for entry in shown],
            "not_recounted": list(self.recount.unfinished()),
        }
