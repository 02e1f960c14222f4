"""The catalogue as plain values for JSON and CSV: entries as rows of a file, counts by level, what a load changed."""

from __future__ import annotations

import csv
import datetime as dt
import io
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from domain.catalogue import COLUMNS, CatalogueEntry, services_by_level
from domain.catalogue_changes import ChangeKind, EntryChange
from pipeline.catalogue.csv_rows import NAME, guarded
from sinks.contract.catalogue import CatalogueLoad

#: Columns of a file that are named otherwise in ``CatalogueEntry``.
_FIELD_OF: Final[Mapping[str, str]] = {"agency_code": "agency"}
_COLUMN_OF: Final = {field: column for column, field in _FIELD_OF.items()}
#: Changes that are listed entry by entry; more are only counted. The first load of all agencies has a hundred thousand.
MAX_LISTED: Final = 1_000


def entry_as_dict(entry: CatalogueEntry) -> dict[str, Any]:
    """An entry as column of a file -> value; a value that is not stated is None."""
    return {column: _plain(column, getattr(entry, _FIELD_OF.get(column, column))) for column in COLUMNS}


def counts_as_dict(entries: Iterable[CatalogueEntry]) -> dict[str, int]:
    """Number of services: all, by the level that they count as, and ``not_stated``: those without a level."""
    levels = services_by_level(entries)
    unknown = levels.pop("")
    return {"services": sum(levels.values()) + unknown, **levels, "not_stated": unknown}


def load_as_dict(load: CatalogueLoad) -> dict[str, Any]:
    """What a load did: numbers of changes by agency, the first ``MAX_LISTED`` changes, and how many are not listed."""
    by_agency: dict[str, list[EntryChange]] = defaultdict(list)
    for change in load.changes:
        by_agency[change.entry.agency].append(change)
    return {
        "changed": bool(load.changes),
        "entries": load.entries,
        "agencies": [
            {"agency_code": agency} | {kind.value: sum(change.kind is kind for change in found) for kind in ChangeKind}
            for agency, found in by_agency.items()
        ],
        "changes": [_change_as_dict(change) for change in load.changes[:MAX_LISTED]],
        "omitted": max(0, len(load.changes) - MAX_LISTED),
        "overtaken": list(load.overtaken),
    }


def _change_as_dict(change: EntryChange) -> dict[str, Any]:
    fields = {
        _COLUMN_OF.get(name, name): {"before": _plain(name, before), "after": _plain(name, after)}
        for name, (before, after) in change.fields.items()
    }
    return {"kind": change.kind.value, **entry_as_dict(change.entry), "fields": fields}


def to_csv(entries: Sequence[Mapping[str, Any]]) -> str:
    """Entries of ``entry_as_dict`` as a CSV that can be loaded again. A name never becomes a formula of a spreadsheet."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for entry in entries:
        writer.writerow(
            [_cell(guarded(entry[column]) if column == NAME and entry[column] else entry[column]) for column in COLUMNS]
        )
    return text.getvalue()


def _cell(value: object) -> object:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else value


def _plain(column: str, value: object) -> object:
    """A value for JSON. An empty text and the legacy level 0 mean that nothing is stated, and become None."""
    if isinstance(value, dt.date):
        return value.isoformat()
    return None if value == "" or (column == "legacy_level" and value == 0) else value
