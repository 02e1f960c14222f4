"""Finds the dossiers that loads of the service catalogue changed, and records which loads all dossiers were counted with."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterator, Mapping
from typing import Final

import pyarrow as pa

from domain.catalogue_levels import AgencyLevels, CatalogueLevels, Generation
from domain.events import Status
from sinks.clickhouse.catalogue_levels import ClickHouseCatalogueLevels
from sinks.clickhouse.client import ClickHouse, ExternalTable
from sinks.clickhouse.dossier_sql import DOSSIER
from sinks.clickhouse.row_policies import refuse_hidden_rows
from sinks.clickhouse.tally_sql import BACKGROUND_SORTING, BACKGROUND_SPILLING, CIVIL_DAY, days_condition
from sinks.contract.tallies import Days
from sinks.tables import CATALOGUE_ENTRIES, CATALOGUE_LOADS, CATALOGUE_RECOUNTS, DOSSIER_MESSAGES

_TABLES: Final = (CATALOGUE_LOADS, CATALOGUE_RECOUNTS, CATALOGUE_ENTRIES, DOSSIER_MESSAGES)
#: Dossiers in one array.
_AT_ONCE: Final = 20_000
#: The loads of an agency with the position of each, the last one first, and whether its recount was finished.
_ORDERED: Final = (
    "SELECT agency, load_id, toUnixTimestamp64Milli(loaded_at) AS loaded, "  # noqa: S608 - names are constants
    "row_number() OVER (PARTITION BY agency ORDER BY loaded_at DESC, toString(load_id) DESC) AS position, "
    f"(agency, load_id) IN (SELECT agency, load_id FROM {CATALOGUE_RECOUNTS}) AS finished "
    f"FROM {CATALOGUE_LOADS} WHERE {{chosen}}"
)
_CHOSEN: Final = "agency IN {agencies:Array(String)}"
#: The loads since the last finished recount, and the load of that recount.
_SINCE: Final = (
    "SELECT agency, load_id FROM (SELECT agency, load_id, position, "  # noqa: S608 - names are constants
    f"minIf(position, finished) OVER (PARTITION BY agency) AS known FROM ({_ORDERED.format(chosen=_CHOSEN)})) "
    "WHERE known = 0 OR position <= known"
)
_SPAN: Final = "valid_from, ifNull(toString(valid_to), ''), service_level, legacy_level"
#: The services of which not all of these loads say the same. An agency without a finished recount had no level before.
_CHANGED_SERVICES: Final = (
    "SELECT agency, procedure_code FROM ("  # noqa: S608 - names are constants
    f"SELECT agency, procedure_code, load_id, arraySort(groupUniqArray(({_SPAN}))) AS spans FROM {CATALOGUE_ENTRIES} FINAL "
    f"WHERE {_CHOSEN} AND (agency, load_id) IN ({_SINCE}) GROUP BY agency, procedure_code, load_id) AS listed "
    "INNER JOIN (SELECT agency, count() AS loads, max(finished) AS was_finished FROM "
    f"(SELECT agency, load_id, finished FROM ({_ORDERED.format(chosen=_CHOSEN)}) WHERE (agency, load_id) IN ({_SINCE})) "
    "GROUP BY agency) AS chain USING agency "
    "GROUP BY agency, procedure_code HAVING uniqExact(spans) > 1 OR count() < any(loads) OR any(was_finished) = 0"
)
#: The messages that settle a dossier and have no level, of changed services.
_CHANGED: Final = "changed_services"
_WITHOUT_LEVEL: Final = (
    f"FROM {DOSSIER_MESSAGES} WHERE agency IN (SELECT agency FROM {_CHANGED}) "  # noqa: S608 - names are constants
    f"AND status IN ({int(Status.SETTLED)}, {int(Status.RETURNED)}) "
    f"AND service_level = '' AND (agency, procedure_code) IN (SELECT agency, procedure_code FROM {_CHANGED})"
)


class ClickHouseCatalogueRecounts:
    """Implements ``CatalogueRecounts`` with one ClickHouse. Several threads may use an object at once."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse, self._levels = clickhouse, ClickHouseCatalogueLevels(clickhouse)
        # Both depend on loads and finished recounts alone, which are asked for each time: a day costs no search of the catalogue.
        self._before: Mapping[str, AgencyLevels] = {}
        self._changed: tuple[object, pa.Table] = (None, pa.table({}))

    def unfinished(self, agencies: Collection[str] | None = None) -> Mapping[str, Generation]:
        """The last loads whose recount is not finished; see ``CatalogueRecounts.unfinished``."""
        return self._loads("position = 1 AND NOT finished", agencies)

    def levels(self, agencies: Collection[str]) -> CatalogueLevels:
        """The levels of the last loads; see ``CatalogueRecounts.levels``."""
        return self._levels.of(agencies)

    def levels_before(self, agencies: Collection[str]) -> CatalogueLevels:
        """The levels of the loads of the last finished recounts; see ``CatalogueRecounts.levels_before``."""
        loads, known = self._loads("finished", agencies, last="position"), self._before
        read = self._levels.read(
            {agency: load for agency, load in loads.items() if agency not in known or known[agency].generation != load}
        )
        self._before = known = {**known, **read}
        return CatalogueLevels({agency: known[agency] for agency in loads})

    def _changed_services(self, agencies: Collection[str]) -> ExternalTable:
        """The services that loads since the last finished recounts changed, in a form that a query can read."""
        chosen = {"agencies": sorted(agencies)}
        loads = self._clickhouse.counted_rows(
            "read_catalogue_recounts",
            "SELECT agency, groupArray((position, toString(load_id), finished)) AS loads, count() OVER () FROM ("  # noqa: S608
            f"SELECT * FROM ({_ORDERED.format(chosen=_CHOSEN)}) ORDER BY agency, position) GROUP BY agency ORDER BY agency",
            chosen,
        )
        known, services = self._changed
        if known != loads:
            rows = self._clickhouse.counted_rows(
                "find_changed_services",
                f"SELECT agency, procedure_code, count() OVER () FROM ({_CHANGED_SERVICES})",  # noqa: S608
                chosen,
                **BACKGROUND_SPILLING,
            )
            services = pa.table(
                {
                    "agency": pa.array([str(agency) for agency, _ in rows], pa.string()),
                    "procedure_code": pa.array([str(procedure) for _, procedure in rows], pa.string()),
                }
            )
            refuse_hidden_rows(self._clickhouse, _TABLES)
            self._changed = loads, services
        return ExternalTable(_CHANGED, "agency String, procedure_code String", services)

    def _loads(self, condition: str, agencies: Collection[str] | None, *, last: str = "") -> Mapping[str, Generation]:
        """The loads that meet a condition; ``last``: a column; of several loads of an agency the one with its smallest value."""
        limited = f"ORDER BY agency, {last} LIMIT 1 BY agency" if last else "ORDER BY agency"
        chosen = _ORDERED.format(chosen="1" if agencies is None else _CHOSEN)
        rows = self._clickhouse.counted_rows(
            "read_catalogue_recounts",
            "SELECT agency, loaded, toString(load_id), count() OVER () FROM ("  # noqa: S608 - names are constants
            f"SELECT agency, loaded, load_id FROM ({chosen}) WHERE {condition} {limited})",
            {} if agencies is None else {"agencies": sorted(agencies)},
        )
        refuse_hidden_rows(self._clickhouse, (CATALOGUE_LOADS, CATALOGUE_RECOUNTS))
        return {str(agency): Generation(int(loaded), str(load)) for agency, loaded, load in rows}

    def days(self, agencies: Collection[str]) -> Mapping[dt.date, int]:
        """The civil days with messages of dossiers that must be recounted; see ``CatalogueRecounts.days``."""
        days = self._clickhouse.table(
            "find_catalogue_days",
            f"SELECT {CIVIL_DAY.format(column='occurred_at')} AS day, count() AS messages "
            f"{_WITHOUT_LEVEL} GROUP BY day ORDER BY day",
            self._changed_services(agencies),
            **BACKGROUND_SPILLING,
        )
        refuse_hidden_rows(self._clickhouse, _TABLES)
        return dict(zip(days.column("day").cast(pa.date32()).to_pylist(), days.column("messages").to_pylist(), strict=True))

    def dossiers(self, agencies: Collection[str], day: dt.date) -> Iterator[pa.Array]:
        """The dossiers of a day that must be recounted, read as a whole; see ``CatalogueRecounts.dossiers``.

        16 bytes of memory each.
        """
        found = self._clickhouse.table(
            "find_catalogue_dossiers",
            f"SELECT DISTINCT {DOSSIER} AS dossier {_WITHOUT_LEVEL} "
            f"AND {days_condition('occurred_at', Days((day,)))} ORDER BY dossier",
            self._changed_services(agencies),
            **BACKGROUND_SORTING,
        )
        refuse_hidden_rows(self._clickhouse, _TABLES)
        for batch in found.to_batches():
            for start in range(0, batch.num_rows, _AT_ONCE):
                yield batch.column("dossier").slice(start, _AT_ONCE)

    def finish(self, loads: Mapping[str, Generation]) -> None:
        """Record for which loads the recount is finished; see ``CatalogueRecounts.finish``."""
        chosen = sorted(loads)
        self._clickhouse.command(
            "finish_catalogue_recount",
            f"INSERT INTO {CATALOGUE_RECOUNTS} (agency, load_id) SELECT recounted.1, recounted.2 FROM ("  # noqa: S608
            "SELECT arrayJoin(arrayZip({agencies:Array(String)}, {loads:Array(UUID)})) AS recounted)",
            {"agencies": chosen, "loads": [loads[agency].load for agency in chosen]},
        )
