"""How long loops rest between two pieces of work, so that the storage has time for everything else.

A rest follows from how long the work took. The time of a small statement says how busy the storage is: with several workers, or
beside other programs, each worker then sends fewer and larger statements.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

#: A batch of fewer rows is small: the time that storing it takes says how busy the storage is. A larger one takes long anyway.
_SMALL_BATCH: Final = 10_000
#: After a small batch the next one starts this many times as late as storing it took, but not later than this (seconds).
_STORE_FACTOR: Final = 3.0
_LONGEST_STORE_PAUSE: Final = 1.0
#: A round of the dossier tier with fewer messages is small.
_SMALL_ROUND: Final = 20_000
#: The longest rest after a small round of the dossier tier (seconds).
_LONGEST_DOSSIER_REST: Final = 2.0


@dataclass(frozen=True, slots=True)
class RestPolicy:
    """How long a loop rests after a round: the rest of ``interval`` seconds, or ``factor`` times the round's duration if longer.

    ``flood_factor`` replaces ``factor`` in a flood.
    """

    interval: float
    factor: float
    flood_factor: float

    def seconds(self, taken: float, *, flooded: bool) -> float:
        """How many seconds to rest after a round that took ``taken`` seconds."""
        return max(self.interval - taken, (self.flood_factor if flooded else self.factor) * taken)


#: ``factor`` and ``flood_factor`` of each tier. People wait for minutes, so these may take half of the time. Days may be late,
#: and procedures scan whole days.
MINUTE_REST: Final = (1.0, 9.0)
DAY_REST: Final = (3.0, 9.0)
PROCEDURE_REST: Final = (9.0, 27.0)


@dataclass(slots=True)
class StorePace:
    """How far apart batches are stored. Threads may share it.

    Args:
        interval: the shortest time between the starts of two batches (seconds).
    """

    interval: float
    _small_seconds: float = 0.0

    def stored(self, rows: int, seconds: float) -> None:
        """Note that storing a batch of ``rows`` took ``seconds``."""
        self._small_seconds = seconds if rows < _SMALL_BATCH else 0.0

    def pause(self) -> float:
        """Seconds from the start of a batch to the start of the next one, unless that one is full."""
        return max(self.interval, min(_STORE_FACTOR * self._small_seconds, _LONGEST_STORE_PAUSE))


def dossier_rest(interval: float, *, messages: int, taken: float) -> float:
    """Seconds to rest after a round of the dossier tier that resolved the dossiers of ``messages`` in ``taken`` seconds.

    Rounds start at least ``interval`` seconds apart. After a small one the rest is as long as the round.
    """
    return max(interval - taken, min(taken, _LONGEST_DOSSIER_REST) if messages < _SMALL_ROUND else 0.0)
