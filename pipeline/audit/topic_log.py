"""What the audit reads from the log of a topic. ``pipeline.kafka.topic_reader`` implements this interface."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Partition:
    """Offsets of one partition: the first one still in the log, the one after the last, and the group's committed one."""

    number: int
    begin: int
    end: int
    committed: int | None
    topic: str = ""  # of a portal; empty: the only one


class TopicReader(Protocol):
    """Reads the log without side effects: a reader commits nothing and joins no group."""

    def partitions(self) -> Sequence[Partition]:
        """The partitions of every topic, ascending."""
        ...

    def members(self) -> int:
        """Number of members of the group that read a topic, or may read it while the group rebalances."""
        ...

    def messages(self, partition: int, begin: int, end: int, *, topic: str = "") -> Iterator[Sequence[tuple[int, bytes | None]]]:
        """Offsets and values of the messages from ``begin`` up to, not including, ``end``, in batches."""
        ...
