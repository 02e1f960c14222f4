"""Finds rows in numpy columns that are sorted by dossier: the first or last row of a dossier for which a condition holds."""

from __future__ import annotations

import numpy as np


class RowsByDossier:
    """Finds rows of each dossier for which a condition holds.

    Args:
        dossier: number of the dossier of each row, sorted.

    When no row is found, ``first`` gives the number of rows as its position, ``last`` and ``latest_before`` give -1.
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
        """For each dossier the position of the last row for which the condition holds, or -1 when there is none."""
        found: np.ndarray = np.maximum.reduceat(np.where(condition, self._positions, -1), self.starts)
        return found

    def any(self, condition: np.ndarray) -> np.ndarray:
        """For each dossier whether the condition holds for at least one of its rows."""
        found: np.ndarray = np.logical_or.reduceat(condition, self.starts)
        return found

    def latest_before(self, condition: np.ndarray, *, including: bool = False) -> np.ndarray:
        """For each row the position of the last row before it in the same dossier for which the condition holds, or -1.

        ``including``: the row itself is looked at, too.
        """
        latest = np.maximum.accumulate(np.where(condition, self._positions, -1))
        if not including:
            latest = np.r_[-1, latest[:-1]]
        found: np.ndarray = np.where(latest >= np.repeat(self.starts, self.sizes), latest, -1)
        return found
