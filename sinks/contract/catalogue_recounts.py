"""Recounts of stored dossiers after the service catalogue of an agency changed: which dossiers, and what is finished."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterator, Mapping
from typing import Protocol

import pyarrow as pa

from domain.catalogue_levels import CatalogueLevels, Generation


class CatalogueRecounts(Protocol):
    """Knows with which loads of the catalogue all stored dossiers were counted. Several processes may use it at once."""

    def unfinished(self, agencies: Collection[str] | None = None) -> Mapping[str, Generation]:
        """The last load of each of these agencies (None: all) with which not all stored dossiers have been counted yet."""
        ...

    def levels(self, agencies: Collection[str]) -> CatalogueLevels:
        """The service levels of these agencies in the last load of each."""
        ...

    def levels_before(self, agencies: Collection[str]) -> CatalogueLevels:
        """The service levels in the last load of each agency for which a recount was finished.

        An agency without such a load has none.
        """
        ...

    def days(self, agencies: Collection[str]) -> Mapping[dt.date, int]:
        """Each civil day for which ``dossiers`` finds dossiers, ascending -> the number of messages by which it finds them."""
        ...

    def dossiers(self, agencies: Collection[str], day: dt.date) -> Iterator[pa.Array]:
        """The dossiers of these agencies and a changed service with a message of the day with status 9 or 10 and without a level.

        A service is changed when the loads since the last finished recount differ in what they say about it, or one of them
        differs from the load of that recount. Dossiers whose messages are stored and not yet indexed are included.

        Yields:
            arrays of dossier numbers, 16 bytes each.
        """
        ...

    def finish(self, loads: Mapping[str, Generation]) -> None:
        """Record that all stored dossiers of these agencies were counted with these loads (agency -> load)."""
        ...
