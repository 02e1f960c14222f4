"""Stores the service catalogue and reads it.

A load is visible when it has its rows in ``catalogue_loads``, which are written last and in one insert. Entries of a load never
change, so they are kept in memory once they are read: reading an unchanged catalogue only asks the storage which loads there are.
"""

from __future__ import annotations

import itertools
import threading
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import pyarrow as pa

from domain.catalogue import Catalogue, CatalogueEntry
from domain.catalogue_changes import changes, with_rows
from domain.periods import Period
from sinks.clickhouse.arrow import arrow_stream
from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.row_policies import refuse_hidden_rows
from sinks.contract.catalogue import CatalogueLoad
from sinks.errors import Fatal
from sinks.tables import CATALOGUE_ENTRIES, CATALOGUE_LOADS

_TABLES: Final = (CATALOGUE_ENTRIES, CATALOGUE_LOADS)
_NO_LOAD: Final = uuid.UUID(int=0)
_FIELDS: Final = (
    "agency",
    "procedure_code",
    "valid_from",
    "valid_to",
    "name",
    "service_level",
    "legacy_level",
    "eligible",
    "longest_days",
)


class _Load(NamedTuple):
    """The load that is the catalogue of an agency, and how many entries it has."""

    identity: uuid.UUID
    entries: int


class ClickHouseCatalogue:
    """Implements ``CatalogueStore`` with one ClickHouse. Several threads may use an object at once.

    Args:
        clickhouse: the storage.
        new_id: makes the ids of loads.
    """

    def __init__(self, clickhouse: ClickHouse, *, new_id: Callable[[], uuid.UUID] = uuid.uuid4) -> None:
        self._clickhouse, self._new_id = clickhouse, new_id
        self._one_at_a_time = threading.Lock()
        self._known: dict[str, tuple[_Load, tuple[CatalogueEntry, ...]]] = {}  # by agency

    def load(self, entries: Sequence[CatalogueEntry], *, add: bool = False, source: str = "") -> CatalogueLoad:
        """Replace or complete the catalogue of some agencies; see ``CatalogueStore.load``."""
        agencies = sorted({entry.agency for entry in entries})
        with self._one_at_a_time:
            loads = self._loads(agencies)
            before = self._entries_of(loads)
            after = tuple(Catalogue(with_rows(before, entries) if add else entries))
            found = changes(before, after)
            if not found:
                return CatalogueLoad((), len(after))
            identity = self._new_id()
            self._insert(identity, after)
            self._complete(identity, after, loads, source)
            return CatalogueLoad(found, len(after), self._overtaken(identity, loads, agencies))

    def entries(self, period: Period | None = None, *, agencies: Collection[str] | None = None) -> Sequence[CatalogueEntry]:
        """The entries of the last loads; see ``CatalogueStore.entries``."""
        found = self._entries_of(self._loads(agencies))
        if period is None:
            return found
        return tuple(
            entry
            for entry in found
            if entry.valid_from <= period.end and (entry.valid_to is None or period.start <= entry.valid_to)
        )

    def _loads(self, agencies: Collection[str] | None) -> Mapping[str, _Load]:
        """The last complete load of each agency."""
        chosen = "" if agencies is None else "WHERE agency IN {agencies:Array(String)} "
        rows = self._clickhouse.counted_rows(
            "read_catalogue_loads",
            "SELECT agency, argMax((load_id, entries), (loaded_at, toString(load_id))) AS last, count() OVER () "  # noqa: S608
            f"FROM {CATALOGUE_LOADS} {chosen}GROUP BY agency ORDER BY agency",
            {} if agencies is None else {"agencies": sorted(agencies)},
        )
        refuse_hidden_rows(self._clickhouse, _TABLES)
        return {str(agency): _Load(uuid.UUID(str(identity)), int(entries)) for agency, (identity, entries) in rows}

    def _entries_of(self, loads: Mapping[str, _Load]) -> tuple[CatalogueEntry, ...]:
        """The entries of some loads, by agency, procedure and day.

        Raises:
            Fatal: rows of a complete load are missing.
        """
        remembered = {agency: self._known.get(agency) for agency in loads}
        found = {agency: known[1] for agency, known in remembered.items() if known is not None and known[0] == loads[agency]}
        unknown = {agency: load for agency, load in loads.items() if agency not in found}
        read = self._read(unknown)
        for agency, load in unknown.items():
            if len(read[agency]) != load.entries:
                raise Fatal(
                    f"{self._clickhouse.target.display_name}: of {load.entries} entries of the catalogue of {agency} only "
                    f"{len(read[agency])} are in {CATALOGUE_ENTRIES}. Load its file again."
                )
            found[agency] = tuple(sorted(read[agency], key=lambda entry: (entry.procedure_code, entry.valid_from)))
            self._known[agency] = (load, found[agency])
        return tuple(entry for agency in sorted(loads) for entry in found[agency])

    def _read(self, loads: Mapping[str, _Load]) -> Mapping[str, list[CatalogueEntry]]:
        found: dict[str, list[CatalogueEntry]] = defaultdict(list)
        if not loads:
            return found
        rows = self._clickhouse.counted_rows(
            "read_catalogue",
            f"SELECT load_id, {', '.join(_FIELDS)}, count() OVER () FROM {CATALOGUE_ENTRIES} FINAL "  # noqa: S608
            "WHERE agency IN {agencies:Array(String)} AND load_id IN {loads:Array(UUID)}",
            {"agencies": sorted(loads), "loads": sorted({str(load.identity) for load in loads.values()})},
        )
        for identity, *values in rows:
            entry = _entry_of(values)
            if loads[entry.agency].identity == uuid.UUID(str(identity)):
                found[entry.agency].append(entry)
        return found

    def _insert(self, identity: uuid.UUID, entries: Iterable[CatalogueEntry]) -> None:
        rows = list(entries)
        columns = {name: pa.array([getattr(entry, name) for entry in rows], _TYPES.get(name, pa.string())) for name in _FIELDS}
        table = pa.table({"load_id": pa.array([str(identity)] * len(rows), pa.string())} | columns)
        self._clickhouse.insert("write_catalogue", CATALOGUE_ENTRIES, table.column_names, arrow_stream(table), "ArrowStream")

    def _complete(self, identity: uuid.UUID, entries: Iterable[CatalogueEntry], before: Mapping[str, _Load], source: str) -> None:
        """Make a load visible: one row for each agency, all in one insert.

        The time is the server's, or just after the last load if the server's clock was set back.
        """
        counted = sorted(Counter(entry.agency for entry in entries).items())
        self._clickhouse.command(
            "complete_catalogue",
            f"INSERT INTO {CATALOGUE_LOADS} (agency, loaded_at, load_id, based_on, entries, source) "  # noqa: S608
            "WITH (SELECT greatest(now64(3, 'UTC'), max(loaded_at) + toIntervalMillisecond(1)) "
            f"FROM {CATALOGUE_LOADS}) AS at "
            "SELECT load.1, at, {id:UUID}, load.2, load.3, {source:String} FROM (SELECT arrayJoin(arrayZip("
            "{agencies:Array(String)}, {based_on:Array(UUID)}, {entries:Array(UInt32)})) AS load)",
            {
                "id": str(identity),
                "source": source,
                "agencies": [agency for agency, _ in counted],
                "based_on": [str(before[agency].identity if agency in before else _NO_LOAD) for agency, _ in counted],
                "entries": [number for _, number in counted],
            },
        )

    def _overtaken(self, identity: uuid.UUID, before: Mapping[str, _Load], agencies: Sequence[str]) -> tuple[str, ...]:
        """The agencies of which an unknown load lies just before this one, or a later load was made without knowing this one."""
        rows = self._clickhouse.counted_rows(
            "read_catalogue_loads",
            "SELECT agency, arrayReverseSort(groupArray((loaded_at, toString(load_id), toString(based_on)))) AS loads, "  # noqa: S608
            f"count() OVER () FROM {CATALOGUE_LOADS} WHERE agency IN {{agencies:Array(String)}} GROUP BY agency ORDER BY agency",
            {"agencies": list(agencies)},
        )
        found = []
        for agency, loads in rows:
            chain = [(str(load), str(based_on)) for _, load, based_on in loads] + [(str(_NO_LOAD), "")]
            at = [load for load, _ in chain].index(str(identity))
            known = str(before[agency].identity if agency in before else _NO_LOAD)
            follows = all(based_on == earlier for (_, based_on), (earlier, _) in itertools.pairwise(chain[: at + 1]))
            if chain[at + 1][0] != known or not follows:
                found.append(str(agency))
        return tuple(found)


#: Types of the columns that are not texts.
_TYPES: Final[Mapping[str, Any]] = {
    "valid_from": pa.date32(),
    "valid_to": pa.date32(),
    "legacy_level": pa.uint8(),
    "eligible": pa.bool_(),
    "longest_days": pa.uint16(),
}


def _entry_of(values: Sequence[Any]) -> CatalogueEntry:
    row = dict(zip(_FIELDS, values, strict=True))
    return CatalogueEntry(
        agency=str(row["agency"]),
        procedure_code=str(row["procedure_code"]),
        valid_from=row["valid_from"],
        valid_to=row["valid_to"],
        name=str(row["name"]),
        service_level=str(row["service_level"]),
        legacy_level=int(row["legacy_level"]),
        eligible=None if row["eligible"] is None else bool(row["eligible"]),
        longest_days=None if row["longest_days"] is None else int(row["longest_days"]),
    )
