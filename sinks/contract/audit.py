"""The audit as the pipeline asks for it: comparisons of tallies with events, repeats, and repair."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

from domain.tiers import Tier
from sinks.contract.events import UnreadRange
from sinks.contract.tallies import Counts


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
class EventRef:
    """An event as an example of a finding."""

    agency: str
    occurred_at: dt.datetime
    event_id: str


@dataclass(frozen=True, slots=True)
class Repeats:
    """Repeats of something that should be there once: how many names are concerned, and some of them with their events."""

    count: int
    examples: Mapping[str, tuple[EventRef, ...]]


@dataclass(frozen=True, slots=True)
class HashShard:
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

    def reused_event_ids(self, days: tuple[dt.date, dt.date] | None, share: HashShard, *, limit: int) -> Repeats:
        """Event ids that stand for several events: another agency or another time. ``days`` None: all; both ends included."""
        ...

    def settled_twice(self, days: tuple[dt.date, dt.date] | None, share: HashShard, *, limit: int) -> Repeats:
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

    def purge_superseded(self, tier: Tier, days: Sequence[dt.date]) -> None:
        """Remove rows of these days that newer versions replaced, so that no reader can meet them. Rewrites their months."""
        ...
