"""What the consumer fetched from Kafka: the input of the ingest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol


class MessageBatch(Protocol):
    """Consecutive messages of one partition, unpacked on request."""

    @property
    def first_offset(self) -> int:
        """Offset of the first message."""
        ...

    def values(self) -> list[bytes | None]:
        """The message values. May be called once."""
        ...

    def keys_and_offsets(self) -> list[tuple[bytes | None, int]]:
        """Key and offset of every message, in the order of ``values``. Slow: for dead letters only."""
        ...


@dataclass(slots=True)
class Fetch:
    """The answer to one fetch request for one partition. It is acknowledged as a whole by its ``receipt``."""

    topic: str
    partition: int
    batches: Sequence[MessageBatch]
    messages: int  # upper bound: offsets may have gaps
    size: int  # bytes, as fetched
    receipt: Any
    assignment: int = 0  # increases with every change of the assigned partitions
