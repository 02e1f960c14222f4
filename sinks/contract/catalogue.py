"""The service catalogue: each load replaces the whole catalogue of some agencies; readers see complete loads only."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from domain.catalogue import CatalogueEntry
from domain.catalogue_changes import EntryChange
from domain.periods import Period


@dataclass(frozen=True, slots=True)
class CatalogueLoad:
    """What a load changed.

    Attributes:
        changes: the entries that differ from before, by agency, procedure and first day; empty: nothing was stored.
        entries: all entries of the agencies of the load, as they are now.
        overtaken: agencies that another load replaced at the same time, so that entries of either load may be missing now.
    """

    changes: tuple[EntryChange, ...]
    entries: int
    overtaken: tuple[str, ...] = ()


class CatalogueStore(Protocol):
    """Keeps the catalogue of each agency. Several threads and processes may use it at once."""

    def load(self, entries: Sequence[CatalogueEntry], *, add: bool = False, source: str = "") -> CatalogueLoad:
        """Replace the catalogue of every agency that occurs in ``entries`` by these entries; other agencies keep theirs.

        With ``add`` the stored entries of these agencies stay, and the given ones are added: a stored entry with the same agency,
        procedure and first day is replaced. ``source``, the name of the loaded file, is stored with the load.

        The change is visible at once and as a whole, and durable when this returns. Loading what is stored already stores
        nothing. Of two loads at the same time the later one wins for every agency that both have. Then ``overtaken`` names these
        agencies, for at least one of the two loads.

        Raises:
            OverlapError: two entries of one service would share a day. Nothing is stored.
            SinkError: the storage does not answer. All entries are stored, or none; calling again with the same entries is safe.
        """
        ...

    def entries(self, period: Period | None = None, *, agencies: Collection[str] | None = None) -> Sequence[CatalogueEntry]:
        """The entries of some agencies (None: all) in force on a day of ``period`` (None: any day).

        By agency, procedure, first day.

        Only entries of complete loads are returned, and all entries of such a load or none.

        Raises:
            SinkError: the storage does not answer, or rows of a complete load are missing.
        """
        ...
