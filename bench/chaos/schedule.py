"""The order of the faults and the random seed of each, decided by one seed before anything runs."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

#: Longest undisturbed time before a fault (seconds).
LONGEST_PAUSE = 4.0


@dataclass(frozen=True, slots=True)
class Step:
    """One fault after ``pause`` seconds of undisturbed traffic; ``seed`` is for the random choices of the fault."""

    fault: str
    pause: float
    seed: int


def steps(faults: Sequence[str], seed: int) -> Iterator[Step]:
    """Endless: every fault once, in random order, then every one again in another order.

    The same names and the same seed give the same steps, whatever order the names are given in.
    """
    if not faults:
        raise ValueError("a schedule needs at least one fault")
    source = random.Random(seed)
    while True:
        for fault in source.sample(sorted(faults), len(faults)):
            yield Step(fault, round(source.uniform(0.0, LONGEST_PAUSE), 3), source.getrandbits(32))
