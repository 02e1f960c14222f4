"""A replay: a source of recorded events, played in loops at a pace, in original or present time, as record batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol

from domain.errors import ConfigurationError, PortalPulseError
from producers.messages import Message
from producers.replay.transforms.loops import RepeatedMessage, looped, renamed
from producers.replay.transforms.rebase import rebased
from producers.replay.transforms.spacing import Due, Queue, Spacing
from producers.sending import batch_file
from producers.sending.partitions import partitions_of
from producers.sending.record_batches import Batch, Distinct, Packer
from producers.sending.send_loop import AT_ONCE, CHUNK, TICK, Run


class Source(Protocol):
    """Recorded messages; calling it reads them from the start, always in the same order."""

    @property
    def label(self) -> str:
        """What the summary calls it."""
        ...

    @property
    def repeatable(self) -> bool:
        """Whether it can be read more than once."""
        ...

    def place_of(self, index: int) -> str:
        """A message by its number (from 0), for a sentence."""
        ...

    def __call__(self) -> Iterator[Message]:
        """The messages."""
        ...


@dataclass(frozen=True, slots=True)
class Replay:
    """A source to be played. ``skip`` messages at the start were acknowledged by an earlier run.

    With original spacing or a rate, messages that are due within 10 ms leave together; a run that falls behind sends as fast
    as it can and shows it in its rate.
    """

    source: Source
    spacing: Spacing
    loops: int = 1
    skip: int = 0
    rebase: int | None = None  # start of the replay (epoch ms): events are dated from there on; None: as recorded

    @property
    def label(self) -> str:
        """What the summary calls it."""
        return self.source.label

    @property
    def asked(self) -> float | None:
        """The rate asked for."""
        return self.spacing.rate

    def target(self, _elapsed: float) -> float | None:
        """The rate asked for, at any moment."""
        return self.spacing.rate

    def place_of(self, place: int) -> str:
        """The message at a place of the replay, for a sentence: of one loop, where it stands in the source."""
        return self.source.place_of(place) if self.loops == 1 else f"{self.label}, message {place + 1:,} of the replay"

    def batches(self, run: Run) -> Iterator[Batch]:
        """Packs what is due and hands it out; flat out, only full batches leave before the end."""
        packer, distinct = Packer(run.partitions, batch_bytes=run.batch_bytes), Distinct()
        run.next_place = self.skip
        queue = Queue(self._left(self.spacing.due(self._played(run)), run))
        while (chunk := queue.take(until=run.elapsed + AT_ONCE, most=CHUNK)) or queue.next_after is not None:
            place = run.next_place
            yield from self._packed(chunk, place, run=run, packer=packer, distinct=distinct)
            run.next_place = place + len(chunk)
            run.packed = packer.oldest
            if self.spacing.flat_out:
                continue
            yield from self._rest(packer, run)
            if self._waited(queue, run, least=TICK if chunk else 0.0):
                return
        yield from self._rest(packer, run)

    def _left(self, due: Iterator[Due], run: Run) -> Iterator[Due]:
        """What an earlier run has not sent. A source that is shorter than that is another one."""
        found = sum(1 for _ in islice(due, self.skip))
        if found < self.skip and run.broken is None:
            run.broken = ConfigurationError(
                f"{self.label} holds {found:,} messages, and the replay that is resumed had sent {self.skip:,}: it has changed.",
                remedy="Start again without --resume; what is in the topic already changes no figure.",
            )
        yield from due

    def _played(self, run: Run) -> Iterator[RepeatedMessage]:
        """The loops of the source. One that breaks ends them, so that everything before it is sent."""
        try:
            yield from looped(self.source, loops=self.loops)
        except PortalPulseError as error:
            run.broken = error

    @staticmethod
    def _rest(packer: Packer, run: Run) -> Iterator[Batch]:
        for batch in packer.rest():
            yield batch
            run.packed = packer.oldest

    @staticmethod
    def _waited(queue: Queue, run: Run, *, least: float) -> bool:
        """Wait until the next message is due; returns whether the run is to stop."""
        due = queue.next_after
        if due is None:  # more is due already, or nothing is left
            return run.pause(0.0)
        stopped = run.pause(max(due - run.elapsed, least))
        while not stopped and due - run.elapsed > AT_ONCE:
            stopped = run.pause(due - run.elapsed)
        return stopped

    def _packed(self, chunk: list[Due], place: int, *, run: Run, packer: Packer, distinct: Distinct) -> Iterator[Batch]:
        places: list[int] = list(range(place, place + len(chunk)))
        if run.share[1] > 1:
            chosen = partitions_of([item.played.message.key for item in chunk], run.partitions, turn=place)
            kept = [(item, at) for item, at, partition in zip(chunk, places, chosen, strict=True) if run.mine(partition)]
            chunk, places = [item for item, _ in kept], [at for _, at in kept]
        messages = [self._moved(item) for item in chunk]
        # While a full batch waits for room, the earliest message packed is the earliest of what is left in the packer.
        yield from packer.add(messages, places=places, distinct=distinct.new(messages))

    def _moved(self, item: Due) -> Message:
        message, loop = item.played
        if self.rebase is None:
            return renamed(message, loop)
        return rebased(message, loop, start=self.rebase, after=item.after)

    def packed(self, partitions: int) -> Iterator[Batch]:
        """Everything as full batches, for a file of batches: places are kept, nobody waits.

        Raises:
            PortalPulseError: the source cannot be read to its end.
        """
        run = Run(partitions=partitions, share=(0, 1), pause=lambda _: False, monotonic=lambda: 0.0)
        yield from Replay(self.source, Spacing(), loops=self.loops).batches(run)
        if run.broken is not None:
            raise run.broken


@dataclass(frozen=True, slots=True)
class PackedReplay:
    """A file of record batches, sent as it is: flat out, or ``rate`` messages a second to within a batch.

    Places count batches here, so ``skip`` does as well.
    """

    path: Path
    label: str
    rate: float | None = None
    skip: int = 0

    @property
    def asked(self) -> float | None:
        """The rate asked for."""
        return self.rate

    def target(self, _elapsed: float) -> float | None:
        """The rate asked for, at any moment."""
        return self.rate

    def place_of(self, place: int) -> str:
        """A batch by its number, for a sentence."""
        return f"{self.label}, batch {place + 1:,}"

    def batches(self, run: Run) -> Iterator[Batch]:
        """The batches of this process's partitions."""
        before = 0
        run.next_place = self.skip
        for place, batch in enumerate(batch_file.read(self.path)):
            if place < self.skip:
                continue
            if self.rate is not None:
                due = before / self.rate
                while due - run.elapsed > AT_ONCE:
                    if run.pause(due - run.elapsed):
                        return
            before += batch.records
            if run.mine(batch.partition):
                run.packed = place
                yield batch._replace(first=place)
                run.packed = None
            run.next_place = place + 1


def prebuilt(replay: Replay, *, path: Path, origin: str, partitions: int) -> tuple[batch_file.Contents, bool]:
    """The file of batches of a replay; made when there is none, or none of this origin. Also says whether it was made now."""
    known = batch_file.read_contents(path)
    if known is not None and (known.origin, known.partitions) == (origin, partitions):
        return known, False
    return batch_file.write(path, replay.packed(partitions), origin=origin, partitions=partitions), True
