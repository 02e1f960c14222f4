"""Counting stored dossiers again after the service catalogue of an agency changed: which, and for which agencies that is done."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterator, Mapping
from typing import Protocol

import pyarrow as pa

from domain.catalogue_levels import CatalogueLevels, Generation


class CatalogueRecounts(Protocol):
    """Knows which loads of the catalogue all stored dossiers were counted with. Several processes may use it at once."""

    def unfinished(self, agencies: Collection[str] | None = None) -> Mapping[str, Generation]:
        """The last load of each of these agencies (None: all) with which not all stored dossiers were counted."""
        ...

    def levels(self, agencies: Collection[str]) -> CatalogueLevels:
        """The levels of their last loads."""
        ...

    def levels_before(self, agencies: Collection[str]) -> CatalogueLevels:
        """The levels of the last loads that all stored dossiers of these agencies were counted with; none without such a load."""
        ...

    def days(self, agencies: Collection[str]) -> Mapping[dt.date, int]:
        """The civil days that have messages that ``dossiers`` finds, ascending, and their number."""
        ...

    def dossiers(self, agencies: Collection[str], day: dt.date) -> Iterator[pa.Array]:
        """Every dossier with a 9 or 10 of a day and of these agencies without a level, for a changed service.

        A service is changed when one of the loads since the last finished recount says otherwise than another, or than the load
        of that recount. Dossiers whose messages are stored and not indexed yet are among them.

        Yields:
            their numbers, 16 bytes each.
        """
        ...

    def finish(self, loads: Mapping[str, Generation]) -> None:
        """Record that all stored dossiers of agencies were counted with these loads."""
        ...
