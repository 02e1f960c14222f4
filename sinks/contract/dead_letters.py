"""Dead letters as the pipeline asks for them: the messages, the ways to look at them, and the limit's memory."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that is no event, whole: raw bytes, position and reason. (topic, partition, offset) identifies it."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    reason: str
    error: str


#: What names a dead letter: topic, partition, offset.
Position = tuple[str, int, int]


@dataclass(frozen=True, slots=True)
class DeadLetterFilter:
    """Which dead letters are meant; nothing set means all that wait. Dropped letters never are.

    ``since`` (included) and ``until`` (not) bound the time of the first sighting.
    """

    reasons: tuple[str, ...] = ()
    topics: tuple[str, ...] = ()
    since: dt.datetime | None = None
    until: dt.datetime | None = None
    replayed: bool = False  # also those that were replayed already

    @property
    def chooses(self) -> bool:
        """Whether anything narrows it down."""
        return bool(self.reasons or self.topics or self.since or self.until)


@dataclass(frozen=True, slots=True)
class DeadLetterEntry:
    """A dead letter without its bytes; ``size`` is that of its value, None for a message without one."""

    topic: str
    partition: int
    offset: int
    reason: str
    error: str
    first_seen: dt.datetime
    size: int | None
    replayed_at: dt.datetime | None

    @property
    def position(self) -> Position:
        """What names it."""
        return self.topic, self.partition, self.offset


class DeadLetterStore(Protocol):
    """Where messages set aside are looked at, marked and dropped. Pages ascend by position and go on behind ``after``."""

    def counts(self, wanted: DeadLetterFilter) -> Mapping[str, int]:
        """Letters by reason."""
        ...

    def entries(self, wanted: DeadLetterFilter, *, limit: int, after: Position | None = None) -> Sequence[DeadLetterEntry]:
        """A page of letters without their bytes."""
        ...

    def letters(self, wanted: DeadLetterFilter, *, limit: int, after: Position | None = None) -> Sequence[DeadLetter]:
        """A page of letters, whole. A message without a key comes back with an empty one as None."""
        ...

    def find(self, position: Position) -> tuple[DeadLetter, DeadLetterEntry] | None:
        """One letter, replayed or not; None when there is none or it was dropped."""
        ...

    def mark_replayed(self, letters: Sequence[DeadLetter]) -> None:
        """Remember that these were sent again; dropped ones stay dropped."""
        ...

    def drop(self, wanted: DeadLetterFilter) -> int:
        """Remove letters for good, also when their message is delivered again; returns how many."""
        ...


@dataclass(frozen=True, slots=True)
class DeadLetterCheckpoint:
    """What the dead-letter limit had counted of a partition when all messages up to ``offset`` (included) were judged.

    ``run``: refusals in a row at the end. ``groups``: the latest messages, oldest first, as (messages, refusals among them).
    """

    topic: str
    partition: int
    offset: int
    run: int
    groups: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class DeadLetterLimitState:
    """What is known of a partition below some offset.

    ``checkpoint``: the latest below it. ``newest``: offset of the latest one of all, -1 when there is none.
    ``accepted_until``: messages below this offset may be set aside whatever they are.
    """

    checkpoint: DeadLetterCheckpoint | None = None
    newest: int = -1
    accepted_until: int = 0


class DeadLetterLimitStore(Protocol):
    """Where the counts of the dead-letter limit outlive the worker that made them."""

    def limit_state(self, topic: str, partition: int, *, before: int) -> DeadLetterLimitState:
        """What is known of a partition below the offset ``before``."""
        ...

    def insert_checkpoints(self, checkpoints: Sequence[DeadLetterCheckpoint]) -> None:
        """Keep them; one at an offset that has one already replaces it. Durable when it returns."""
        ...

    def accept(self, topic: str, partition: int, until: int) -> None:
        """Messages below the offset ``until`` may be set aside whatever they are. Once accepted, always accepted."""
        ...
