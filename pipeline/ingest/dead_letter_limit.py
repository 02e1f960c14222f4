"""The dead-letter limit: after a bad deploy a worker must stop instead of turning the whole topic into dead letters.

There are two limits: the number of rejections in a row, without an event in between, and the share of rejections among the latest
messages. Both are counted for one partition in the order of offsets, so that good partitions do not hide a bad one. The count at
an offset depends only on the messages below this offset, not on a clock. It is stored with the offset as a checkpoint
(``sinks.contract.dead_letters.DeadLetterCheckpoint``), so that another process continues correctly, also with redelivered
messages.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

#: A window is divided into about this many groups of messages.
_GROUPS: Final = 32

#: Topic and number of a partition.
Partition = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Window:
    """The latest messages of a partition in groups, oldest first: (number of messages, how many of them were rejected)."""

    groups: tuple[tuple[int, int], ...] = ()

    @property
    def messages(self) -> int:
        """Number of messages in all groups."""
        return sum(messages for messages, _ in self.groups)

    @property
    def rejected(self) -> int:
        """Number of rejections in all groups."""
        return sum(rejected for _, rejected in self.groups)

    def extended(self, messages: int, rejected: int, *, size: int) -> Window:
        """The window with ``messages`` more messages, ``rejected`` of them rejected, less the oldest groups beyond ``size``."""
        groups = list(self.groups)
        if groups and groups[-1][0] + messages <= size // _GROUPS:
            before = groups.pop()
            messages, rejected = before[0] + messages, before[1] + rejected
        if messages:
            groups.append((messages, rejected))
        total = sum(count for count, _ in groups)
        while groups and total - groups[0][0] >= size:
            total -= groups.pop(0)[0]
        return Window(tuple(groups) if size else ())


@dataclass(frozen=True, slots=True)
class PartitionCount:
    """The count of a partition up to an offset. ``run``: number of rejections in a row directly before this offset."""

    run: int = 0
    window: Window = Window()
    #: Rejections below this offset were accepted by an operator and are not counted.
    accepted_until: int = 0


@dataclass(frozen=True, slots=True)
class Excess:
    """A limit that a partition exceeds: the name of the limit's setting, and the figures in words."""

    partition: Partition
    setting: str
    problem: str


@dataclass(frozen=True, slots=True)
class DeadLetterLimit:
    """The limits; 0 switches a limit off.

    Args:
        max_consecutive: this many rejections in a row exceed the limit.
        max_ratio: a larger share of rejections than this exceeds the limit, once ``window`` messages are counted.
        window: number of the latest messages that the share is computed over (slightly more: whole groups are counted).
    """

    max_consecutive: int
    max_ratio: float
    window: int


@dataclass(frozen=True, slots=True)
class Part:
    """Consecutive messages of one partition in a batch. ``counted``: whether this worker may acknowledge and so counts them."""

    partition: Partition
    offset: int  # of the first
    messages: int
    counted: bool = True


@dataclass(slots=True)
class _Tally:
    """The count of one partition while a batch is checked."""

    before: PartitionCount
    run: int
    window: Window  # with the messages of the batch, and without its rejections
    rejected: int = 0  # messages of the batch that are known to be rejected
    decided: int = 0  # messages of the batch that are decided and counted in this partition
    last: int = -1  # number of the last rejected message among them
    longest: int = 0  # run


class BatchLimitCheck:
    """Checks one batch against the limits while its messages are being decided, that is, stored or rejected.

    Args:
        limit: the limits.
        parts: the messages of the batch, in order.
        rejected: positions in the batch of messages that are not events, ascending.
        counts: the count of each partition before the batch.
    """

    def __init__(
        self,
        limit: DeadLetterLimit,
        parts: Sequence[Part],
        rejected: Sequence[int],
        counts: Mapping[Partition, PartitionCount],
    ) -> None:
        self._limit, self._parts, self._rejected = limit, parts, rejected
        self._starts = [0, *accumulate(part.messages for part in parts)]
        self._skipped = [_skipped(part, counts[part.partition].accepted_until) for part in parts]
        self._next = 0  # index into ``rejected``
        self._part = 0  # index of the part with the first undecided message
        self._decided = 0  # messages that are decided
        messages: dict[Partition, int] = {part.partition: 0 for part in parts}
        before = dict(counts)
        for part, skipped in zip(parts, self._skipped, strict=True):
            messages[part.partition] += part.messages - skipped
            if skipped and part.counted:  # the messages before it were accepted, too
                before[part.partition] = PartitionCount(accepted_until=before[part.partition].accepted_until)
        self._tallies = {
            partition: _Tally(
                before[partition], before[partition].run, before[partition].window.extended(count, 0, size=limit.window)
            )
            for partition, count in messages.items()
        }
        self._count_rejected(rejected)

    def decide(self, until: int, refused_by_storage: Sequence[int] = ()) -> Excess | None:
        """Mark the messages before position ``until`` as decided.

        Args:
            until: a position in the batch.
            refused_by_storage: positions of the newly decided messages that the storage refused, ascending.

        Returns:
            The limit that is exceeded whatever happens to the rest of the batch, or None.
        """
        self._count_rejected(refused_by_storage)
        rejected = list(refused_by_storage)
        while self._next < len(self._rejected) and self._rejected[self._next] < until:
            rejected.append(self._rejected[self._next])
            self._next += 1
        self._count_runs(until, sorted(rejected))
        return self._excess()

    def counted(self) -> Mapping[Partition, PartitionCount]:
        """The count of each partition after the batch. All messages must be decided."""
        return {
            partition: PartitionCount(
                tally.run if tally.last == tally.decided - 1 else 0,
                tally.before.window.extended(tally.decided, tally.rejected, size=self._limit.window),
                tally.before.accepted_until,
            )
            for partition, tally in self._tallies.items()
        }

    def before(self, partition: Partition) -> PartitionCount:
        """The count of a partition before the batch."""
        return self._tallies[partition].before

    def rejections(self, partition: Partition) -> int:
        """Number of counted rejections of the batch in a partition, as far as they are known."""
        return self._tallies[partition].rejected

    def _count_rejected(self, positions: Sequence[int]) -> None:
        for position in positions:
            index = bisect_right(self._starts, position) - 1
            if position - self._starts[index] >= self._skipped[index]:
                self._tallies[self._parts[index].partition].rejected += 1

    def _count_runs(self, until: int, rejected: Sequence[int]) -> None:
        """Count the newly decided messages; those at the positions ``rejected`` are rejected."""
        taken = 0
        while self._decided < until:
            part, start = self._parts[self._part], self._starts[self._part]
            end = min(until, start + part.messages)
            low = max(self._decided, start + self._skipped[self._part])
            tally = self._tallies[part.partition]
            while taken < len(rejected) and rejected[taken] < end:
                if rejected[taken] >= low:
                    number = tally.decided + rejected[taken] - low
                    tally.run = tally.run + 1 if number == tally.last + 1 else 1
                    tally.last, tally.longest = number, max(tally.longest, tally.run)
                taken += 1
            tally.decided += max(0, end - low)
            self._decided = end
            self._part += end == start + part.messages

    def _excess(self) -> Excess | None:
        limit = self._limit
        for partition, tally in self._tallies.items():
            if 0 < limit.max_consecutive <= tally.longest:
                return Excess(
                    partition,
                    "max_consecutive",
                    f"{tally.longest} messages in a row were rejected, the limit is {limit.max_consecutive}",
                )
            messages, rejected = tally.window.messages, tally.window.rejected + tally.rejected
            if 0 < limit.window <= messages and 0 < limit.max_ratio < rejected / messages:
                return Excess(
                    partition,
                    "max_ratio",
                    f"{rejected} of the latest {messages} messages were rejected, the limit is {limit.max_ratio * 100:g} %",
                )
        return None


def _skipped(part: Part, accepted_until: int) -> int:
    """Number of messages at the beginning of a part that are not counted."""
    return min(part.messages, max(0, accepted_until - part.offset)) if part.counted else part.messages
