"""The parts of the dossier codes of one agency: the prefixes of its receiving units before the date, and the running numbers."""

from __future__ import annotations

import numpy as np

from producers.portals.schedule import local_day


def prefixes_of(rng: np.random.Generator, agency: str) -> tuple[tuple[str, ...], bool]:
    """The prefixes (before the date) of the agency's receiving units, in one of the three styles in use."""
    units = int(rng.integers(2, 9))
    style = int(rng.choice(3, p=[0.5, 0.35, 0.15]))
    if style == 0:
        return tuple(f"000.00.{number:02d}.{agency}" for number in range(units)), False
    numbers = np.sort(rng.choice(np.arange(1, 400), size=units, replace=False)).tolist()
    return tuple(f"{agency}.{number}" for number in numbers), style == 2


def sequences_of(prefix: np.ndarray, submitted: np.ndarray) -> np.ndarray:
    """Running numbers that start from 1 on every local day of every receiving unit, in the order of submission."""
    group = local_day(submitted) * 1_000 + prefix
    order = np.lexsort((submitted, group))
    ordered = group[order]
    starts = np.r_[0, np.flatnonzero(np.diff(ordered)) + 1]
    lengths = np.diff(np.r_[starts, len(ordered)])
    sequence = np.empty(len(order), dtype=np.int32)
    sequence[order] = np.arange(len(order)) - np.repeat(starts, lengths) + 1
    return sequence
