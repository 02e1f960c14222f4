"""Questions about numpy columns whose rows are sorted by dossier: the first row with a condition, the latest before each."""

from __future__ import annotations

import numpy as np


class RowsByDossier:
    """Questions about rows that are sorted by dossier.

    Args:
        dossier: number of the dossier of each row.

    When there is no such row, ``first`` gives the number of rows, ``last`` and ``latest_before`` give -1.
    """

    def __init__(self, dossier: np.ndarray) -> None:
        self._rows = len(dossier)
        self.starts = np.flatnonzero(np.r_[True, dossier[1:] != dossier[:-1]])
        self.sizes = np.diff(np.r_[self.starts, self._rows])
        self._positions = np.arange(self._rows)

    def first(self, condition: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """For each dossier the position of the first row for which the condition holds, and whether there is one."""
        found = np.minimum.reduceat(np.where(condition, self._positions, self._rows), self.starts)
        return found, found < self._rows

    def last(self, condition: np.ndarray) -> np.ndarray:
        """For each dossier the position of the last row for which the condition holds, or -1."""
        found: np.ndarray = np.maximum.reduceat(np.where(condition, self._positions, -1), self.starts)
        return found

    def any(self, condition: np.ndarray) -> np.ndarray:
        """For each dossier whether the condition holds for one of its rows."""
        found: np.ndarray = np.logical_or.reduceat(condition, self.starts)
        return found

    def latest_before(self, condition: np.ndarray, *, including: bool = False) -> np.ndarray:
        """For each row the position of the latest row before it (or itself) in its dossier with the condition, or -1."""
        latest = np.maximum.accumulate(np.where(condition, self._positions, -1))
        if not including:
            latest = np.r_[-1, latest[:-1]]
        found: np.ndarray = np.where(latest >= np.repeat(self.starts, self.sizes), latest, -1)
        return found
