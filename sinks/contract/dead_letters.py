"""Dead letters: what is kept of the messages, the store of dead letters, and the stored state of the dead-letter limit."""

from __future__ import annotations

import datetime as dt
import enum
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

#: Where a message was: topic, partition, offset.
Position = tuple[str, int, int]


class Kept(enum.StrEnum):
    """What a dead letter holds of its message."""

    MESSAGE = "message"  # key and value as they were received
    FIELDS = "fields"  # the known fields as a message, and a key that is a code
    REMOVED = "removed"  # neither: they were removed after some days


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that is not a valid event: what is kept of it, its position in Kafka and the reason.

    Position and ``content_hash`` identify it. The position alone does not: after a topic is recreated or truncated, another
    message has the same offset.
    """

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    reason: str
    error: str
    kept: Kept = Kept.MESSAGE
    #: The hash of key and value as they were received, where less is kept; 0: they are here.
    received_hash: int = field(default=0, compare=False)

    @property
    def position(self) -> Position:
        """Where the message was in Kafka: topic, partition and offset."""
        return self.topic, self.partition, self.offset

    @property
    def content_hash(self) -> int:
        """The hash of key and value as they were received (``content_hash_of``), also when less is kept of them now."""
        return self.received_hash or content_hash_of(self.key, self.value)


def content_hash_of(key: bytes | None, value: bytes | None) -> int:
    """64 bits of the SHA-256 of key and value; never 0. The tables compute the same number (migration 0010)."""
    key_bytes, value_bytes = key or b"", value or b""
    content = f"{int(value is not None)}{len(key_bytes)}:".encode() + key_bytes + value_bytes
    return int.from_bytes(hashlib.sha256(content).digest()[:8], "little") or 1


@dataclass(frozen=True, slots=True)
class DeadLetterFilter:
    """Which dead letters to select. Without criteria: all that were not replayed. Dropped ones are never selected.

    ``since`` (included) and ``until`` (not included) bound the time at which a message was first dead-lettered.
    """

    reasons: tuple[str, ...] = ()
    topics: tuple[str, ...] = ()
    since: dt.datetime | None = None
    until: dt.datetime | None = None
    replayed: bool = False  # also select dead letters that were replayed already

    @property
    def has_criteria(self) -> bool:
        """Whether any criterion (reason, topic, since, until) narrows the selection."""
        return bool(self.reasons or self.topics or self.since or self.until)


@dataclass(frozen=True, slots=True)
class DeadLetterEntry:
    """A dead letter as it is listed, without the bytes of its key and value.

    ``size``: bytes that are kept of the value, None where there is no value. ``removed_at``: when the kept bytes were removed.
    """

    topic: str
    partition: int
    offset: int
    reason: str
    error: str
    first_seen: dt.datetime
    size: int | None
    replayed_at: dt.datetime | None
    kept: Kept = Kept.MESSAGE
    removed_at: dt.datetime | None = None

    @property
    def position(self) -> Position:
        """Where the message was in Kafka: topic, partition and offset."""
        return self.topic, self.partition, self.offset


class DeadLetterStore(Protocol):
    """Where dead letters are read, marked and dropped.

    Pages ascend by position and continue after the position ``after``. A page ends between two positions, so it can be longer
    than ``limit`` where several messages had the same offset.
    """

    def counts(self, criteria: DeadLetterFilter) -> Mapping[str, int]:
        """The number of selected dead letters by reason."""
        ...

    def entries(self, criteria: DeadLetterFilter, *, limit: int, after: Position | None = None) -> Sequence[DeadLetterEntry]:
        """A page of the selected dead letters without their bytes."""
        ...

    def dead_letters(self, criteria: DeadLetterFilter, *, limit: int, after: Position | None = None) -> Sequence[DeadLetter]:
        """A page of the selected dead letters with key and value. An empty key is returned as None, like a missing key."""
        ...

    def find(self, position: Position) -> Sequence[tuple[DeadLetter, DeadLetterEntry]]:
        """The dead letters at a position, replayed or not, the latest first. There are several after a topic was recreated."""
        ...

    def latest_offset(self, topic: str, partition: int) -> int:
        """Offset of the latest dead letter of a partition, replayed or not; -1 when there is none."""
        ...

    def now(self) -> dt.datetime:
        """The storage's clock, which dates the dead letters."""
        ...

    def mark_replayed(self, dead_letters: Sequence[DeadLetter]) -> None:
        """Record that these dead letters were sent again to Kafka; dropped ones stay dropped."""
        ...

    def drop(self, criteria: DeadLetterFilter) -> int:
        """Drop the selected dead letters for good, also when their message is delivered again; returns how many were dropped."""
        ...


class ReceivedBytes(Protocol):
    """The bytes (key and value) of dead-lettered messages as they were received, which are kept for a limited time."""

    def now(self) -> dt.datetime:
        """The storage's clock, which dates the dead letters."""
        ...

    def has_any(self, before: dt.datetime) -> bool:
        """Whether the received bytes of any message that was dead-lettered before ``before`` are still stored."""
        ...

    def page(self, before: dt.datetime, *, limit: int, after: Position | None = None) -> Sequence[DeadLetter]:
        """A page of the dead letters from before ``before`` whose received bytes are stored; paged as in ``DeadLetterStore``."""
        ...

    def keep_fields(self, dead_letters: Sequence[DeadLetter]) -> None:
        """Replace the stored dead letters with the same identity by these, which hold less.

        The old bytes stay on disk until ``remove``.
        """
        ...

    def remove(self, before: dt.datetime, *, at: dt.datetime) -> None:
        """Remove key and value of all messages that were dead-lettered before ``before`` and are kept as they were received.

        Such dead letters stay counted, listed and identified. ``at``: the time of the removal that they show.
        """
        ...


@dataclass(frozen=True, slots=True)
class DeadLetterCheckpoint:
    """The counts of the dead-letter limit for a partition when all messages up to ``offset`` (included) were validated.

    ``run``: how many of the last messages were rejected without an accepted one in between. ``groups``: the latest messages,
    oldest group first, each group as (messages, rejected messages).
    """

    topic: str
    partition: int
    offset: int
    run: int
    groups: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class DeadLetterLimitState:
    """The stored state of the dead-letter limit for a partition below some offset.

    ``checkpoint``: the latest one below that offset. ``newest``: offset of the latest checkpoint of all, -1 when there is none;
    ``newest_run``: the ``run`` of that checkpoint. ``accepted_until``: messages below this offset may be dead-lettered without a
    limit.
    """

    checkpoint: DeadLetterCheckpoint | None = None
    newest: int = -1
    accepted_until: int = 0
    newest_run: int = 0


class DeadLetterLimitStore(Protocol):
    """Stores the counts of the dead-letter limit, so that they outlive the worker that counted."""

    def limit_state(self, topic: str, partition: int, *, before: int) -> DeadLetterLimitState:
        """The stored state of the dead-letter limit for a partition below the offset ``before``."""
        ...

    def insert_checkpoints(self, checkpoints: Sequence[DeadLetterCheckpoint]) -> None:
        """Store checkpoints; a stored checkpoint at the same offset is replaced. Durable when it returns."""
        ...

    def accept(self, topic: str, partition: int, until: int) -> None:
        """Allow messages below the offset ``until`` to be dead-lettered without a limit. An acceptance is permanent."""
        ...
