"""Reads the levels of the service catalogue for dossiers that give none. Levels stay in memory until the catalogue changes.

Each call asks in one small query whether the catalogue changed.
"""

from __future__ import annotations

import threading
import uuid
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Final

from domain.catalogue import CatalogueEntry
from domain.catalogue_levels import AgencyLevels, CatalogueLevels, Generation, spans_of
from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.row_policies import refuse_hidden_rows
from sinks.errors import Fatal
from sinks.tables import CATALOGUE_ENTRIES, CATALOGUE_LOADS, CATALOGUE_RECOUNTS

_OF_LOADS: Final = "agency IN {agencies:Array(String)} AND load_id IN {loads:Array(UUID)}"
_TABLES: Final = (CATALOGUE_ENTRIES, CATALOGUE_LOADS, CATALOGUE_RECOUNTS)


class ClickHouseCatalogueLevels:
    """Reads levels of the service catalogue and remembers them. Several threads may use an object at once.

    Args:
        clickhouse: the storage.
    """

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse
        self._one_at_a_time = threading.Lock()
        self._known: dict[str, AgencyLevels] = {}

    def of(self, agencies: Collection[str]) -> CatalogueLevels:
        """The levels of some agencies in their last loads.

        Raises:
            SinkError: the storage does not answer, or rows of a complete load are missing.
        """
        with self._one_at_a_time:
            loads, recounted = self._last_loads(agencies)
            unknown = {
                agency: load
                for agency, load in loads.items()
                if agency not in self._known or self._known[agency].generation != load
            }
            self._known |= self.read(unknown)
            return CatalogueLevels({agency: self._known[agency] for agency in loads}, recounted)

    def _last_loads(self, agencies: Collection[str]) -> tuple[Mapping[str, Generation], frozenset[str]]:
        rows = self._clickhouse.counted_rows(
            "read_catalogue_loads",
            "SELECT agency, max((toUnixTimestamp64Milli(loaded_at), toString(load_id))) AS last, "  # noqa: S608
            f"(agency, last.2) IN (SELECT agency, toString(load_id) FROM {CATALOGUE_RECOUNTS}), count() OVER () "
            f"FROM {CATALOGUE_LOADS} WHERE agency IN {{agencies:Array(String)}} GROUP BY agency ORDER BY agency",
            {"agencies": sorted(agencies)},
        )
        refuse_hidden_rows(self._clickhouse, _TABLES)
        loads = {str(agency): Generation(int(at), str(load)) for agency, (at, load), _ in rows}
        return loads, frozenset(str(agency) for agency, _, recounted in rows if recounted)

    def read(self, loads: Mapping[str, Generation]) -> Mapping[str, AgencyLevels]:
        """The levels of the given loads (agency -> load), always read from the storage.

        Raises:
            Fatal: entries of a load are missing.
        """
        if not loads:
            return {}
        rows = self._clickhouse.counted_rows(
            "read_catalogue_levels",
            f"WITH (SELECT groupArray((agency, load_id, entries)) FROM {CATALOGUE_LOADS} WHERE {_OF_LOADS}) AS known "  # noqa: S608
            "SELECT agency, load_id, procedure_code, valid_from, valid_to, service_level, legacy_level, "
            "arrayFirst(load -> load.1 = agency AND load.2 = load_id, known).3, count() OVER () "
            f"FROM {CATALOGUE_ENTRIES} FINAL WHERE {_OF_LOADS}",
            {"agencies": sorted(loads), "loads": sorted({load.load for load in loads.values()})},
        )
        refuse_hidden_rows(self._clickhouse, _TABLES)
        found: defaultdict[str, list[CatalogueEntry]] = defaultdict(list)
        expected: dict[str, int] = {}
        for agency, identity, procedure, valid_from, valid_to, level, legacy, entries in rows:
            if loads[str(agency)].load == str(uuid.UUID(str(identity))):
                entry = CatalogueEntry(str(agency), str(procedure), valid_from, valid_to, service_level=str(level))
                found[str(agency)].append(replace(entry, legacy_level=int(legacy)))
                expected[str(agency)] = int(entries)
        for agency in loads:
            if len(found[agency]) != expected.get(agency):
                raise Fatal(
                    f"{self._clickhouse.target.display_name}: entries of the catalogue of {agency} are missing in "
                    f"{CATALOGUE_ENTRIES}. Load its file again."
                )
        return {agency: AgencyLevels(load, spans_of(found[agency])) for agency, load in loads.items()}
