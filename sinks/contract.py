"""What the pipeline asks of a destination: a store for events and tallies, and a reader for figures.

Every method blocks until the destination has answered and raises only errors of ``sinks.errors``. All writes may be repeated:
the same rows again change nothing. An implementation is held to ``tests/contract/store_suite.py``.
"""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

from sinks.tables import AGENCY_DAY, AGENCY_DAY_PROCEDURE, AGENCY_MINUTE


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


class UnreadCause(enum.StrEnum):
    """How offsets left the log before they were read."""

    DELETED = "deleted"  # retention or DeleteRecords
    TRUNCATED = "truncated"  # a leader that did not have them was elected
    RECREATED = "recreated"  # the topic was deleted, and perhaps created again


@dataclass(frozen=True, slots=True)
class UnreadRange:
    """Offsets ``first`` up to, not including, ``end`` of one partition, which left the log before ``group`` read them.

    How many messages they held nobody can tell: ends of transactions and aborted messages have offsets, too.
    """

    topic: str
    partition: int
    first: int
    end: int
    group: str
    cause: UnreadCause


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
    """How far the tallies are: distinct events stored, and events counted in the tier that is farthest from that number.

    Of the minute and the day tallies the farther one is told, so that a tier that counts too much is not hidden by one
    that is late. Both are totals: only the audit sees differences that make up for each other.
    """

    stored: int
    tallied: int


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Distinct messages received within a span of arrival time."""

    events: int
    dead_letters: int


class Tier(enum.StrEnum):
    """The three kinds of tallies, by the name of their table."""

    MINUTE = AGENCY_MINUTE
    DAY = AGENCY_DAY
    PROCEDURE = AGENCY_DAY_PROCEDURE


@dataclass(frozen=True, slots=True)
class Difference:
    """A tally that the stored events do not explain.

    A right tally lies between ``due`` (events stored so long ago that they must be counted) and ``stored`` (all of them), count
    by count; so does its time of the newest event. ``drift`` is the number of events by which it lies outside: the most that
    any count does, and 1 when only the time is wrong.

    ``bucket``: the minute (aware) or the civil day; ``procedure`` is empty save in the procedure tier; a time is None where
    there is no event or no tally.
    """

    tier: Tier
    agency: str
    bucket: dt.datetime | dt.date
    procedure: str
    due: Counts
    stored: Counts
    tallied: Counts
    stored_last: dt.datetime | None
    tallied_last: dt.datetime | None
    drift: int


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """How far the workers' consumer group had acknowledged a topic, so that counted events can be told from those in hand.

    A worker acknowledges a message after its event is counted in every tier. So an event below the committed offset of its
    partition must be tallied, and one from there to the end of the log is in a worker's hands.

    ``as_of``: the storage's clock, read before the group was asked; events stored later are in hand, too.
    ``partitions``: partition -> (committed offset, end of the log).
    """

    topic: str
    as_of: dt.datetime
    partitions: Mapping[int, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Comparison:
    """One tier of one civil day compared: how many buckets, how many differ, by how many events, and some of them.

    ``stuck``: how many of these a recount would not replace, because their version is higher than the one it would write.
    ``late``: events by which tallies are behind the stored events without being wrong. ``in_hand``: stored events that are
    not due yet.
    """

    buckets: int
    differing: int
    drift: int
    stuck: int
    differences: tuple[Difference, ...]
    late: int = 0
    in_hand: int = 0


@dataclass(frozen=True, slots=True)
class EventSight:
    """An event as an example of a finding."""

    agency: str
    occurred_at: dt.datetime
    event_id: str


@dataclass(frozen=True, slots=True)
class Repeats:
    """Repeats of something that should be there once: how many names are concerned, and some of them with their events."""

    count: int
    examples: Mapping[str, tuple[EventSight, ...]]


@dataclass(frozen=True, slots=True)
class Share:
    """One of ``of`` equal shares of all names, by their hash: what is searched at once, so that memory stays bounded."""

    number: int
    of: int


class TallyAudit(Protocol):
    """Where the tallies are compared with the distinct events they were counted from. Reads only."""

    def civil_days(self, first: dt.date | None = None, last: dt.date | None = None) -> Mapping[dt.date, int]:
        """Every civil day with events or tallies of any tier, ascending: rows of events, repeats included; a cost."""
        ...

    def touched(self, within: dt.timedelta) -> Sequence[dt.date]:
        """Civil days of the events that were stored within the last ``within``, by the storage's own clock; ascending."""
        ...

    def now(self) -> dt.datetime:
        """The storage's own clock, which dates the events as they are stored; aware, to the millisecond."""
        ...

    def compare(
        self, tier: Tier, day: dt.date, *, settle: dt.timedelta, limit: int, acknowledged: Acknowledged | None = None
    ) -> Comparison:
        """Compare every (agency, bucket) of a day.

        Events that need not be tallied yet: with ``settle`` 0 none. With ``acknowledged`` those that the group has not
        acknowledged. Of events that it says nothing about, and of all events without it: those stored within the last
        ``settle``. It says nothing about other topics and partitions, and about offsets beyond the end of the log, which
        belong to an earlier topic of the same name.

        Totals are exact; at most ``limit`` differences are listed.
        """
        ...

    def contradictions(self, day: dt.date, *, limit: int) -> Repeats:
        """Events of a day that are stored more than once with different contents; seen only until the storage merges them."""
        ...

    def scattered(self, days: tuple[dt.date, dt.date] | None, share: Share, *, limit: int) -> Repeats:
        """Event ids that stand for several events: another agency or another time. ``days`` None: all; both ends included."""
        ...

    def settled_twice(self, days: tuple[dt.date, dt.date] | None, share: Share, *, limit: int) -> Repeats:
        """Dossiers that more than one event says are settled. ``days`` None: all; both ends included."""
        ...

    def newest_positions(self, topic: str) -> Mapping[int, int]:
        """The highest offset of each partition that is kept, as an event or as a dead letter."""
        ...

    def unread(self, topic: str) -> Sequence[UnreadRange]:
        """Every recorded range of offsets that left the log before it was read, by partition and offset, as recorded."""
        ...

    def kept_within(self, topic: str, ranges: Sequence[tuple[int, int, int]]) -> Sequence[int]:
        """For each (partition, first, end): how many of its offsets are those of an event or a dead letter.

        Of an event that was sent twice only one offset is known.
        """
        ...

    def missing(self, messages: pa.Table) -> Sequence[tuple[int, int]]:
        """Which messages are kept in no form, as (partition, offset).

        ``messages``: topic, partition, offset, and agency, occurred_at, event_id of the event they hold (null when they hold
        none). A message is kept when its event is stored, or when its position is that of an event or of a dead letter.
        """
        ...


class TallyRepair(Protocol):
    """What a recount alone cannot put right; used beside it, also while workers are at work."""

    def raise_epoch(self, reason: str) -> int:
        """Make every later recount win over every tally there is now; returns the new epoch.

        A recount that began before may still be under way; whatever it saw was stored before.
        """
        ...

    def clear_orphans(self, tier: Tier, day: dt.date) -> None:
        """Write zeros over the tallies of a day that no event explains. Needs a raised epoch to win."""
        ...

    def forget_replaced(self, tier: Tier, days: Sequence[dt.date]) -> None:
        """Remove rows of these days that newer versions replaced, so that no reader can meet them. Rewrites their months."""
        ...


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


class EventStore(Protocol):
    """Where a worker writes. Order of use: events, then the minutes they touch, then days and procedures."""

    def insert_events(self, rows: pa.Table) -> None:
        """Store events (``pipeline.ingest.event_rows.ROW_SCHEMA``). Durable when it returns."""
        ...

    def insert_dead_letters(self, letters: Sequence[DeadLetter]) -> None:
        """Store messages set aside. Durable when it returns."""
        ...

    def insert_unread(self, ranges: Sequence[UnreadRange]) -> None:
        """Record offsets that left the log before they were read. Durable when it returns."""
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
