"""The procedures (thủ tục hành chính) that a simulated agency offers, and how often each is asked for.

A few procedures account for most dossiers, so the choice follows Zipf's law. Each procedure has one service level, as in reality.
"""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import dataclass
from typing import Final

import numpy as np

from domain.events import ServiceLevel

#: Exponent of Zipf's law: the most popular of 60 procedures takes about a quarter of the dossiers.
_ZIPF: Final = 1.1
_LEVELS: Final = (ServiceLevel.FULL, ServiceLevel.PARTIAL, ServiceLevel.INFORMATION)
#: How often a procedure number opens with 1, 2 or 3, the three series in use.
SERIES_SHARES: Final = (0.70, 0.25, 0.05)


def rng_of(seed: int, *names: str) -> np.random.Generator:
    """A random generator that depends on the seed and the names only, not on earlier draws."""
    digest = hashlib.blake2b("\0".join((str(seed), *names)).encode(), digest_size=16).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest, "big")))


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The procedures of one agency: ``codes[i]``, and for each service level the indices with their cumulated shares."""

    codes: tuple[str, ...]
    by_level: dict[ServiceLevel, tuple[np.ndarray, np.ndarray]]

    def draw(self, rng: np.random.Generator, level: ServiceLevel, count: int) -> np.ndarray:
        """Draw the indices of ``count`` procedures of one level; popular procedures come more often."""
        indices, cumulated = self.by_level[level]
        return indices[np.searchsorted(cumulated, rng.random(count), side="right")]


def catalogue_of(agency: str, *, seed: int, size: int = 60) -> Catalogue:
    """The catalogue of an agency code: ``size`` procedures (at least one for each service level)."""
    rng = rng_of(seed, "catalogue", agency)
    numbers = rng.choice(13_000, size=size, replace=False)
    series = rng.choice(3, size=size, p=SERIES_SHARES) + 1
    codes = tuple(f"{first}.{number:06d}" for first, number in zip(series.tolist(), numbers.tolist(), strict=True))
    # Levels alternate through the ranks (full, partial, full, information, ...), so that each has popular procedures.
    pattern = itertools.cycle((0, 1, 0, 2, 1))
    level_of = np.fromiter(itertools.islice(pattern, size), dtype=np.int64, count=size)
    weight = 1.0 / np.arange(1, size + 1) ** _ZIPF
    by_level = {}
    for number, level in enumerate(_LEVELS):
        indices = np.flatnonzero(level_of == number)
        cumulated = np.cumsum(weight[indices])
        by_level[level] = (indices, cumulated / cumulated[-1])
    return Catalogue(codes, by_level)
