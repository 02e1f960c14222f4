"""The feed of Prometheus at each step: which events are counted, whether exporter and storage answer, how many events wait."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from dashboards.history.figures import Counts, Grid


@dataclass(frozen=True, slots=True)
class Feed:
    """The state of the pipeline at each instant of a grid (steps + 1).

    Attributes:
        counted: events of the steps before this one are in the tallies.
        answers: whether the exporter answered the scrape.
        storage: whether the storage answered the exporter.
        waiting: events in Kafka that are not counted.
    """

    counted: Counts
    answers: NDArray[np.bool_]
    storage: NDArray[np.bool_]
    waiting: Counts

    @classmethod
    def sound(cls, grid: Grid) -> Self:
        """The feed of a pipeline in which nothing ever fails."""
        instants = grid.steps + 1
        return cls(
            np.arange(instants, dtype=np.int64),
            np.ones(instants, np.bool_),
            np.ones(instants, np.bool_),
            np.zeros(instants, np.int64),
        )

    @property
    def read(self) -> NDArray[np.bool_]:
        """At each instant whether Prometheus got figures of agencies."""
        return self.answers & self.storage

    def newest_read(self, index: int, *, bridged: int) -> int | None:
        """The newest instant up to ``index`` of which Prometheus has figures, if it is at most ``bridged`` steps earlier.

        Else None.
        """
        return next((at for at in range(index, max(index - bridged, 0) - 1, -1) if self.answers[at] and self.storage[at]), None)
