"""A replay as a task: recorded events of a source, sent in loops at a pace, in original or present time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from domain.errors import ConfigurationError, PortalPulseError
from producers.messages import Message
from producers.replay.transforms.loops import RepeatedMessage, repeated, with_new_event_id
from producers.replay.transforms.rebase import rebased
from producers.replay.transforms.spacing import Due, DueQueue, Spacing
from producers.sending.pacing import AT_ONCE
from producers.sending.record_batches import Batch, Distinct, Packer
from producers.sending.send_loop import CHUNK, TICK, Run


class Source(Protocol):
    """A source of recorded messages; calling it reads them from the start, each time in the same order."""

    @property
    def label(self) -> str:
        """The name of the source in the report."""
        ...

    def describe(self, index: int) -> str:
        """Names a message by its number (from 0) in a sentence."""
        ...

    def __call__(self) -> Iterator[Message]:
        """The messages of the source, from the start."""
        ...


@dataclass(frozen=True, slots=True)
class Replay:
    """A source that is sent from message ``skip`` on, because an earlier run got the messages before it acknowledged.

    With original spacing or a rate, messages that are due within 10 ms leave together; a run that falls behind sends as fast
    as possible, and the rate in the report shows it.
    """

    source: Source
    spacing: Spacing
    loops: int = 1
    skip: int = 0
    rebase: int | None = None  # start of the replay (epoch ms): events are dated from there on; None: as recorded

    @property
    def label(self) -> str:
        """The name of the replay in the report."""
        return self.source.label

    @property
    def total(self) -> int | None:
        """How many messages will be sent; None: the source does not know, or there is no end."""
        known: int | None = getattr(self.source, "total", None)
        return None if known is None else max(known * self.loops - self.skip, 0) or None

    @property
    def target_rate(self) -> float | None:
        """The rate that the user asked for, in messages a second; None: none."""
        return self.spacing.rate

    def target_rate_at(self, _elapsed: float) -> float | None:
        """The rate that the user asked for; it is the same at any moment."""
        return self.spacing.rate

    def describe(self, index: int) -> str:
        """Names a message by its index in a sentence; with one loop, by its position in the source."""
        return self.source.describe(index) if self.loops == 1 else f"{self.label}, message {index + 1:,} of the replay"

    def batches(self, run: Run) -> Iterator[Batch]:
        """The record batches, each when it is due; without a pace, only full batches leave before the end."""
        packer, distinct = Packer(run.partitions, batch_bytes=run.batch_bytes), Distinct()
        run.next_index = self.skip
        queue = DueQueue(self._remaining(self.spacing.due(self._repeated(run)), run))
        while (chunk := queue.take(until=run.elapsed + AT_ONCE, limit=CHUNK)) or queue.next_due is not None:
            index = run.next_index
            yield from self._packed(chunk, index, run=run, packer=packer, distinct=distinct)
            run.next_index = index + len(chunk)
            run.oldest_packed = packer.oldest
            if self.spacing.unpaced:
                continue
            yield from self._flush(packer, run)
            if self._wait_until_due(queue, run, minimum=TICK if chunk else 0.0):
                return
        yield from self._flush(packer, run)

    def _remaining(self, due: Iterator[Due], run: Run) -> Iterator[Due]:
        """The messages that an earlier run has not sent.

        A source with fewer messages than were sent has changed, which is noted.
        """
        found = sum(1 for _ in islice(due, self.skip))
        if found < self.skip and run.source_error is None:
            run.source_error = ConfigurationError(
                f"{self.label} holds {found:,} messages, and the replay that is resumed had sent {self.skip:,}: it has changed.",
                remedy="Start again without --resume; events that are in the topic already change no figure.",
            )
        yield from due

    def _repeated(self, run: Run) -> Iterator[RepeatedMessage]:
        """The loops of the source. An error of the source ends them and is noted, so that all messages before it are sent."""
        try:
            yield from repeated(self.source, loops=self.loops)
        except PortalPulseError as error:
            run.source_error = error

    @staticmethod
    def _flush(packer: Packer, run: Run) -> Iterator[Batch]:
        for batch in packer.flush():
            yield batch
            run.oldest_packed = packer.oldest

    @staticmethod
    def _wait_until_due(queue: DueQueue, run: Run, *, minimum: float) -> bool:
        """Wait until the next message is due; returns True when the run must stop instead."""
        due = queue.next_due
        if due is None:  # more is due already, or nothing is left
            return run.pause(0.0)
        stopped = run.pause(max(due - run.elapsed, minimum))
        while not stopped and due - run.elapsed > AT_ONCE:
            stopped = run.pause(due - run.elapsed)
        return stopped

    def _packed(self, chunk: list[Due], index: int, *, run: Run, packer: Packer, distinct: Distinct) -> Iterator[Batch]:
        indexes: list[int] = list(range(index, index + len(chunk)))
        if run.share[1] > 1:
            chosen = run.places_of([item.repeated.message for item in chunk], start=index)
            kept = [(item, at) for item, at, partition in zip(chunk, indexes, chosen, strict=True) if run.owns(partition)]
            chunk, indexes = [item for item, _ in kept], [at for _, at in kept]
        messages = [self._transformed(item) for item in chunk]
        places = run.places_of(messages, start=indexes[0] if indexes else index)
        # While a full batch waits in the sender, the earliest packed message is the earliest that is left in the packer.
        yield from packer.add(messages, indexes=indexes, distinct=distinct.new(messages), partitions=places)

    def _transformed(self, item: Due) -> Message:
        message, loop = item.repeated
        if self.rebase is None:
            return with_new_event_id(message, loop)
        return rebased(message, loop, start=self.rebase, after=item.after)

    def full_batches(self, partitions: int) -> Iterator[Batch]:
        """The whole replay as full batches, without waiting, for a file of batches; the indexes are kept.

        Raises:
            PortalPulseError: the source cannot be read to its end.
        """
        run = Run(partitions=partitions, share=(0, 1), pause=lambda _: False, monotonic=lambda: 0.0)
        yield from Replay(self.source, Spacing(), loops=self.loops).batches(run)
        if run.source_error is not None:
            raise run.source_error
