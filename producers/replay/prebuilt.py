"""Sends a recording from a file of record batches: it is packed once, then sent at wire speed any number of times."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from producers.replay.sources.files import FileSource
from producers.replay.task import Replay
from producers.sending import batch_file
from producers.sending.pacing import AT_ONCE
from producers.sending.record_batches import Batch
from producers.sending.send_loop import Run


@dataclass(frozen=True, slots=True)
class PackedReplay:
    """A replay of a file of record batches, unchanged: as fast as possible, or at ``rate`` messages a second, to within a batch.

    Positions and ``skip`` count batches, not messages.
    """

    path: Path
    label: str
    rate: float | None = None
    skip: int = 0

    @property
    def target_rate(self) -> float | None:
        """The rate that the user asked for, in messages a second; None: as fast as possible."""
        return self.rate

    def target_rate_at(self, _elapsed: float) -> float | None:
        """The rate that the user asked for; it is the same at any moment."""
        return self.rate

    def describe(self, index: int) -> str:
        """Names a batch by its number in a sentence."""
        return f"{self.label}, batch {index + 1:,}"

    def batches(self, run: Run) -> Iterator[Batch]:
        """The batches of the partitions that this process sends."""
        before = 0
        run.next_index = self.skip
        for index, batch in enumerate(batch_file.read(self.path)):
            if index < self.skip:
                continue
            if self.rate is not None:
                due = before / self.rate
                while due - run.elapsed > AT_ONCE:
                    if run.pause(due - run.elapsed):
                        return
            before += batch.records
            if run.owns(batch.partition):
                run.oldest_packed = index
                yield batch._replace(first_index=index)
                run.oldest_packed = None
            run.next_index = index + 1


class Prebuilt(NamedTuple):
    """A packed replay, the number of messages in its file, and whether the file was written now."""

    task: PackedReplay
    messages: int
    written: bool


def prebuilt(replay: Replay, source: FileSource, *, partitions: int) -> Prebuilt:
    """The packed form of a replay of files, for a topic with this many partitions.

    The file of batches is stored beside the first source file. It is written when it is missing, or was made from other contents.

    Raises:
        ConfigurationError: a source file cannot be read.
        UnavailableError: the file of batches cannot be written.
    """
    path = Path(source.names[0] + batch_file.ENDING)
    variant = " ".join([f"loops {replay.loops}", *(part for part in (source.format, source.delimiter) if part is not None)])
    origin = batch_file.origin_of(source.names, variant=variant)
    contents, written = packed_file(replay, path=path, origin=origin, partitions=partitions)
    task = PackedReplay(path, replay.label, rate=replay.spacing.rate, skip=replay.skip)
    return Prebuilt(task, contents.records, written)


def packed_file(replay: Replay, *, path: Path, origin: str, partitions: int) -> tuple[batch_file.Contents, bool]:
    """The contents of a replay's file of batches, and whether it was written now, which is done unless it has this origin."""
    known = batch_file.read_contents(path)
    if known is not None and (known.origin, known.partitions) == (origin, partitions):
        return known, False
    return batch_file.write(path, replay.full_batches(partitions), origin=origin, partitions=partitions), True
