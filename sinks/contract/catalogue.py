"""The service catalogue: loaded as a whole for some agencies, and read as a whole."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from domain.catalogue import CatalogueEntry
from domain.catalogue_changes import EntryChange
from domain.periods import Period


@dataclass(frozen=True, slots=True)
class CatalogueLoad:
    """What a load did.

    Attributes:
        changes: the entries that differ from before, by agency, procedure and first day; empty: nothing was stored.
        entries: entries of the agencies of the load, as they are now.
        overtaken: agencies of which another load came at the same time, so that rows of one of the two may be missing now.
    """

    changes: tuple[EntryChange, ...]
    entries: int
    overtaken: tuple[str, ...] = ()


class CatalogueStore(Protocol):
    """Keeps the catalogue of each agency. Several threads and processes may use it at once."""

    def load(self, entries: Sequence[CatalogueEntry], *, add: bool = False, source: str = "") -> CatalogueLoad:
        """Replace the catalogue of every agency that occurs in ``entries`` by these; other agencies keep theirs.

        With ``add`` the entries of these agencies stay, and the given ones are added: one with the same agency, procedure and
        first day is replaced. ``source`` is kept beside the load: the name of the file.

        The change is visible at once and as a whole, and durable when this returns. Loading what is there already stores nothing.
        Of two loads at the same time the later one wins for every agency that both have. Then ``overtaken`` names these agencies,
        for at least one of the two loads.

        Raises:
            OverlapError: two entries of one service would share a day. Nothing is stored.
            SinkError: the storage does not answer. Perhaps all is loaded, perhaps nothing; the same call again completes it.
        """
        ...

    def entries(self, period: Period | None = None, *, agencies: Collection[str] | None = None) -> Sequence[CatalogueEntry]:
        """The entries in force on a day of ``period`` (None: on any day), of some agencies or of all; by agency, procedure, day.

        All of them belong to complete loads; those of one load are there together or not at all.

        Raises:
            SinkError: the storage does not answer, or rows of a complete load are missing.
        """
        ...
