"""How far a consumer read its partitions, and where it reads on after a rebalance. No client library is used here.

The unit is a *fetch*, known by the offset of its last message. Fetches of a partition are handed out by the consumer in their
order, taken over by the worker in the same order, and acknowledged in any order, each when it is stored and counted.

A rebalance interrupts every member, also those that keep their partitions. What a member took over stays valid, because only what
is stored and counted is committed: it reads on after it. What was handed out and not taken over is handed out again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

P = TypeVar("P", bound=Hashable)


@dataclass(slots=True)
class PartitionProgress:
    """What was read of one partition, from the offset where reading began.

    Args:
        begun: tells this reading from earlier and later ones of the same partition.
    """

    begun: int
    _waiting: deque[int] = field(default_factory=deque)  # handed out, and not in the unbroken run of acknowledged fetches
    _acknowledged: set[int] = field(default_factory=set)
    _taken: int | None = None
    _through: int | None = None
    _done: int | None = None

    def hand_out(self, last: int) -> None:
        """A fetch was handed out."""
        self._waiting.append(last)

    def take(self, last: int) -> None:
        """The worker took over a fetch, and is going to acknowledge it."""
        self._taken = last + 1

    def read_through(self, offset: int) -> None:
        """Everything before this offset was handed out or is not a message."""
        self._through = offset

    def acknowledge(self, last: int) -> None:
        """A fetch is stored and counted."""
        self._acknowledged.add(last)

    def offset_to_commit(self) -> int | None:
        """The offset after the unbroken run of acknowledged fetches; None: there is no such run.

        Offsets after it that are not messages are included once nothing waits.
        """
        while self._waiting and self._waiting[0] in self._acknowledged:
            last = self._waiting.popleft()
            self._acknowledged.discard(last)
            self._done = last + 1
        if not self._waiting and self._through is not None:
            self._done = max(self._through, self._done or 0)
        return self._done

    def interrupt(self) -> None:
        """Drop what was handed out and not taken over."""
        while self._waiting and self._waiting[-1] >= (self._taken or 0):
            self._waiting.pop()
            self._through = None

    @property
    def end(self) -> int | None:
        """The offset after everything that was taken over; None: nothing was. Valid after ``interrupt``."""
        return None if self._taken is None else max(self._taken, self._through or 0)


class ReadingProgress(Generic[P]):
    """What was read of all partitions of type ``P``.

    Attributes:
        epoch: incremented when reading is interrupted, and when it goes on: what was fetched before may lie elsewhere.
        positions_known: whether reading goes on where the progress of each partition says; until then nothing is handed out.
    """

    def __init__(self) -> None:
        self.epoch, self.positions_known = 0, False
        self._reading: dict[P, PartitionProgress] = {}
        #: Of partitions whose reading is interrupted, until it is known whether this consumer reads on.
        self._interrupted: dict[P, PartitionProgress] = {}
        self._confirmed: dict[P, int] = {}

    def hand_out(self, partition: P, last: int) -> int:
        """A fetch is handed out; returns the ``begun`` of its partition."""
        progress = self._of(partition)
        progress.hand_out(last)
        return progress.begun

    def read_through(self, partition: P, offset: int) -> None:
        """Everything before this offset was handed out or is not a message."""
        self._of(partition).read_through(offset)

    def take(self, partition: P, last: int, *, epoch: int) -> bool:
        """Whether the worker takes over a fetch that was handed out in this epoch. Those of earlier ones are handed out again."""
        if epoch != self.epoch:
            return False
        self._reading[partition].take(last)
        return True

    def acknowledge(self, partition: P, last: int, *, begun: int) -> bool:
        """Whether a fetch that is stored and counted belongs to the present reading of its partition, even if interrupted."""
        progress = self._reading.get(partition) or self._interrupted.get(partition)
        if progress is None or progress.begun != begun:
            return False
        progress.acknowledge(last)
        return True

    def offset_to_commit(self, partition: P) -> int | None:
        """See ``PartitionProgress``; None while reading is interrupted."""
        progress = self._reading.get(partition)
        return None if progress is None else progress.offset_to_commit()

    def confirm(self, committed: Mapping[P, int]) -> None:
        """A broker confirmed that these offsets are committed."""
        self._confirmed.update(committed)

    def interrupt(self) -> None:
        """Nothing more is handed out or committed until it is known where to read on."""
        self.epoch += 1
        self.positions_known = False
        for progress in self._reading.values():
            progress.interrupt()
        self._interrupted |= self._reading
        self._reading = {}

    def forget(self) -> None:
        """Interrupt reading; every partition is read again from its committed offset."""
        self.interrupt()
        self._interrupted = {}

    def continued(self, committed: Mapping[P, int | None]) -> dict[P, int]:
        """Offsets where to read on, of those of the assigned partitions that are not read from their committed offset.

        A committed offset beyond what was taken over means that another member read on. One before what was confirmed was set
        back on purpose.
        """
        ends = {partition: self._interrupted[partition].end for partition in committed if partition in self._interrupted}
        return {
            partition: end
            for partition, end in ends.items()
            if end is not None and self._confirmed.get(partition, 0) <= (committed[partition] or 0) <= end
        }

    def resume(self, committed: Mapping[P, int | None], continued: Collection[P]) -> None:
        """All assigned partitions are read on: the ``continued`` ones after what was taken over, the others as committed."""
        self.epoch += 1
        self._reading = {partition: self._interrupted[partition] for partition in continued}
        self._interrupted = {}
        self._confirmed = {partition: offset for partition, offset in committed.items() if offset is not None}
        self.positions_known = True

    def _of(self, partition: P) -> PartitionProgress:
        if partition not in self._reading:
            self._reading[partition] = PartitionProgress(self.epoch)
        return self._reading[partition]
