"""The tallies that follow from the events that were sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

#: Number of different procedures in the events.
PROCEDURES: Final = 20
_DAY_OFFSET: Final = 7 * 3600


@dataclass(frozen=True, slots=True)
class Expected:
    """The distinct events that Kafka has acknowledged, one array element each, ordered by their numbers."""

    agencies: tuple[str, ...]
    agency: np.ndarray[Any, Any]  # index into ``agencies``
    at: np.ndarray[Any, Any]  # seconds since 1970
    procedure: np.ndarray[Any, Any]  # below PROCEDURES

    def minutes(self) -> dict[tuple[str, int], int]:
        """(agency, start of the minute as seconds since 1970) -> events."""
        return self._count(self.at // 60 * 60)

    def days(self) -> dict[tuple[str, int], int]:
        """(agency, civil day as days since 1970) -> events."""
        return self._count((self.at + _DAY_OFFSET) // 86_400)

    def procedures(self) -> dict[tuple[str, int, str], int]:
        """(agency, civil day as days since 1970, procedure) -> events."""
        days = (self.at + _DAY_OFFSET) // 86_400
        return {
            (agency, key // PROCEDURES, procedure_code(key % PROCEDURES)): events
            for (agency, key), events in self._count(days * PROCEDURES + self.procedure).items()
        }

    def _count(self, key: np.ndarray[Any, Any]) -> dict[tuple[str, int], int]:
        pairs, counts = np.unique(np.stack([self.agency.astype(np.int64), key]), axis=1, return_counts=True)
        return {
            (self.agencies[agency], int(value)): int(count)
            for agency, value, count in zip(pairs[0], pairs[1], counts, strict=True)
        }


def procedure_code(number: int) -> str:
    """The code of one of the few procedures that the events name."""
    return f"1.{number:06d}"
