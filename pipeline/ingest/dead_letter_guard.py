"""Holds a worker to the dead-letter limit: every batch in the order of its messages, before anything of it is acknowledged.

The count of a partition begins at the checkpoint below the first message that this worker got of it. A batch that changes the
count leaves a checkpoint once its dead letters are kept. So a batch that is lost with its worker was not counted, and one that
comes again is counted from where it begins: nothing is counted twice, and a restart forgets nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

from domain.errors import DeadLetterLimitError
from pipeline.ingest.dead_letter_limit import BatchJudgement, DeadLetterLimit, Excess, Part, Partition, PartitionCount, Window
from pipeline.ingest.storage_retry import StorageRetry
from pipeline.logs import get_logger
from pipeline.settings import PREFIX
from sinks.contract.dead_letters import DeadLetter, DeadLetterCheckpoint, DeadLetterLimitState, DeadLetterLimitStore

#: How often a thread that waits for its turn looks whether the worker stops (seconds).
_LOOK_SECONDS = 0.2

log = get_logger("dead_letters")


class StoppedError(Exception):
    """The worker stops before the batch is judged; the batch stays unacknowledged."""


class NoCheckpoints:
    """A ``DeadLetterLimitStore`` that keeps nothing: every count begins with the worker."""

    def limit_state(self, topic: str, partition: int, *, before: int) -> DeadLetterLimitState:  # noqa: ARG002
        """Nothing is known."""
        return DeadLetterLimitState()

    def insert_checkpoints(self, checkpoints: Sequence[DeadLetterCheckpoint]) -> None:
        """Keep nothing."""

    def accept(self, topic: str, partition: int, until: int) -> None:
        """Accept nothing."""


@dataclass(frozen=True, slots=True)
class AssignedPart:
    """Consecutive messages of one partition, and the assignment in which they were fetched (a number that rises)."""

    partition: Partition
    offset: int  # of the first
    messages: int
    assignment: int


@dataclass(slots=True)
class _Known:
    """The count of a partition in the memory of this worker."""

    assignment: int
    count: PartitionCount
    #: Offset of the newest checkpoint when this count began. Checkpoints up to it may be those of another life, which judged
    #: otherwise: each batch below it leaves its own.
    newest: int


class DeadLetterGuard:
    """One for a worker. Batches are judged in the order of their numbers, from 0, whichever thread stores them.

    Args:
        retrying: repeats a call to the storage while it is away.
        stopping: set when the worker stops; then no batch waits for its turn.
    """

    def __init__(
        self, limit: DeadLetterLimit, store: DeadLetterLimitStore, *, retrying: StorageRetry, stopping: threading.Event
    ) -> None:
        self._limit, self._store, self._retrying, self._stopping = limit, store, retrying, stopping
        self._known: dict[Partition, _Known] = {}
        self._next = 0
        self._changed = threading.Condition()

    def batch(
        self, number: int, parts: Sequence[AssignedPart], refused: Sequence[int], letters: Sequence[DeadLetter]
    ) -> BatchGuard:
        """The guard of one batch.

        Args:
            number: its place in the order of all batches.
            parts: its messages in order.
            refused: positions of the messages that are no events, ascending.
            letters: the dead letters made from them.
        """
        return BatchGuard(self, number, parts, refused, letters)

    def await_turn(self, number: int) -> None:
        """Return when all batches before this one are judged.

        Raises:
            StoppedError: the worker stops before that.
        """
        with self._changed:
            while self._next != number:
                if self._stopping.is_set():
                    raise StoppedError
                self._changed.wait(_LOOK_SECONDS)

    def pass_turn(self) -> None:
        """The batch whose turn it is has been judged."""
        with self._changed:
            self._next += 1
            self._changed.notify_all()

    def parts_of(self, parts: Sequence[AssignedPart]) -> list[Part]:
        """The parts as they are counted, with the counts of their partitions in memory from here on.

        Messages of an older assignment are not acknowledged by this worker. They come again and are counted then.
        """
        newest: dict[Partition, int] = {}
        for part in parts:
            newest[part.partition] = max(part.assignment, newest.get(part.partition, part.assignment))
        counted = []
        for part in parts:
            known = self._known.get(part.partition)
            current = part.assignment == newest[part.partition] and (known is None or known.assignment <= part.assignment)
            if known is None or (current and known.assignment < part.assignment):
                self._known[part.partition] = self._load(part)
            counted.append(Part(part.partition, part.offset, part.messages, counted=current))
        return counted

    def judgement(self, parts: Sequence[Part], refused: Sequence[int]) -> BatchJudgement:
        """A new judgement of a batch whose partitions are in memory."""
        counts = {part.partition: self._known[part.partition].count for part in parts}
        return BatchJudgement(self._limit, parts, refused, counts)

    def accepted_meanwhile(self, parts: Sequence[AssignedPart], partition: Partition) -> bool:
        """Whether somebody accepted further messages of the partition since its count began; if so it begins again."""
        known = self._known[partition]
        first = next(part for part in parts if part.partition == partition and part.assignment == known.assignment)
        found = self._load(first)
        if found.count.accepted_until <= known.count.accepted_until:
            return False
        self._known[partition] = found
        return True

    def keep(self, parts: Sequence[Part], judgement: BatchJudgement) -> None:
        """Remember the counts after a batch, and leave a checkpoint where they changed."""
        firsts: dict[Partition, int] = {}
        lasts: dict[Partition, int] = {}
        for part in parts:
            if part.counted:
                firsts.setdefault(part.partition, part.offset)
                lasts[part.partition] = part.offset + part.messages - 1
        checkpoints = []
        for partition, count in judgement.counted().items():
            if partition not in firsts:
                continue
            known = self._known[partition]
            if judgement.refusals(partition) or count.run != known.count.run or firsts[partition] <= known.newest:
                checkpoints.append(DeadLetterCheckpoint(*partition, lasts[partition], count.run, count.window.groups))
            known.count = count
        if checkpoints:
            self._retrying(lambda: self._store.insert_checkpoints(checkpoints))

    def _state(self, partition: Partition, *, before: int) -> DeadLetterLimitState:
        topic, number = partition
        return self._retrying(lambda: self._store.limit_state(topic, number, before=before))

    def _load(self, part: AssignedPart) -> _Known:
        state = self._state(part.partition, before=part.offset)
        checkpoint, accepted = state.checkpoint, state.accepted_until
        if accepted > part.offset:
            topic, number = part.partition
            log.warning("dead_letters_accepted", topic=topic, partition=number, until=accepted)
        count = PartitionCount(accepted_until=accepted)
        if checkpoint is not None and checkpoint.offset >= accepted:
            # A batch without a refusal leaves no checkpoint: what was judged since was good.
            good = part.offset - checkpoint.offset - 1
            window = Window(checkpoint.groups).and_then(good, 0, size=self._limit.window)
            count = PartitionCount(checkpoint.run, window, accepted)
        return _Known(part.assignment, count, state.newest)


class BatchGuard:
    """One batch: ``enter`` when its turn has come, ``check`` and ``refuse`` while it is stored, ``leave`` before it is booked."""

    def __init__(
        self,
        guard: DeadLetterGuard,
        number: int,
        parts: Sequence[AssignedPart],
        refused: Sequence[int],
        letters: Sequence[DeadLetter],
    ) -> None:
        self._guard, self._number, self._assigned, self._refused = guard, number, parts, refused
        self._letters = list(letters)
        self._messages = sum(part.messages for part in parts)
        self._refused_by_storage: list[int] = []
        self._parts: list[Part] = []
        self._judgement: BatchJudgement | None = None

    def enter(self) -> None:
        """Wait for the turn of this batch and find what was counted before it. A second call does nothing.

        Raises:
            StoppedError: the worker stops before that.
        """
        if self._judgement is None:
            self._guard.await_turn(self._number)
            self._parts = self._guard.parts_of(self._assigned)
            self._judgement = self._guard.judgement(self._parts, self._refused)

    def check(self) -> None:
        """Look, before anything is stored, whether the messages that are no events exceed a limit.

        Raises:
            DeadLetterLimitError: they do.
        """
        self.enter()
        self._decide(self._messages)
        self._judgement = self._guard.judgement(self._parts, self._refused)

    def refuse(self, position: int, letter: DeadLetter) -> None:
        """The storage refuses the message at this position and has decided all before it.

        Raises:
            DeadLetterLimitError: a limit is exceeded, whatever the rest of the batch is.
        """
        self.enter()
        self._refused_by_storage.append(position)
        self._letters.append(letter)
        self._decide(position + 1, [position])

    def leave(self) -> None:
        """Everything is decided and every dead letter is kept: count the batch and let the next one be judged.

        Raises:
            DeadLetterLimitError: a limit is exceeded.
        """
        self.decide_all()
        assert self._judgement is not None
        self._guard.keep(self._parts, self._judgement)
        self._guard.pass_turn()

    def decide_all(self) -> None:
        """Everything is decided: what was not refused is stored.

        Raises:
            DeadLetterLimitError: a limit is exceeded.
        """
        self.enter()
        self._decide(self._messages)

    def _decide(self, until: int, refused_by_storage: Sequence[int] = ()) -> None:
        assert self._judgement is not None
        excess = self._judgement.decide(until, refused_by_storage)
        while excess is not None:
            if not self._guard.accepted_meanwhile(self._assigned, excess.partition):
                raise self._error(excess)
            self._judgement = self._guard.judgement(self._parts, self._refused)
            excess = self._judgement.decide(until, self._refused_by_storage)

    def _error(self, excess: Excess) -> DeadLetterLimitError:
        topic, number = excess.partition
        last = max(
            (letter for letter in self._letters if (letter.topic, letter.partition) == excess.partition),
            key=lambda letter: letter.offset,
            default=None,
        )
        example = f" (the last at offset {last.offset}: {last.reason}, {last.error})" if last is not None else ""
        return DeadLetterLimitError(
            f"Too much of partition {number} of {topic!r} would be set aside: {excess.problem}{example}.",
            remedy="The messages stay in Kafka. Correct their sender or this worker and start it again; or let them be set aside"
            f" with `portalpulse dead-letters accept --partition {number}`; or raise"
            f" {PREFIX}DEAD_LETTERS__{excess.setting.upper()}.",
        )
