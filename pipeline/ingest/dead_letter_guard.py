"""Enforces the dead-letter limit: checks batches in the order of their messages, before any of them is acknowledged.

The count of a partition starts from the checkpoint below the first message that this worker received. A batch that changes the
count writes a checkpoint after its dead letters are stored. So a batch that its worker did not finish was not counted, and is
counted from its first offset when it is redelivered: no message counts twice, and a restart loses no count.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace

from domain.errors import DeadLetterLimitError
from pipeline.ingest.dead_letter_limit import BatchLimitCheck, DeadLetterLimit, Excess, Part, Partition, PartitionCount, Window
from pipeline.ingest.storage_retry import StorageRetry
from pipeline.logs import get_logger
from pipeline.settings import PREFIX
from sinks.contract.dead_letters import DeadLetter, DeadLetterCheckpoint, DeadLetterLimitState, DeadLetterLimitStore

#: How often a thread that waits for its turn checks whether the worker stops (seconds).
_STOP_CHECK_SECONDS = 0.2

log = get_logger("dead_letters")


class StoppedError(Exception):
    """The worker stops before the turn of a batch came. The batch stays unacknowledged."""


class NoCheckpoints:
    """A ``DeadLetterLimitStore`` that stores nothing: counts start with the worker."""

    def limit_state(self, topic: str, partition: int, *, before: int) -> DeadLetterLimitState:  # noqa: ARG002
        """Return the state without a checkpoint and without accepted messages."""
        return DeadLetterLimitState()

    def insert_checkpoints(self, checkpoints: Sequence[DeadLetterCheckpoint]) -> None:
        """Store nothing."""

    def accept(self, topic: str, partition: int, until: int) -> None:
        """Do nothing."""


@dataclass(frozen=True, slots=True)
class AssignedPart:
    """Consecutive messages of one partition, and the number of the assignment in which they were fetched."""

    partition: Partition
    offset: int  # of the first
    messages: int
    assignment: int


@dataclass(slots=True)
class _TrackedCount:
    """The count of a partition in this worker's memory, and the number of the assignment to which it belongs."""

    assignment: int
    count: PartitionCount
    #: Offset of the newest checkpoint when this count started. Checkpoints up to it may come from another release, which refused
    #: other messages, so every batch up to it writes its own.
    newest: int


class DeadLetterGuard:
    """Keeps the counts of one worker and checks batches in the order of their numbers, from 0, whichever thread stores them.

    Args:
        limit: the limits.
        store: keeps checkpoints, and what operators accepted.
        retrying: repeats a call to the storage while it is unavailable.
        stopping: set when the worker stops; then no batch waits for its turn.
    """

    def __init__(
        self, limit: DeadLetterLimit, store: DeadLetterLimitStore, *, retrying: StorageRetry, stopping: threading.Event
    ) -> None:
        self._limit, self._store, self._retrying, self._stopping = limit, store, retrying, stopping
        self._counts: dict[Partition, _TrackedCount] = {}
        self._next = 0
        self._changed = threading.Condition()

    def batch(
        self, number: int, parts: Sequence[AssignedPart], rejected: Sequence[int], dead_letters: Sequence[DeadLetter]
    ) -> BatchGuard:
        """The guard of one batch.

        Args:
            number: the batch's number in the order of all batches, from 0.
            parts: the batch's messages in order.
            rejected: positions in the batch of the messages that are not events, ascending.
            dead_letters: the dead letters of these messages.
        """
        return BatchGuard(self, number, parts, rejected, dead_letters)

    def await_turn(self, number: int) -> None:
        """Wait until all batches before the batch ``number`` are finished.

        Raises:
            StoppedError: the worker stops first.
        """
        with self._changed:
            while self._next != number:
                if self._stopping.is_set():
                    raise StoppedError
                self._changed.wait(_STOP_CHECK_SECONDS)

    def pass_turn(self) -> None:
        """End the turn of the current batch: the next batch may begin."""
        with self._changed:
            self._next += 1
            self._changed.notify_all()

    def parts_of(self, parts: Sequence[AssignedPart]) -> list[Part]:
        """The parts of a batch, each marked as counted or not. Loads the counts of their partitions.

        Messages of an older assignment are not counted: this worker does not acknowledge them, and they count when they are
        redelivered.
        """
        newest: dict[Partition, int] = {}
        for part in parts:
            newest[part.partition] = max(part.assignment, newest.get(part.partition, part.assignment))
        counted = []
        for part in parts:
            tracked = self._counts.get(part.partition)
            current = part.assignment == newest[part.partition] and (tracked is None or tracked.assignment <= part.assignment)
            if tracked is None or (current and tracked.assignment < part.assignment):
                self._counts[part.partition] = self._load(part)
            counted.append(Part(part.partition, part.offset, part.messages, counted=current))
        return counted

    def limit_check(self, parts: Sequence[Part], rejected: Sequence[int]) -> BatchLimitCheck:
        """A new check of a batch. ``parts_of`` must have loaded the counts of its partitions."""
        counts = {part.partition: self._counts[part.partition].count for part in parts}
        return BatchLimitCheck(self._limit, parts, rejected, counts)

    def accepted_meanwhile(self, parts: Sequence[AssignedPart], partition: Partition) -> bool:
        """Whether an operator accepted more messages of the partition since its count was loaded. If so, load the count again."""
        tracked = self._counts[partition]
        first = next(part for part in parts if part.partition == partition and part.assignment == tracked.assignment)
        found = self._load(first)
        if found.count.accepted_until <= tracked.count.accepted_until:
            return False
        self._counts[partition] = found
        return True

    def finish(self, parts: Sequence[Part], check: BatchLimitCheck) -> None:
        """Keep the counts after a batch, and write a checkpoint for each count that changed."""
        firsts: dict[Partition, int] = {}
        lasts: dict[Partition, int] = {}
        for part in parts:
            if part.counted:
                firsts.setdefault(part.partition, part.offset)
                lasts[part.partition] = part.offset + part.messages - 1
        checkpoints = []
        for partition, count in check.counted().items():
            if partition not in firsts:
                continue
            tracked = self._counts[partition]
            if check.rejections(partition) or count.run != tracked.count.run or firsts[partition] <= tracked.newest:
                checkpoints.append(DeadLetterCheckpoint(*partition, lasts[partition], count.run, count.window.groups))
            tracked.count = count
        if checkpoints:
            self._retrying(lambda: self._store.insert_checkpoints(checkpoints))

    def _state(self, partition: Partition, *, before: int) -> DeadLetterLimitState:
        topic, number = partition
        return self._retrying(lambda: self._store.limit_state(topic, number, before=before))

    def _load(self, part: AssignedPart) -> _TrackedCount:
        state = self._state(part.partition, before=part.offset)
        checkpoint, accepted = state.checkpoint, state.accepted_until
        if accepted > part.offset:
            topic, number = part.partition
            log.warning("dead_letters_accepted", topic=topic, partition=number, until=accepted)
        count = PartitionCount(accepted_until=accepted)
        if checkpoint is not None and checkpoint.offset >= accepted:
            # A batch without a rejection writes no checkpoint: the messages since then were good.
            good = part.offset - checkpoint.offset - 1
            window = Window(checkpoint.groups).extended(good, 0, size=self._limit.window)
            count = PartitionCount(checkpoint.run, window, accepted)
        # Messages that left the log are not redelivered. Those of the newest run that are before this message count all the same.
        gone = min(state.newest_run - (state.newest - part.offset + 1), part.offset - accepted)
        if gone > count.run and state.newest >= part.offset:
            count = replace(count, run=gone)
        return _TrackedCount(part.assignment, count, state.newest)


class BatchGuard:
    """Enforces the limit on one batch: call ``check`` and ``reject`` while the batch is being stored, ``finish`` afterwards."""

    def __init__(
        self,
        guard: DeadLetterGuard,
        number: int,
        parts: Sequence[AssignedPart],
        rejected: Sequence[int],
        dead_letters: Sequence[DeadLetter],
    ) -> None:
        self._guard, self._number, self._assigned, self._rejected = guard, number, parts, rejected
        self._dead_letters = list(dead_letters)
        self._messages = sum(part.messages for part in parts)
        self._refused_by_storage: list[int] = []
        self._parts: list[Part] = []
        self._check: BatchLimitCheck | None = None

    def begin(self) -> None:
        """Wait for the turn of this batch and load the counts of its partitions. A second call does nothing.

        Raises:
            StoppedError: the worker stops first.
        """
        if self._check is None:
            self._guard.await_turn(self._number)
            self._parts = self._guard.parts_of(self._assigned)
            self._check = self._guard.limit_check(self._parts, self._rejected)

    def check(self) -> None:
        """Check, before anything of the batch is stored, whether its messages that are not events exceed a limit.

        Raises:
            DeadLetterLimitError: a limit is exceeded.
        """
        self.begin()
        self._decide(self._messages)
        self._check = self._guard.limit_check(self._parts, self._rejected)

    def reject(self, position: int, dead_letter: DeadLetter) -> None:
        """Note that the storage refused the message at ``position``, and that all messages before it are decided.

        Raises:
            DeadLetterLimitError: a limit is exceeded whatever happens to the rest of the batch.
        """
        self.begin()
        self._refused_by_storage.append(position)
        self._dead_letters.append(dead_letter)
        self._decide(position + 1, [position])

    def finish(self) -> None:
        """Count the batch, whose messages are all stored as events or dead letters, and let the next batch begin.

        Raises:
            DeadLetterLimitError: a limit is exceeded.
        """
        self.decide_all()
        assert self._check is not None
        self._guard.finish(self._parts, self._check)
        self._guard.pass_turn()

    def decide_all(self) -> None:
        """Check the limits after all events of the batch were stored or refused.

        Raises:
            DeadLetterLimitError: a limit is exceeded.
        """
        self.begin()
        self._decide(self._messages)

    def _decide(self, until: int, refused_by_storage: Sequence[int] = ()) -> None:
        assert self._check is not None
        excess = self._check.decide(until, refused_by_storage)
        while excess is not None:
            if not self._guard.accepted_meanwhile(self._assigned, excess.partition):
                raise self._error(excess)
            self._check = self._guard.limit_check(self._parts, self._rejected)
            excess = self._check.decide(until, self._refused_by_storage)

    def _error(self, excess: Excess) -> DeadLetterLimitError:
        topic, number = excess.partition
        last = max(
            (letter for letter in self._dead_letters if (letter.topic, letter.partition) == excess.partition),
            key=lambda letter: letter.offset,
            default=None,
        )
        example = f" (the last at offset {last.offset}: {last.reason}, {last.error})" if last is not None else ""
        return DeadLetterLimitError(
            f"Dead-letter limit exceeded in partition {number} of {topic!r}: {excess.problem}{example}.",
            remedy="The messages stay in Kafka. Fix their sender or this worker, and restart the worker. To store them as dead"
            f" letters, run `portalpulse dead-letters accept --partition {number}` and restart the worker. To change the limit,"
            f" set {PREFIX}DEAD_LETTERS__{excess.setting.upper()}.",
        )
