"""Keeps how far a consumer read its partitions, and where it reads on after a rebalance. Uses no client library.

The unit is a *fetch*, identified by the offset of its last message. The consumer hands fetches of a partition out in their order;
the worker takes them over in the same order; they are acknowledged in any order, each when it is stored and counted.

A rebalance interrupts every member, also members that keep their partitions. Fetches that a member took over stay valid, because
only stored and counted ones are committed: the member reads on after them. Fetches that were handed out and not taken over are
handed out again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

P = TypeVar("P", bound=Hashable)


@dataclass(slots=True)
class PartitionProgress:
    """The fetches of one partition since reading it began.

    Args:
        begun: a number that identifies this reading among earlier and later ones of the same partition.
    """

    begun: int
    _waiting: deque[int] = field(default_factory=deque)  # handed out, and not in the unbroken run of acknowledged fetches
    _acknowledged: set[int] = field(default_factory=set)
    _taken: int | None = None
    _through: int | None = None
    _done: int | None = None

    def hand_out(self, last: int) -> None:
        """Note that the fetch whose last message has the offset ``last`` was handed out."""
        self._waiting.append(last)

    def take(self, last: int) -> None:
        """Note that the worker took over the fetch that ends at the offset ``last``, and is going to acknowledge it."""
        self._taken = last + 1

    def read_through(self, offset: int) -> None:
        """Note that all messages before ``offset`` were handed out."""
        self._through = offset

    def acknowledge(self, last: int) -> None:
        """Note that the fetch that ends at the offset ``last`` is stored and counted."""
        self._acknowledged.add(last)

    def offset_to_commit(self) -> int | None:
        """The offset after the unbroken run of acknowledged fetches; None: the first fetch is not acknowledged yet.

        When no fetch waits to be acknowledged, following offsets that are not messages are included.
        """
        while self._waiting and self._waiting[0] in self._acknowledged:
            last = self._waiting.popleft()
            self._acknowledged.discard(last)
            self._done = last + 1
        if not self._waiting and self._through is not None:
            self._done = max(self._through, self._done or 0)
        return self._done

    def interrupt(self) -> None:
        """Forget the fetches that were handed out and not taken over."""
        while self._waiting and self._waiting[-1] >= (self._taken or 0):
            self._waiting.pop()
            self._through = None

    @property
    def end(self) -> int | None:
        """The offset after all fetches that were taken over; None: none was. Valid after ``interrupt``."""
        return None if self._taken is None else max(self._taken, self._through or 0)


class ReadingProgress(Generic[P]):
    """The fetches of all partitions; ``P`` is the type of a partition.

    Attributes:
        epoch: incremented when reading is interrupted and when it goes on; fetches of an earlier epoch must not be handed out.
        positions_known: whether it is known where each partition is read on; until then no fetch is handed out.
    """

    def __init__(self) -> None:
        self.epoch, self.positions_known = 0, False
        self._reading: dict[P, PartitionProgress] = {}
        #: Of partitions whose reading is interrupted, until it is known whether this consumer reads on.
        self._interrupted: dict[P, PartitionProgress] = {}
        self._confirmed: dict[P, int] = {}

    def hand_out(self, partition: P, last: int) -> int:
        """Note that the fetch that ends at the offset ``last`` is handed out; return the ``begun`` of its partition."""
        progress = self._of(partition)
        progress.hand_out(last)
        return progress.begun

    def read_through(self, partition: P, offset: int) -> None:
        """Note that all messages of a partition before ``offset`` were handed out."""
        self._of(partition).read_through(offset)

    def take(self, partition: P, last: int, *, epoch: int) -> bool:
        """Take over a fetch; return False for a fetch of an earlier epoch, which is handed out again."""
        if epoch != self.epoch:
            return False
        self._reading[partition].take(last)
        return True

    def acknowledge(self, partition: P, last: int, *, begun: int) -> bool:
        """Note that a fetch is stored and counted; return False if it is of an earlier reading of its partition (``begun``)."""
        progress = self._reading.get(partition) or self._interrupted.get(partition)
        if progress is None or progress.begun != begun:
            return False
        progress.acknowledge(last)
        return True

    def offset_to_commit(self, partition: P) -> int | None:
        """See ``PartitionProgress.offset_to_commit``; None while reading is interrupted."""
        progress = self._reading.get(partition)
        return None if progress is None else progress.offset_to_commit()

    def confirm(self, committed: Mapping[P, int]) -> None:
        """Note that a broker confirmed these committed offsets."""
        self._confirmed.update(committed)

    def interrupt(self) -> None:
        """Interrupt reading: nothing is handed out or committed until ``resume``."""
        self.epoch += 1
        self.positions_known = False
        for progress in self._reading.values():
            progress.interrupt()
        self._interrupted |= self._reading
        self._reading = {}

    def forget(self) -> None:
        """Interrupt reading and forget all fetches, so that every partition is read again from its committed offset."""
        self.interrupt()
        self._interrupted = {}

    def continued(self, committed: Mapping[P, int | None]) -> dict[P, int]:
        """Partition -> offset where to read on after the fetches taken over; other partitions start at the committed offset.

        A partition is omitted if its committed offset is beyond the fetches taken over (another member read on), or before the
        confirmed one (an operator set it back).
        """
        ends = {partition: self._interrupted[partition].end for partition in committed if partition in self._interrupted}
        return {
            partition: end
            for partition, end in ends.items()
            if end is not None and self._confirmed.get(partition, 0) <= (committed[partition] or 0) <= end
        }

    def resume(self, committed: Mapping[P, int | None], continued: Collection[P]) -> None:
        """Resume reading: ``continued`` partitions after the fetches taken over, the others from their committed offset."""
        self.epoch += 1
        self._reading = {partition: self._interrupted[partition] for partition in continued}
        self._interrupted = {}
        self._confirmed = {partition: offset for partition, offset in committed.items() if offset is not None}
        self.positions_known = True

    def _of(self, partition: P) -> PartitionProgress:
        if partition not in self._reading:
            self._reading[partition] = PartitionProgress(self.epoch)
        return self._reading[partition]
