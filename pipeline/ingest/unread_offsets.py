"""Unread offsets, which left the log before they were read: ranges of them, and the sentence about a range."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

#: A partition: topic and number.
Partition = tuple[str, int]


@dataclass(slots=True)
class UnreadOffsets:
    """Ranges of unread offsets by partition. An offset that is added twice counts once. Not thread-safe."""

    _ranges: defaultdict[Partition, list[tuple[int, int]]] = field(default_factory=lambda: defaultdict(list))

    def add(self, partition: Partition, first: int, end: int) -> int:
        """Add the offsets from ``first`` up to, not including, ``end``; return how many of them are new."""
        if first >= end:
            return 0
        before = self.count(partition)
        self._ranges[partition] = merged_ranges([*self._ranges[partition], (first, end)])
        return self.count(partition) - before

    def count(self, partition: Partition) -> int:
        """Number of offsets of one partition."""
        return sum(end - first for first, end in self._ranges.get(partition, ()))

    @property
    def total(self) -> int:
        """Number of offsets of all partitions."""
        return sum(map(self.count, self._ranges))


def merged_ranges(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Merge ranges of offsets to disjoint ones, ascending. The end of a range is not part of it."""
    found: list[tuple[int, int]] = []
    for first, end in sorted(ranges):
        if first >= end:
            continue
        if found and first <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((first, end))
    return found


def describe_unread(partition: int, first: int, end: int, topic: str = "") -> str:
    """A sentence about unread offsets: their messages may be lost.

    "May", because ends of transactions and aborted messages have offsets, too. ``end`` is not part of the range.
    """
    where = f"Partition {partition} of {topic}" if topic else f"Partition {partition}"
    return f"{where}: offsets {first} to {end - 1} left the log before they were read: their messages may be lost."
