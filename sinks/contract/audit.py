"""The audit: comparisons of tallies with the stored messages, searches for contradictory repeats, and the repair of tallies."""

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
    """A tally that does not match the stored messages and corrections.

    ``stored``: the counts that all stored messages and corrections give. ``due``: the counts of those that must be tallied by
    now. ``drift``: the number of events by which the tally is outside of what the messages and corrections allow (see
    ``TallyAudit.compare``): the largest deviation of any count, and 1 when only the time of the newest event is wrong.

    ``bucket``: the minute (aware) or the civil day. ``procedure`` is empty except in the procedure tier. A time is None where
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

    @property
    def key(self) -> tuple[str, str, str, str]:
        """The tier, agency, bucket (ISO) and procedure code, which identify the tally."""
        return self.tier.value, self.agency, self.bucket.isoformat(), self.procedure

    @property
    def wrong_counts(self) -> dict[str, tuple[int, int]]:
        """The counts that differ from the stored events: name -> (stored, tallied)."""
        pairs = {name: (getattr(self.stored, name), getattr(self.tallied, name)) for name in Counts.__slots__}
        return {name: (stored, tallied) for name, (stored, tallied) in pairs.items() if stored != tallied}


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The offsets that the workers' consumer group had committed, to distinguish counted events from events in progress.

    A worker acknowledges a message after its event is counted in every tier. So an event below the committed offset of its
    partition must be tallied, and one from there to the end of the log is still being processed.

    ``as_of``: the storage's clock, read before the offsets were fetched; events stored later are in progress, too.
    ``partitions``: (topic, partition) -> (committed offset, end of the log).
    """

    as_of: dt.datetime
    partitions: Mapping[tuple[str, int], tuple[int, int]]

    @classmethod
    def of_topic(cls, topic: str, as_of: dt.datetime, partitions: Mapping[int, tuple[int, int]]) -> Acknowledged:
        """The offsets of one topic, by partition."""
        return cls(as_of, {(topic, number): offsets for number, offsets in partitions.items()})


@dataclass(frozen=True, slots=True)
class Comparison:
    """One tier of one civil day compared: number of buckets, how many differ, by how many events, and some differences.

    ``stuck``: how many of these a recount would not replace, because their version is higher than the one it would write.
    ``late``: events by which tallies are behind the stored events without being wrong. ``in_hand``: stored events that are
    not due yet.
    """

    buckets: int = 0
    differing: int = 0
    drift: int = 0
    stuck: int = 0
    differences: tuple[Difference, ...] = ()
    late: int = 0
    in_hand: int = 0

    @property
    def complete(self) -> bool:
        """Whether ``differences`` lists every difference of the tier and day, not only some."""
        return len(self.differences) == self.differing


@dataclass(frozen=True, slots=True)
class EventRef:
    """Identifies an event that a report shows as an example. ``dossier_code`` is empty when it is not known."""

    agency: str
    occurred_at: dt.datetime
    event_id: str
    dossier_code: str = ""


@dataclass(frozen=True, slots=True)
class Repeats:
    """The result of a search for events sent with different contents, or for event ids that several dossiers use.

    ``count``: how many events or ids were found; ``examples``: some of the event ids, with the places where they stand.
    """

    count: int
    examples: Mapping[str, tuple[EventRef, ...]]


@dataclass(frozen=True, slots=True)
class HashShard:
    """A share of all values, chosen by their hash: share ``index`` (from 0) of ``count``.

    One share is searched at a time to bound memory.
    """

    index: int
    count: int


class TallyAudit(Protocol):
    """Compares the tallies with the messages that they count and with the corrections of their dossiers. Never writes."""

    def civil_days(self, first: dt.date | None = None, last: dt.date | None = None) -> Mapping[dt.date, int]:
        """Every civil day with events or tallies of any tier, ascending -> its number of stored messages, repeats included."""
        ...

    def recently_stored_days(self, within: dt.timedelta) -> Sequence[dt.date]:
        """Civil days of the messages and corrections stored within the last ``within``, by the storage's clock; ascending."""
        ...

    def now(self) -> dt.datetime:
        """The storage's clock, which timestamps events when they are stored; aware, to the millisecond."""
        ...

    def compare(
        self, tier: Tier, day: dt.date, *, settle: dt.timedelta, limit: int, acknowledged: Acknowledged | None = None
    ) -> Comparison:
        """Compare every tally (agency, bucket) of a tier and day with what its messages count as alone, plus their corrections.

        Messages that need not be tallied yet: none with ``settle`` 0. With ``acknowledged``, those that the group has not
        acknowledged. Of messages that ``acknowledged`` does not cover, and of all messages without ``acknowledged``, those stored
        within the last ``settle``. ``acknowledged`` does not cover other topics and partitions, nor offsets beyond the end of the
        log, which belong to an earlier topic of the same name. Corrections that need not be tallied yet: those written within the
        last ``settle``, and with ``acknowledged`` those of a dossier with a message that need not be tallied yet.

        A message that need not be tallied yet may count as nothing, or as what it counts as alone. A message whose correction
        need not be tallied yet may count as anything that its status allows: the tally may contain an earlier correction.

        Totals are exact; at most ``limit`` differences are listed.
        """
        ...

    def contradictions(self, day: dt.date, *, limit: int) -> Repeats:
        """Events (agency, time, id, dossier, status) of a day that were sent with different contents.

        The greatest content counts.
        """
        ...

    def reused_event_ids(self, days: tuple[dt.date, dt.date] | None, shard: HashShard, *, limit: int) -> Repeats:
        """Event ids that several dossiers use.

        ``days``: the first and the last civil day to search, both included; None: all days.
        """
        ...

    def newest_positions(self, topic: str) -> Mapping[int, int]:
        """The highest offset of each partition that is stored as an event or as a dead letter."""
        ...

    def unread(self, topic: str) -> Sequence[UnreadRange]:
        """Every recorded range of unread offsets of a topic, by partition and offset.

        Ranges may overlap: they are as they were recorded.
        """
        ...

    def kept_within(self, topic: str, ranges: Sequence[tuple[int, int, int]]) -> Sequence[int]:
        """For each range (partition, first, end): how many of its distinct offsets are accounted for; ``end`` is not included.

        An offset is accounted for by a stored event, a dead letter, or the mark of a dropped or replayed dead letter.
        Of an event that was sent twice only one offset is stored.
        """
        ...

    def missing(self, messages: pa.Table) -> Sequence[tuple[int, int]]:
        """The positions (partition, offset) of those of ``messages`` that are neither stored nor dead-lettered.

        ``messages``: topic, partition, offset, and agency, occurred_at, event_id, dossier_code and status of the event in each
        message (null when there is none). A message counts as kept when its event is stored, or was stored until it expired, or
        when its position is that of a stored event or a dead letter.
        """
        ...


class TallyRepair(Protocol):
    """Repairs tallies in ways that a recount alone cannot. Safe while workers run."""

    def raise_epoch(self, reason: str) -> int:
        """Make every later recount win over every existing tally; returns the new epoch.

        A recount that started earlier may still be running; it counts only events that were stored before.
        """
        ...

    def clear_orphans(self, tier: Tier, day: dt.date) -> None:
        """Write zeros over the tallies of a tier and day that have no events (orphans).

        Raise the epoch first: else old tallies win.
        """
        ...

    def purge_superseded(self, tier: Tier, days: Sequence[dt.date]) -> None:
        """Delete the tally rows of these days that newer versions replaced, so that no query reads them.

        Rewrites whole months of the tier.
        """
        ...
