"""A destination in memory that honours the sink contract: for faults that no real one produces on demand."""

from __future__ import annotations

import datetime as dt
import threading
import uuid
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from domain.events import DossierEvent, Status
from domain.periods import civil_day
from domain.tiers import COUNTS, Tier
from sinks.contract.audit import Comparison, Difference, EventRef, Repeats
from sinks.contract.dead_letters import DeadLetter, DeadLetterCheckpoint, DeadLetterLimitState
from sinks.contract.events import UnreadRange
from sinks.contract.tallies import Arrivals, Counts, Span, TallyTotals
from sinks.errors import RefusedRows
from sinks.tables import EPOCH
from tests.factories import a_message

MINUTE = dt.timedelta(minutes=1)


@dataclass
class Tally:
    """One tally row: its version is the epoch and the number of distinct events it has seen. ``seen`` names them, for proofs."""

    version: int
    counts: Counts
    last_event_at: dt.datetime
    seen: frozenset = frozenset()


def key_of(event: DossierEvent) -> tuple[str, dt.datetime, uuid.UUID]:
    """What makes two events the same."""
    return (event.agency, event.occurred_at, event.event_id)


def minute_of(instant: dt.datetime) -> dt.datetime:
    """The minute an instant falls in."""
    return instant.replace(second=0, microsecond=0)


def counts_of(events) -> Counts:
    """The counts of a tally row over these events."""
    listed = list(events)
    return Counts(events=len(listed), **{name: sum(map(rule, listed)) for name, rule in COUNTS.items()})


def fields_of(counts: Counts) -> dict[str, int]:
    """Counts by name."""
    return {name: getattr(counts, name) for name in Counts.__slots__}


def drift_of(due, stored, tallied, *, time_is_wrong: bool = False) -> int:
    """Events by which a tally is wrong, from counts by name: the most that any count lies outside of ``due`` to ``stored``.

    A time of the newest event that no such events could give counts as one event.
    """
    outside = (max(due[name] - count, count - stored[name], 0) for name, count in tallied.items())
    return max(*outside, int(time_is_wrong))


def summed(counts) -> Counts:
    """The sum of several counts."""
    total = Counter()
    for row in counts:
        total.update({name: getattr(row, name) for name in Counts.__slots__})
    return Counts(**total)


def _seen(events) -> tuple[dt.datetime, frozenset]:
    return max(event.occurred_at for event in events), frozenset(map(key_of, events))


def _nothing(step: str) -> None:
    """No fault."""


@dataclass
class MemoryStore:
    """An ``EventStore``, a ``TallyReader`` with its audit and repair: a set of events, rows that only a larger version replaces.

    ``fault`` is told every step before and after it took effect (``insert_events``, ``insert_events:done``, ...) and may
    raise; ``cursed`` events are refused with every row beside them; ``now`` tells when something arrived.
    """

    fault: Callable[[str], None] = _nothing
    now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC)
    cursed: set[uuid.UUID] = field(default_factory=set)
    kept: dict[tuple[str, dt.datetime, uuid.UUID], DossierEvent] = field(default_factory=dict)
    arrived: dict[tuple[str, dt.datetime, uuid.UUID], dt.datetime] = field(default_factory=dict)
    minutes: dict[tuple[str, dt.datetime], Tally] = field(default_factory=dict)
    days: dict[tuple[str, dt.date], Tally] = field(default_factory=dict)
    procedures: dict[tuple[str, dt.date, str], Tally] = field(default_factory=dict)
    letters: dict[tuple[str, int, int], tuple[DeadLetter, dt.datetime]] = field(default_factory=dict)
    positions: dict[tuple[str, int, int], tuple[str, dt.datetime, uuid.UUID]] = field(default_factory=dict)
    contents: dict[tuple[str, dt.datetime, uuid.UUID], set[DossierEvent]] = field(default_factory=lambda: defaultdict(set))
    checkpoints: dict[tuple[str, int], dict[int, DeadLetterCheckpoint]] = field(default_factory=lambda: defaultdict(dict))
    accepted: dict[tuple[str, int], int] = field(default_factory=dict)
    unread_ranges: list[UnreadRange] = field(default_factory=list)
    epoch: int = 0
    guard: threading.RLock = field(default_factory=threading.RLock)

    # ---- EventStore

    def insert_events(self, rows) -> None:
        self.fault("insert_events")
        listed = rows.to_pylist()
        try:
            ids = [uuid.UUID(row["event_id"]) for row in listed]
        except ValueError as error:
            raise RefusedRows(str(error)) from error
        if not self.cursed.isdisjoint(ids):
            raise RefusedRows("VIOLATED_CONSTRAINT")
        with self.guard:
            for row, event_id in zip(listed, ids, strict=True):
                event = DossierEvent(
                    **{name: row[name] for name in DossierEvent.__slots__ if name in row} | {"event_id": event_id}
                )
                self.kept[key_of(event)] = event
                self.contents[key_of(event)].add(event)
                self.positions[row["topic"], row["partition"], row["offset"]] = key_of(event)
                self.arrived[key_of(event)] = self.now()
        self.fault("insert_events:done")

    def insert_dead_letters(self, letters) -> None:
        self.fault("insert_dead_letters")
        with self.guard:
            for letter in letters:
                self.letters.setdefault((letter.topic, letter.partition, letter.offset), (letter, self.now()))
        self.fault("insert_dead_letters:done")

    def insert_unread(self, ranges) -> None:
        self.fault("insert_unread")
        with self.guard:
            self.unread_ranges += ranges
        self.fault("insert_unread:done")

    def recount_minutes(self, span: Span) -> None:
        self.fault("recount_minutes")
        with self.guard:
            seen = defaultdict(list)
            for event in self.kept.values():
                if span.start <= event.occurred_at < span.end and (span.agencies is None or event.agency in span.agencies):
                    seen[event.agency, minute_of(event.occurred_at)].append(event)
        self.fault("recount_minutes:read")  # a slow recount writes what it saw before others wrote
        for key, events in seen.items():
            self.write(self.minutes, key, counts_of(events), *_seen(events))
        self.fault("recount_minutes:done")

    def roll_up_days(self, days) -> None:
        self.fault("roll_up_days")
        with self.guard:
            seen = defaultdict(list)
            for (agency, minute), tally in self.minutes.items():
                day = civil_day(minute)
                if day in days.days and (days.agencies is None or agency in days.agencies):
                    seen[agency, day].append(tally)
        self.fault("roll_up_days:read")
        for key, tallies in seen.items():
            seen = frozenset().union(*(tally.seen for tally in tallies))
            self.write(self.days, key, summed(t.counts for t in tallies), max(t.last_event_at for t in tallies), seen)
        self.fault("roll_up_days:done")

    def recount_procedures(self, days) -> None:
        self.fault("recount_procedures")
        with self.guard:
            seen = defaultdict(list)
            for event in self.kept.values():
                day = civil_day(event.occurred_at)
                if day in days.days and (days.agencies is None or event.agency in days.agencies):
                    seen[event.agency, day, event.procedure_code].append(event)
        self.fault("recount_procedures:read")
        for key, events in seen.items():
            self.write(self.procedures, key, counts_of(events), *_seen(events))
        self.fault("recount_procedures:done")

    def check_tables(self) -> None:
        self.fault("check_tables")

    def write(self, tier, key, counts: Counts, last: dt.datetime, seen: frozenset = frozenset()) -> None:
        """Write a tally row: of two versions the larger wins, of equal ones the later."""
        with self.guard:
            known, version = tier.get(key), self.epoch * EPOCH + counts.events
            if known is None or version >= known.version:
                tier[key] = Tally(version, counts, last, seen)

    # ---- DeadLetterLimitStore

    def limit_state(self, topic, partition, *, before):
        self.fault("limit_state")
        with self.guard:
            kept = self.checkpoints[topic, partition]
            below = max((offset for offset in kept if offset < before), default=None)
            newest = max(kept, default=-1)
            return DeadLetterLimitState(
                None if below is None else kept[below],
                newest,
                self.accepted.get((topic, partition), 0),
                kept[newest].run if kept else 0,
            )

    def insert_checkpoints(self, checkpoints) -> None:
        self.fault("insert_checkpoints")
        with self.guard:
            for kept in checkpoints:
                self.checkpoints[kept.topic, kept.partition][kept.offset] = kept
        self.fault("insert_checkpoints:done")

    def accept(self, topic, partition, until) -> None:
        self.fault("accept")
        with self.guard:
            self.accepted[topic, partition] = max(until, self.accepted.get((topic, partition), 0))

    # ---- TallyAudit and TallyRepair (the clock that it reads is the field ``now``)

    def civil_days(self, first=None, last=None):
        found = Counter(civil_day(at) for _, at, _ in self.kept)
        for tier in Tier:
            found.update({self._day_of(tier, key): 0 for key in self._tier(tier)})
        return {day: found[day] for day in sorted(found) if (first or day) <= day <= (last or day)}

    def recently_stored_days(self, within):
        since = self.now() - within
        return sorted({civil_day(key[1]) for key, at in self.arrived.items() if at > since})

    def compare(self, tier, day, *, settle, limit, acknowledged=None) -> Comparison:
        self.fault("compare")
        is_due = self._is_due(settle, acknowledged)
        stored, due = defaultdict(list), defaultdict(list)
        for key, event in self.kept.items():
            if civil_day(event.occurred_at) == day:
                bucket = minute_of(event.occurred_at) if tier is Tier.MINUTE else day
                name = (event.agency, bucket, event.procedure_code if tier is Tier.PROCEDURE else "")
                stored[name].append(event)
                if is_due(key):
                    due[name].append(event)
        tallies = {(*key, "")[:3]: tally for key, tally in self._tier(tier).items() if self._day_of(tier, key) == day}
        differences, stuck, off = [], 0, 0
        for name in sorted({*stored, *tallies}, key=lambda name: (str(name[1]), name[0], name[2])):
            tally = tallies.get(name)
            counts = [counts_of(due[name]), counts_of(stored[name]), tally.counts if tally else Counts()]
            newest = max((event.occurred_at for event in stored[name]), default=None)
            earliest = max((event.occurred_at for event in due[name]), default=dt.datetime.min.replace(tzinfo=dt.UTC))
            last = tally.last_event_at if tally and tally.counts.events else None
            wrong = newest is not None and last is not None and not earliest <= last <= newest
            drift = drift_of(*map(fields_of, counts), time_is_wrong=wrong)
            exact = fields_of(counts[1])
            late = newest is not None and last is not None and last != newest
            off += drift_of(exact, exact, fields_of(counts[2]), time_is_wrong=late)
            if drift:
                stuck += tally is not None and tally.version > self.epoch * EPOCH + counts[1].events
                differences.append(Difference(tier, *name, *counts, newest, last, drift))
        total = sum(difference.drift for difference in differences)
        in_hand = sum(map(len, stored.values())) - sum(map(len, due.values()))
        return Comparison(
            len({*stored, *tallies}), len(differences), total, stuck, tuple(differences[:limit]), off - total, in_hand
        )

    def _is_due(self, settle, acknowledged):
        """Which stored events must be tallied; see the contract."""
        old, place = self.now() - settle, {key: position for position, key in self.positions.items()}

        def is_due(key):
            if not settle:
                return True
            if acknowledged is not None:
                topic, partition, offset = place[key]
                committed, end = acknowledged.partitions.get(partition, (0, 0)) if topic == acknowledged.topic else (0, 0)
                if self.arrived[key] > acknowledged.as_of:
                    return False
                if offset < end:
                    return offset < committed
            return self.arrived[key] <= old

        return is_due

    def contradictions(self, day, *, limit):
        found = {
            str(key[2]): (EventRef(key[0], key[1], str(key[2])),)
            for key, contents in self.contents.items()
            if civil_day(key[1]) == day and len(contents) > 1
        }
        return self._repeats(found, limit)

    def reused_event_ids(self, days, shard, *, limit):
        return self._repeats(self._named_twice(self.kept.values(), lambda event: str(event.event_id), days, shard), limit)

    def settled_twice(self, days, shard, *, limit):
        settled = [event for event in self.kept.values() if event.status == Status.SETTLED]
        return self._repeats(self._named_twice(settled, lambda event: event.dossier_code, days, shard), limit)

    def newest_positions(self, topic):
        found = {}
        for at_topic, partition, offset in (*self.positions, *self.letters):
            if at_topic == topic:
                found[partition] = max(offset, found.get(partition, offset))
        return found

    def unread(self, topic):
        return sorted(
            {unread for unread in self.unread_ranges if unread.topic == topic}, key=lambda r: (r.partition, r.first, r.end)
        )

    def kept_within(self, topic, ranges):
        known = {*self.positions, *self.letters}
        return [sum((topic, partition, offset) in known for offset in range(first, end)) for partition, first, end in ranges]

    def missing(self, messages):
        return [
            (row["partition"], row["offset"])
            for row in messages.to_pylist()
            if (row["event_id"] is None or (row["agency"], row["occurred_at"], uuid.UUID(row["event_id"])) not in self.kept)
            and (row["topic"], row["partition"], row["offset"]) not in {*self.positions, *self.letters}
        ]

    def raise_epoch(self, reason) -> int:
        self.fault(f"raise_epoch: {reason}")
        with self.guard:
            versions = [tally.version for tier in Tier for tally in self._tier(tier).values()]
            self.epoch = max([self.epoch, *(version // EPOCH for version in versions)]) + 1
            return self.epoch

    def clear_orphans(self, tier, day) -> None:
        self.fault("clear_orphans")
        names = {(event.agency, minute_of(event.occurred_at)) for event in self.kept.values()}
        if tier is not Tier.MINUTE:
            names = {
                (event.agency, civil_day(event.occurred_at), *([event.procedure_code] if tier is Tier.PROCEDURE else []))
                for event in self.kept.values()
            }
        for key in [key for key in self._tier(tier) if self._day_of(tier, key) == day and key not in names]:
            self.write(self._tier(tier), key, Counts(), dt.datetime.fromtimestamp(0, dt.UTC))

    def purge_superseded(self, tier, days) -> None:
        self.fault(f"purge_superseded: {tier} {days}")

    def _tier(self, tier):
        return {Tier.MINUTE: self.minutes, Tier.DAY: self.days, Tier.PROCEDURE: self.procedures}[tier]

    @staticmethod
    def _day_of(tier, key) -> dt.date:
        return civil_day(key[1]) if tier is Tier.MINUTE else key[1]

    @staticmethod
    def _named_twice(events, name_of, days, shard):
        found = defaultdict(list)
        for event in events:
            name = name_of(event)
            inside = days is None or days[0] <= civil_day(event.occurred_at) <= days[1]
            if inside and zlib.crc32(name.encode()) % shard.count == shard.index:
                found[name].append(EventRef(event.agency, event.occurred_at, str(event.event_id)))
        return {
            name: tuple(sorted(sights, key=lambda sight: (sight.occurred_at, sight.agency, sight.event_id)))
            for name, sights in sorted(found.items())
            if len(sights) > 1
        }

    @staticmethod
    def _repeats(found, limit) -> Repeats:
        return Repeats(len(found), dict(list(found.items())[:limit]))

    # ---- TallyReader

    def counts_between(self, start, end):
        return self._by_agency((key[0], tally) for key, tally in self.minutes.items() if start <= key[1] < end)

    def counts_of_days(self, first, last):
        return self._by_agency((key[0], tally) for key, tally in self.days.items() if first <= key[1] <= last)

    def last_events(self, until):
        newest: dict[str, dt.datetime] = {}
        for event in self.kept.values():
            if event.occurred_at <= until:
                newest[event.agency] = max(event.occurred_at, newest.get(event.agency, event.occurred_at))
        return newest

    def totals(self) -> TallyTotals:
        tiers = ((tally.counts.events for tally in tier.values()) for tier in (self.minutes, self.days))
        return TallyTotals(stored=len(self.kept), tallied=max(map(sum, tiers), key=lambda tallied: abs(len(self.kept) - tallied)))

    def dead_letters_by_reason(self):
        return dict(Counter(letter.reason for letter, _ in self.letters.values()))

    def arrivals(self, within) -> Arrivals:
        since = self.now() - within
        return Arrivals(
            events=sum(at > since for at in self.arrived.values()),
            dead_letters=sum(at > since for _, at in self.letters.values()),
        )

    def events(self, first, last, agencies):
        chosen = [
            event
            for event in self.kept.values()
            if first <= civil_day(event.occurred_at) <= last and (agencies is None or event.agency in agencies)
        ]
        for event in sorted(chosen, key=lambda event: (event.occurred_at, str(event.event_id))):
            yield a_message(event) + b"\n"

    def ping(self) -> None:
        self.fault("ping")

    @staticmethod
    def _by_agency(tallies):
        found = defaultdict(list)
        for agency, tally in tallies:
            found[agency].append(tally.counts)
        return {agency: summed(counts) for agency, counts in found.items()}


@dataclass(frozen=True)
class MemoryBatch:
    """Consecutive messages of one partition, as the stream hands them out."""

    first_offset: int
    messages: tuple[bytes | None, ...]
    piece_size: int = 1 << 30
    whole_sizes: Mapping[int, int] = field(default_factory=dict)

    @property
    def size(self) -> int:
        return sum(len(message or b"") for message in self.messages)

    def pieces(self) -> Iterator[MemoryBatch]:
        for at in range(0, len(self.messages), self.piece_size):
            yield replace(self, first_offset=self.first_offset + at, messages=self.messages[at : at + self.piece_size])

    def values(self) -> list[bytes | None]:
        return list(self.messages)

    def keys_and_offsets(self) -> list[tuple[bytes | None, int]]:
        return [(b"key-%d" % offset, offset) for offset in range(self.first_offset, self.first_offset + len(self.messages))]
