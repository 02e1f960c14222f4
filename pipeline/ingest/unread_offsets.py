"""Offsets that left the log before they were read: a book of them, and the one sentence that everybody says about them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

#: A partition: topic and number.
Partition = tuple[str, int]


@dataclass(slots=True)
class UnreadOffsets:
    """Ranges of offsets by partition; what is noticed twice counts once. Not thread-safe."""

    _ranges: defaultdict[Partition, list[tuple[int, int]]] = field(default_factory=lambda: defaultdict(list))

    def note(self, partition: Partition, first: int, end: int) -> int:
        """Add ``first`` up to, not including, ``end``; returns how many of them were not known yet."""
        if first >= end:
            return 0
        known = self.count(partition)
        self._ranges[partition] = merged([*self._ranges[partition], (first, end)])
        return self.count(partition) - known

    def count(self, partition: Partition) -> int:
        """Number of offsets of one partition."""
        return sum(end - first for first, end in self._ranges.get(partition, ()))

    @property
    def total(self) -> int:
        """Number of offsets of all partitions."""
        return sum(map(self.count, self._ranges))


def merged(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Disjoint ranges, ascending, that hold the same offsets; the ends are not included."""
    found: list[tuple[int, int]] = []
    for first, end in sorted(ranges):
        if first >= end:
            continue
        if found and first <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((first, end))
    return found


def sentence(partition: int, first: int, end: int) -> str:
    """What logs and reports say. "May", for ends of transactions and aborted messages have offsets, too."""
    return f"Partition {partition}: offsets {first} to {end - 1} left the log before they were read: their messages may be lost."
