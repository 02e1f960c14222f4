"""The differences between two catalogues (entries opened, closed or changed), and how entries are added to known ones."""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from domain.catalogue import CatalogueEntry


class ChangeKind(enum.StrEnum):
    """How an entry differs between two catalogues."""

    OPENED = "opened"
    CLOSED = "closed"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class EntryChange:
    """An entry that differs between two catalogues. ``before`` or ``after`` is None when that catalogue lacks the entry."""

    kind: ChangeKind
    before: CatalogueEntry | None
    after: CatalogueEntry | None

    @property
    def entry(self) -> CatalogueEntry:
        """The entry of the later catalogue, or that of the earlier one when the later one lacks it."""
        found = self.after or self.before
        assert found is not None
        return found

    @property
    def fields(self) -> Mapping[str, tuple[Any, Any]]:
        """The fields that differ: name -> value before and after. Empty when only one catalogue has the entry."""
        if self.before is None or self.after is None:
            return {}
        names = (field.name for field in fields(CatalogueEntry))
        pairs = {name: (getattr(self.before, name), getattr(self.after, name)) for name in names}
        return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def changes(before: Iterable[CatalogueEntry], after: Iterable[CatalogueEntry]) -> tuple[EntryChange, ...]:
    """The differences between two catalogues, by agency, procedure and first day.

    Service and first day identify an entry. *Opened*: only ``after`` has the entry. *Closed*: only ``before`` has it, or it has
    no last day in ``before`` and one in ``after``. *Changed*: any other difference.
    """
    old, new = by_key(before), by_key(after)
    found = []
    for key in sorted(old.keys() | new.keys()):
        one, other = old.get(key), new.get(key)
        if one == other:
            continue
        if one is None:
            kind = ChangeKind.OPENED
        elif other is None or (one.valid_to is None and other.valid_to is not None):
            kind = ChangeKind.CLOSED
        else:
            kind = ChangeKind.CHANGED
        found.append(EntryChange(kind, one, other))
    return tuple(found)


def with_rows(known: Iterable[CatalogueEntry], added: Iterable[CatalogueEntry]) -> tuple[CatalogueEntry, ...]:
    """The known and the added entries. An added entry replaces the known one of the same service and first day."""
    return tuple((by_key(known) | by_key(added)).values())


def by_key(entries: Iterable[CatalogueEntry]) -> dict[tuple[str, str, dt.date], CatalogueEntry]:
    """Entries by what identifies them in a catalogue: agency, procedure and first day."""
    return {(entry.agency, entry.procedure_code, entry.valid_from): entry for entry in entries}
