"""What the pipeline asks of a destination: a store for events and tallies, and a reader for figures.

Every method blocks until the destination has answered and raises only errors of ``sinks.errors``. All writes may be repeated:
the same rows again change nothing. An implementation is held to ``tests/contract/store_suite.py``.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa


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


@dataclass(frozen=True, slots=True)
class Span:
    """Minutes from ``start`` up to, not including, ``end`` (aware, whole minutes); ``agencies`` None means all."""

    start: dt.datetime
    end: dt.datetime
    agencies: tuple[str, ...] | None = None

    @property
    def minutes(self) -> int:
        """Number of minutes covered."""
        return int((self.end - self.start).total_seconds()) // 60


@dataclass(frozen=True, slots=True)
class Days:
    """Civil days to roll up, ascending; ``agencies`` None means all."""

    days: tuple[dt.date, ...]
    agencies: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Counts:
    """The counts of one agency over some span; see ``sinks.tables.COUNTS``."""

    events: int = 0
    submitted: int = 0
    submitted_online: int = 0
    settled: int = 0
    settled_full: int = 0
    refused: int = 0
    withdrawn: int = 0
    stopped: int = 0


@dataclass(frozen=True, slots=True)
class Standing:
    """How far the tallies are: distinct events stored, and events counted in the minute and in the day tallies."""

    stored: int
    tallied: int


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Distinct messages received within a span of arrival time."""

    events: int
    dead_letters: int


#: What names a dead letter: topic, partition, offset.
Position = tuple[str, int, int]


@dataclass(frozen=True, slots=True)
class LetterFilter:
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
class LetterEntry:
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

    def counts(self, wanted: LetterFilter) -> Mapping[str, int]:
        """Letters by reason."""
        ...

    def entries(self, wanted: LetterFilter, *, limit: int, after: Position | None = None) -> Sequence[LetterEntry]:
        """A page of letters without their bytes."""
        ...

    def letters(self, wanted: LetterFilter, *, limit: int, after: Position | None = None) -> Sequence[DeadLetter]:
        """A page of letters, whole. A message without a key comes back with an empty one as None."""
        ...

    def find(self, position: Position) -> tuple[DeadLetter, LetterEntry] | None:
        """One letter, replayed or not; None when there is none or it was dropped."""
        ...

    def mark_replayed(self, letters: Sequence[DeadLetter]) -> None:
        """Remember that these were sent again; dropped ones stay dropped."""
        ...

    def drop(self, wanted: LetterFilter) -> int:
        """Remove letters for good, also when their message is delivered again; returns how many."""
        ...


class EventStore(Protocol):
    """Where a worker writes. Order of use: events, then the minutes they touch, then days and procedures."""

    def insert_events(self, rows: pa.Table) -> None:
        """Store events (``pipeline.rows.ROW_SCHEMA``). Durable when it returns."""
        ...

    def insert_dead_letters(self, letters: Sequence[DeadLetter]) -> None:
        """Store messages set aside. Durable when it returns."""
        ...

    def recount_minutes(self, span: Span) -> None:
        """Count the distinct events of every (agency, minute) of the span anew."""
        ...

    def roll_up_days(self, days: Days) -> None:
        """Sum the minute tallies of every (agency, civil day) anew."""
        ...

    def recount_procedures(self, days: Days) -> None:
        """Count the distinct events of every (agency, civil day, procedure) anew."""
        ...


class TallyReader(Protocol):
    """Where figures are read. Everything is counted from the tallies, never from increments."""

    def counts_between(self, start: dt.datetime, end: dt.datetime) -> Mapping[str, Counts]:
        """Counts by agency from the minute tallies, ``start`` included, ``end`` not (whole minutes)."""
        ...

    def counts_of_days(self, first: dt.date, last: dt.date) -> Mapping[str, Counts]:
        """Counts by agency from the day tallies, both days included."""
        ...

    def last_events(self, until: dt.datetime) -> Mapping[str, dt.datetime]:
        """Time of each agency's newest event that is not later than ``until``."""
        ...

    def standing(self) -> Standing:
        """Distinct events stored and events tallied. May be as old as a few times the cost of counting them."""
        ...

    def dead_letters_by_reason(self) -> Mapping[str, int]:
        """Messages set aside so far, replayed and dropped ones included: it never falls."""
        ...

    def arrivals(self, within: dt.timedelta) -> Arrivals:
        """Messages that arrived within the last ``within``, by the storage's own clock; the events are an estimate (1 %)."""
        ...

    def events(self, first: dt.date, last: dt.date, agencies: Sequence[str] | None) -> Iterator[bytes]:
        """Distinct events of whole civil days in the form of the contract: pieces of NDJSON, in the order of time."""
        ...

    def ping(self) -> None:
        """Return when the storage answers a query."""
        ...
