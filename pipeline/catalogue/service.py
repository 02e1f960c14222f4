"""Loads and shows the service catalogue. Returns plain values, ready for JSON."""

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
    """Loads and shows the service catalogue of a storage.

    Args:
        store: stores the catalogue.
        registry: the registry of agencies.
        clock: tells the present day.
        recount: the steps that count stored dossiers again after a load (``pipeline.catalogue.recount.recount_all``).
    """

    def __init__(self, store: CatalogueStore, registry: AgencyRegistry, clock: Clock, recount: RecountSteps) -> None:
        self._store, self._registry, self._clock, self.recount = store, registry, clock, recount

    def load(self, entries: Iterable[Mapping[str, object]], *, add: bool = False, source: str = "") -> dict[str, Any]:
        """Check entries and load them. Stored dossiers are not counted again by this call, but by ``recount``.

        Returns ``changed`` (whether the load changed anything), ``entries`` (number of entries of its agencies now), ``agencies``
        (numbers of entries opened, closed and changed), ``changes`` and ``omitted`` (see ``load_as_dict``), and ``overtaken``
        (agencies whose catalogue another load replaced at the same time).

        Args:
            entries: rows as column -> value, with the columns of a file (docs/catalogue.md).
            add: whether the other entries of the same agencies stay; otherwise they are replaced.
            source: the name of the file, stored with the load.

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

        Returns ``day`` (None with ``all_days``), ``counts`` (numbers of all services and by level), ``agencies`` (the same for
        each agency), ``entries``, and ``not_recounted`` (agencies with stored dossiers not yet counted with their last load).

        Args:
            day: the day; None: today.
            agencies: codes of the agencies; None: all.
            procedure: the only procedure to show; None: all.
            all_days: show the entries of all days, as a file that can be loaded again. The numbers then count entries.

        Raises:
            ConfigurationError: a code is not in the registry.
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
