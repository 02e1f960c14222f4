"""A stream of messages as a task: each message leaves when it is due, at a rate that may change, until a duration is over.

Messages that are due within 10 ms leave together; a single message leaves at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

from producers.messages import Kind, Message
from producers.sending.pacing import Pacer
from producers.sending.record_batches import Batch, Packer
from producers.sending.send_loop import TICK, Run

#: Messages that are made at once.
_CHUNK: Final = 1_024
#: Messages that count as distinct events.
_DISTINCT: Final = frozenset({Kind.EVENT, Kind.RAW})


@dataclass(frozen=True, slots=True)
class MessageStream:
    """Messages to be sent once, by one process.

    Args:
        label: the name of the stream in the report.
        messages: the messages, which are made when they are due.
        total: how many messages there are; None: no end is known.
        rate: the target rate in messages a second; None: as fast as possible.
        duration: seconds until the stream ends; None: it ends with its messages.
    """

    label: str
    messages: Iterable[Message]
    total: int | None = None
    rate: Callable[[], float] | None = None
    duration: float | None = None

    @property
    def target_rate(self) -> float | None:
        """The target rate now."""
        return None if self.rate is None else self.rate()

    def target_rate_at(self, _elapsed: float) -> float | None:
        """The target rate now."""
        return self.target_rate

    def describe(self, index: int) -> str:
        """Names a message by its index in a sentence."""
        return f"{self.label}, message {index + 1:,}"

    def chunks(self, run: Run) -> Iterator[list[Message]]:
        """The messages in chunks, each chunk when it is due."""
        messages = iter(self.messages)
        pacer = None if self.rate is None else Pacer(self.rate)
        while self.duration is None or run.elapsed < self.duration:
            due = _CHUNK if pacer is None else pacer.take(run.elapsed, limit=_CHUNK)
            chunk = list(islice(messages, due))
            if chunk:
                yield chunk
            if len(chunk) < due:
                return
            if pacer is not None and due < _CHUNK:
                seconds = max(pacer.next_due - run.elapsed, TICK if chunk else 0.0)
                if self.duration is not None:
                    seconds = min(seconds, self.duration - run.elapsed)
                if seconds > 0 and run.pause(seconds):
                    return

    def batches(self, run: Run) -> Iterator[Batch]:
        """The messages as record batches; without a rate, only full batches leave before the end."""
        packer = Packer(run.partitions, batch_bytes=run.batch_bytes, fast=True)
        others: dict[int, Kind] = {}  # index -> kind of the packed messages that are repeats or malformed
        for chunk in self.chunks(run):
            first = run.next_index
            others |= {index: message.kind for index, message in enumerate(chunk, first) if message.kind not in _DISTINCT}
            full = packer.add(
                chunk,
                indexes=range(first, first + len(chunk)),
                distinct=[message.kind in _DISTINCT and message.key is not None for message in chunk],
                partitions=run.places_of(chunk, start=first),
            )
            yield from (_counted(batch, others) for batch in full)
            if self.rate is not None:
                yield from (_counted(batch, others) for batch in packer.flush())
            run.next_index = first + len(chunk)
            run.oldest_packed = packer.oldest
        yield from (_counted(batch, others) for batch in packer.flush())
        run.oldest_packed = None


def _counted(batch: Batch, others: dict[int, Kind]) -> Batch:
    """The batch with the numbers of its repeats and malformed messages, whose indexes are removed from ``others``."""
    kinds = Counter(others.pop(index) for index in batch.indexes if index in others) if others else {}
    return batch._replace(repeated=kinds.get(Kind.REPEAT, 0), malformed=kinds.get(Kind.MALFORMED, 0))
