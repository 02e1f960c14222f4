"""A fetch, what the consumer fetched from Kafka with one request: the input of the ingest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


class MessagePiece(Protocol):
    """Consecutive messages of one partition, unpacked: a part of a batch that is small enough to be held in memory."""

    @property
    def first_offset(self) -> int:
        """Offset of the first message."""
        ...

    @property
    def size(self) -> int:
        """Bytes of the unpacked messages in memory."""
        ...

    @property
    def whole_sizes(self) -> Mapping[int, int]:
        """Offset -> whole size (bytes) of each value that was too large to be held: ``values`` has only its beginning."""
        ...

    def values(self) -> list[bytes | None]:
        """The message values."""
        ...

    def keys_and_offsets(self) -> list[tuple[bytes | None, int]]:
        """Key and offset of every message, in the order of ``values``. Slow: for dead letters only."""
        ...


class MessageBatch(Protocol):
    """Consecutive messages of one partition, unpacked on request."""

    def pieces(self) -> Iterator[MessagePiece]:
        """The messages in order, unpacked in pieces of bounded size. A piece may be without messages."""
        ...


@dataclass(slots=True)
class Fetch:
    """The answer to one fetch request for one partition. It is acknowledged as a whole, with its ``receipt``.

    A fetch that is large when it is unpacked is decoded into several batches of rows, which may be stored in any order.
    """

    topic: str
    partition: int
    batches: Sequence[MessageBatch]
    messages: int  # upper bound: offsets may have gaps
    size: int  # bytes, as fetched
    receipt: Any
    assignment: int = 0  # increases with every change of the assigned partitions
    #: Batches of rows that hold messages of it: counted by the decode step, and those stored by the acknowledger.
    row_batches: int = 0
    stored_batches: int = 0
    decoded: bool = False  # all of its messages; ``row_batches`` is then final

    @property
    def stored(self) -> bool:
        """Whether all messages of the fetch are stored."""
        return self.decoded and self.stored_batches == self.row_batches
