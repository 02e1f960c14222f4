"""A destination in memory that honours the sink contract: for faults that no real one produces on demand."""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import json
import threading
import uuid
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from domain.catalogue import Catalogue, CatalogueEntry
from domain.catalogue_changes import changes, with_rows
from domain.catalogue_levels import AgencyLevels, CatalogueLevels, Generation
from domain.dossier_columns import BITS, LEVEL_RANKS, RETURN_RANKS
from domain.dossiers import Dossier, judge
from domain.events import DUE_NOT_SENT, DossierEvent
from domain.exclusions import ExclusionDecision, last_decision
from domain.group_counts import Circumstances, additions, part_of
from domain.periods import Period, civil_day
from domain.tiers import COUNTS, Tier
from pipeline.catalogue.recount import LevelChanges, RecountPlan
from sinks.contract import dossiers
from sinks.contract.audit import Comparison, Difference, EventRef, Repeats
from sinks.contract.catalogue import CatalogueLoad
from sinks.contract.dead_letters import DeadLetter, DeadLetterCheckpoint, DeadLetterLimitState
from sinks.contract.events import UnreadRange
from sinks.contract.findings import HISTORY_COLUMNS
from sinks.contract.raw_messages import RAW_COLUMNS
from sinks.contract.tallies import Arrivals, Counts, ServicesWithDossiers, Span, TallyTotals
from sinks.errors import RefusedRows
from sinks.tables import EPOCH
from tests.factories import a_message
from tests.right_counts import right_counts

MINUTE = dt.timedelta(minutes=1)


@dataclass
class Tally:
    """One tally row. ``seen`` names the messages and corrections that it counts, for proofs."""

    version: int
    counts: Counts
    last_event_at: dt.datetime
    seen: frozenset = frozenset()


class MessageKey(NamedTuple):
    """What makes two messages the same: the key of the table of messages."""

    agency: str
    occurred_at: dt.datetime
    event_id: uuid.UUID
    dossier_code: str
    status: int
    channel: int
    service_level: str
    returned_by: str
    procedure_code: str
    due_at: dt.datetime | None
    legacy_level: int


class IndexedMessage(NamedTuple):
    """A message as the index of dossiers identifies it."""

    dossier: bytes
    occurred_at: dt.datetime
    event_id: uuid.UUID
    agency: str
    procedure_code: str
    due_at: dt.datetime  # DUE_NOT_SENT: not sent
    facts: int


class Correction(NamedTuple):
    """What a message counts as more or less than by itself. ``seen``: the number of messages that its writer saw."""

    message: IndexedMessage
    plus: int
    minus: int
    seen: int


def key_of(event: DossierEvent) -> MessageKey:
    """The key of a message."""
    return MessageKey(*(getattr(event, name) for name in MessageKey._fields))


def dossier_of(code: str) -> bytes:
    """The 16 bytes that stand for a dossier code in the double. Another storage may use others."""
    return hashlib.blake2b(code.encode(), digest_size=16).digest()


def minute_of(instant: dt.datetime) -> dt.datetime:
    """The minute an instant falls in."""
    return instant.replace(second=0, microsecond=0)


def counts_of(events) -> Counts:
    """The counts of a tally row over these events."""
    listed = list(events)
    return Counts(events=len(listed), **{name: sum(map(rule, listed)) for name, rule in COUNTS.items()})


def corrected(counts: Counts, corrections: Iterable[Correction]) -> Counts:
    """Counts with corrections. A count is never negative."""
    total = Counter(fields_of(counts))
    for correction in corrections:
        for position, name in enumerate(BITS):
            change = (correction.plus >> position & 1) - (correction.minus >> position & 1)
            total["events" if name == "repeat" else name] += -change if name == "repeat" else change
    return Counts(**{name: max(0, count) for name, count in total.items()})


def fields_of(counts: Counts) -> dict[str, int]:
    """Counts by name."""
    return {name: getattr(counts, name) for name in Counts.__slots__}


def drift_of(due, stored, tallied, *, time_is_wrong: bool = False) -> int:
    """Events by which a tally is wrong, from counts by name: the most that any count lies outside of ``due`` to ``stored``.

    A time of the newest event that no such events could give counts as one event.
    """
    outside = (max(due[name] - count, count - stored[name], 0) for name, count in tallied.items())
    return max(*outside, int(time_is_wrong))


def counts_alone(event: DossierEvent) -> frozenset[str]:
    """The names of the counts in which a message is included by itself."""
    return frozenset({"events", *(name for name, rule in COUNTS.items() if rule(event))})


def _halves(event_id: uuid.UUID) -> bytes:
    """An id as two little-endian halves, the first half of the text first."""
    return (event_id.int >> 64).to_bytes(8, "little") + (event_id.int & (1 << 64) - 1).to_bytes(8, "little")


_LONGEST_VALUE = 65_536


def _named_agency(value: bytes | None) -> str:
    try:
        found = json.loads(value or b"")["agency_code"]
    except (ValueError, KeyError, TypeError):
        return ""
    return found.rpartition(".")[2] if isinstance(found, str) and len(value or b"") <= _LONGEST_VALUE else ""


def summed(counts) -> Counts:
    """The sum of several counts."""
    total = Counter()
    for row in counts:
        total.update({name: getattr(row, name) for name in Counts.__slots__})
    return Counts(**total)


@dataclass
class _Bucket:
    """The messages and corrections of one tally."""

    events: list[DossierEvent] = field(default_factory=list)
    corrections: list[Correction] = field(default_factory=list)

    @property
    def counts(self) -> Counts:
        return corrected(counts_of(self.events), self.corrections)

    @property
    def looks(self) -> int:
        """What the version grows with: every message, and every look that a correction comes from."""
        return len(self.events) + sum(correction.seen for correction in self.corrections)

    @property
    def seen(self) -> frozenset:
        return frozenset({*map(key_of, self.events), *self.corrections})


def _nothing(step: str) -> None:
    """No fault."""


@dataclass
class MemoryStore:
    """An ``EventStore`` and ``DossierIndex``, a ``TallyReader`` with its audit and repair.

    It is a set of messages, an index of them by dossier, and rows that only a larger version replaces.
    ``fault`` is told every step before and after it took effect (``insert_events``, ``insert_events:done``, ...) and may
    raise; ``cursed`` events are refused with every row beside them; ``now`` tells when something arrived.
    """

    fault: Callable[[str], None] = _nothing
    now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC)
    cursed: set[uuid.UUID] = field(default_factory=set)
    kept: dict[MessageKey, DossierEvent] = field(default_factory=dict)
    arrived: dict[MessageKey, dt.datetime] = field(default_factory=dict)
    #: Every message, and every claim (0: the message itself), by whether it is confirmed.
    index: dict[tuple[IndexedMessage, int, bool], None] = field(default_factory=dict)  # in the order of arrival
    corrections: dict[IndexedMessage, Correction] = field(default_factory=dict)
    codes: dict[bytes, str] = field(default_factory=dict)
    exclusions: dict[str, list[ExclusionDecision]] = field(default_factory=lambda: defaultdict(list))
    catalogue: dict[str, AgencyLevels] = field(default_factory=dict)
    minutes: dict[tuple[str, dt.datetime], Tally] = field(default_factory=dict)
    days: dict[tuple[str, dt.date], Tally] = field(default_factory=dict)
    procedures: dict[tuple[str, dt.date, str], Tally] = field(default_factory=dict)
    letters: dict[tuple[str, int, int], tuple[DeadLetter, dt.datetime]] = field(default_factory=dict)
    positions: dict[tuple[str, int, int], MessageKey] = field(default_factory=dict)
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
                due_at = None if row["due_at"] == DUE_NOT_SENT else row["due_at"]
                event = DossierEvent(
                    **{name: row[name] for name in DossierEvent.__slots__ if name in row}
                    | {"event_id": event_id, "due_at": due_at}
                )
                self.kept[key_of(event)] = event
                name = (event.agency, event.occurred_at, event.event_id, event.dossier_code, event.status)
                self.contents[name].add(dataclasses.replace(event, portal_id=""))
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
        buckets = self._buckets(
            lambda at: span.start <= at.occurred_at < span.end and (span.agencies is None or at.agency in span.agencies),
            lambda at: (at.agency, minute_of(at.occurred_at)),
        )
        self.fault("recount_minutes:read")  # a slow recount writes what it saw before others wrote
        self._write_buckets(self.minutes, buckets)
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
            self.write(
                self.days,
                key,
                summed(tally.counts for tally in tallies),
                max(tally.last_event_at for tally in tallies),
                frozenset().union(*(tally.seen for tally in tallies)),
                looks=sum(tally.version % EPOCH for tally in tallies),
            )
        self.fault("roll_up_days:done")

    def recount_procedures(self, days) -> None:
        self.fault("recount_procedures")
        buckets = self._buckets(
            lambda at: civil_day(at.occurred_at) in days.days and (days.agencies is None or at.agency in days.agencies),
            lambda at: (at.agency, civil_day(at.occurred_at), at.procedure_code),
        )
        self.fault("recount_procedures:read")
        self._write_buckets(self.procedures, buckets)
        self.fault("recount_procedures:done")

    def _buckets(self, chosen, name_of) -> dict[tuple, _Bucket]:
        """The messages and corrections for which ``chosen`` is true, by ``name_of``; messages are read first."""
        found: dict[tuple, _Bucket] = defaultdict(_Bucket)
        with self.guard:
            for event in self.kept.values():
                if chosen(event):
                    found[name_of(event)].events.append(event)
            for correction in self.corrections.values():
                if chosen(correction.message):
                    found[name_of(correction.message)].corrections.append(correction)
        return found

    def _write_buckets(self, tier, buckets: dict[tuple, _Bucket]) -> None:
        for key, bucket in buckets.items():
            if bucket.events:
                last = max(event.occurred_at for event in bucket.events)
                self.write(tier, key, bucket.counts, last, bucket.seen, looks=bucket.looks)

    def check_tables(self) -> None:
        self.fault("check_tables")

    def write(
        self, tier, key, counts: Counts, last: dt.datetime, seen: frozenset = frozenset(), *, looks: int | None = None
    ) -> None:
        """Write a tally row: of two versions the larger wins, of equal ones the later.

        ``looks``: the version without the epoch; the number of events where it is not given.
        """
        with self.guard:
            known, version = tier.get(key), self.epoch * EPOCH + (counts.events if looks is None else looks)
            if known is None or version >= known.version:
                tier[key] = Tally(version, counts, last, seen)

    # ---- DossierIndex

    def add(self, messages) -> None:
        self.fault("add")
        with self.guard:
            for row in messages.to_pylist():
                dossier = dossier_of(row["dossier_code"])
                self.codes[dossier] = row["dossier_code"]
                self.index[self._indexed(row, dossier), 0, False] = None
        self.fault("add:done")

    def suspects(self, codes) -> pa.Table:
        """The dossiers with claims, and those of which ``judge`` says that a message counts otherwise than by itself."""
        self.fault("suspects")
        found = []
        with self.guard:
            for row in codes.to_pylist():
                dossier = dossier_of(row["dossier_code"])
                rows = [key for key in self.index if key[0].dossier == dossier]
                if any(claim or not message.facts & 15 for message, claim, _ in rows) or self._is_corrected(
                    [message for message, _, _ in rows]
                ):
                    found.append(dossier)
        self.fault("suspects:read")
        return pa.table({"dossier": pa.array(found, pa.binary(16))})

    def histories(self, suspects) -> pa.Table:
        self.fault("histories")
        chosen = set(suspects.column("dossier").to_pylist())
        with self.guard:
            rows = [key for key in self.index if key[0].dossier in chosen]
        self.fault("histories:read")
        messages = [message for message, _, _ in rows]
        return pa.table(
            {
                "dossier": pa.array([message.dossier for message in messages], pa.binary(16)),
                "occurred_at": pa.array([message.occurred_at for message in messages], pa.timestamp("ms", "UTC")),
                "event_id": pa.array([str(message.event_id) for message in messages], pa.string()),
                "id": pa.array([_halves(message.event_id) for message in messages], pa.binary(16)),
                "agency": pa.array([message.agency for message in messages], pa.string()).dictionary_encode(),
                "procedure_code": pa.array([message.procedure_code for message in messages], pa.string()),
                "due_at": pa.array([message.due_at for message in messages], pa.timestamp("ms", "UTC")),
                "facts": pa.array([message.facts for message in messages], pa.uint16()),
                "claim": pa.array([claim for _, claim, _ in rows], pa.uint16()),
                "confirmed": pa.array([confirmed for _, _, confirmed in rows], pa.bool_()),
            }
        )

    def levels(self, agencies) -> CatalogueLevels:
        self.fault("levels")
        return CatalogueLevels({agency: self.catalogue[agency] for agency in agencies if agency in self.catalogue})

    def note(self, notes) -> None:
        self.fault("note")
        with self.guard:
            for row in notes.to_pylist():
                self.index[self._indexed(row, row["dossier"]), 0, False] = None
        self.fault("note:done")

    def claim(self, claims) -> None:
        self._claim("claim", claims)

    def confirm(self, claims) -> None:
        self._claim("confirm", claims)

    def _claim(self, step: str, claims) -> None:
        self.fault(step)
        with self.guard:
            for row in claims.to_pylist():
                self.index[self._indexed(row, row["dossier"]), row["claim"], step == "confirm"] = None
        self.fault(f"{step}:done")

    def correct(self, corrections) -> None:
        self.fault("correct")
        with self.guard:
            for row in corrections.to_pylist():
                message = self._indexed(row, row["dossier"])
                known = self.corrections.get(message)
                if known is None or row["seen"] >= known.seen:
                    self.corrections[message] = Correction(message, row["plus"], row["minus"], row["seen"])
        self.fault("correct:done")

    def expired_at(self, _code):
        """No message expires in memory."""

    def messages(self, code):
        """The distinct messages of a dossier: the double is a ``DossierReader``, too."""
        self.fault("messages")
        with self.guard:
            dossier = dossier_of(code)
            return [
                self.message_of(message)
                for message, claim, _ in self.index
                if message.dossier == dossier and not claim and message.facts & 15
            ]

    def messages_of(self, codes):
        """The same of several dossiers."""
        return {code: messages for code in codes if (messages := self.messages(code))}

    # ---- ExclusionStore

    def decide(self, code, *, excluded, reason, name) -> ExclusionDecision:
        self.fault("decide")
        with self.guard:
            known = self.exclusions[code]
            now = max([self.now(), *(decision.decided_at + dt.timedelta(milliseconds=1) for decision in known)])
            now -= dt.timedelta(microseconds=now.microsecond % 1000)
            known.append(ExclusionDecision(now, uuid.uuid4(), excluded, reason, name))
        self.fault("decide:done")
        return known[-1]

    def decisions(self, code):
        self.fault("decisions")
        return list(self.exclusions.get(code, ()))

    def excluded(self):
        self.fault("excluded")
        last = {code: last_decision(decisions) for code, decisions in self.exclusions.items()}
        return {code: decision for code, decision in last.items() if decision is not None and decision.excluded}

    @staticmethod
    def _indexed(row, dossier: bytes) -> IndexedMessage:
        return IndexedMessage(dossier, *(row[name] for name in IndexedMessage._fields[1:]))._replace(
            event_id=uuid.UUID(row["event_id"])
        )

    def message_of(self, indexed: IndexedMessage) -> DossierEvent:
        """An indexed message as an event, without its portal."""
        small = {name: column[0] for name, column in dossiers.fields_of(np.array([indexed.facts], np.uint16)).items()}
        return DossierEvent(
            event_id=indexed.event_id,
            dossier_code=self.codes[indexed.dossier],
            agency=indexed.agency,
            procedure_code=indexed.procedure_code,
            status=int(small["status"]),
            channel=int(small["channel"]),
            service_level=LEVEL_RANKS[small["level"]],
            occurred_at=indexed.occurred_at,
            legacy_level=int(small["legacy"]),
            returned_by=RETURN_RANKS[small["returned"]],
            due_at=None if indexed.due_at == DUE_NOT_SENT else indexed.due_at,
            named_by_code=bool(small["named"]),
        )

    def _is_corrected(self, indexed: list[IndexedMessage]) -> bool:
        """Whether a message counts otherwise than by itself."""
        messages = [self.message_of(message) for message in set(indexed)]
        return any(names != counts_alone(message) for message, names in right_counts(messages).items())

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
        found = Counter(civil_day(key.occurred_at) for key in self.kept)
        for tier in Tier:
            found.update({self._day_of(tier, key): 0 for key in self._tier(tier)})
        return {day: found[day] for day in sorted(found) if (first or day) <= day <= (last or day)}

    def recently_stored_days(self, within):
        since = self.now() - within
        return sorted({civil_day(key[1]) for key, at in self.arrived.items() if at > since})

    def compare(self, tier, day, *, settle, limit, acknowledged=None) -> Comparison:
        self.fault("compare")
        is_due = self._is_due(settle, acknowledged)
        chosen = self._chosen(day)
        name_of = self._name_of(tier)
        stored = self._buckets(chosen, name_of)
        due = self._buckets(lambda at: chosen(at) and (not isinstance(at, DossierEvent) or is_due(key_of(at))), name_of)
        tallies = {(*key, "")[:3]: tally for key, tally in self._tier(tier).items() if self._day_of(tier, key) == day}
        differences, stuck, off = [], 0, 0
        for name in sorted({*stored, *tallies}, key=lambda name: (str(name[1]), name[0], name[2])):
            tally = tallies.get(name)
            counts = [due[name].counts, stored[name].counts, tally.counts if tally else Counts()]
            newest = max((event.occurred_at for event in stored[name].events), default=None)
            earliest = max((event.occurred_at for event in due[name].events), default=dt.datetime.min.replace(tzinfo=dt.UTC))
            last = tally.last_event_at if tally and tally.counts.events else None
            wrong = newest is not None and last is not None and not earliest <= last <= newest
            drift = drift_of(*map(fields_of, counts), time_is_wrong=wrong)
            exact = fields_of(counts[1])
            late = newest is not None and last is not None and last != newest
            off += drift_of(exact, exact, fields_of(counts[2]), time_is_wrong=late)
            if drift:
                stuck += tally is not None and tally.version > self.epoch * EPOCH + stored[name].looks
                differences.append(Difference(tier, *name, *counts, newest, last, drift))
        total = sum(difference.drift for difference in differences)
        in_hand = sum(len(bucket.events) for bucket in stored.values()) - sum(len(bucket.events) for bucket in due.values())
        return Comparison(
            len({*stored, *tallies}), len(differences), total, stuck, tuple(differences[:limit]), off - total, in_hand
        )

    @staticmethod
    def _chosen(day: dt.date):
        return lambda at: civil_day(at.occurred_at) == day

    @staticmethod
    def _name_of(tier: Tier):
        def name_of(at):
            bucket = minute_of(at.occurred_at) if tier is Tier.MINUTE else civil_day(at.occurred_at)
            return at.agency, bucket, at.procedure_code if tier is Tier.PROCEDURE else ""

        return name_of

    def _is_due(self, settle, acknowledged):
        """Which stored events must be tallied; see the contract."""
        old, place = self.now() - settle, {key: position for position, key in self.positions.items()}

        def is_due(key):
            if not settle:
                return True
            if acknowledged is not None:
                topic, partition, offset = place[key]
                committed, end = acknowledged.partitions.get((topic, partition), (0, 0))
                if self.arrived[key] > acknowledged.as_of:
                    return False
                if offset < end:
                    return offset < committed
            return self.arrived[key] <= old

        return is_due

    def contradictions(self, day, *, limit):
        found = {
            str(key[2]): (EventRef(key[0], key[1], str(key[2]), key[3]),)
            for key, contents in self.contents.items()
            if civil_day(key[1]) == day and len(contents) > 1
        }
        return self._repeats(found, limit)

    def reused_event_ids(self, days, shard, *, limit):
        found = defaultdict(list)
        for event in self.kept.values():
            inside = days is None or days[0] <= civil_day(event.occurred_at) <= days[1]
            if inside and zlib.crc32(event.event_id.bytes) % shard.count == shard.index:
                found[str(event.event_id)].append(
                    EventRef(event.agency, event.occurred_at, str(event.event_id), event.dossier_code)
                )
        several = {
            name: tuple(sorted(refs, key=lambda ref: (ref.occurred_at, ref.agency, ref.event_id)))
            for name, refs in sorted(found.items())
            if len({ref.dossier_code for ref in refs}) > 1
        }
        return self._repeats(several, limit)

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
        stored = {key[:3] for key in self.kept}
        return [
            (row["partition"], row["offset"])
            for row in messages.to_pylist()
            if (row["event_id"] is None or (row["agency"], row["occurred_at"], uuid.UUID(row["event_id"])) not in stored)
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
    def _repeats(found, limit) -> Repeats:
        return Repeats(len(found), dict(list(found.items())[:limit]))

    # ---- TallyReader

    def counts_between(self, start, end):
        return self._by_agency((key[0], tally) for key, tally in self.minutes.items() if start <= key[1] < end)

    def counts_of_days(self, first, last):
        return self._by_agency((key[0], tally) for key, tally in self.days.items() if first <= key[1] <= last)

    def counts_by_step(self, first, last, seconds):
        """See TallyReader."""
        start, end = Period(first, last).instants()
        found = defaultdict(list)
        for (agency, minute, *_), tally in self.minutes.items():
            if start <= minute < end and tally.counts.events:
                found[agency, int((minute - start).total_seconds()) // seconds].append(tally.counts)
        return {key: summed(counts) for key, counts in found.items()}

    def events_by_day(self):
        return {key: tally.counts.events for key, tally in self.days.items() if tally.counts.events}

    def counts_by_day(self, first, last):
        """See TallyReader."""
        found = {key: tally.counts for key, tally in self.days.items() if first <= key[1] <= last}
        return {key: counts for key, counts in found.items() if counts.events}

    def counts_of_procedures(self, agencies, first, last):
        """See TallyReader."""
        found = defaultdict(list)
        for (agency, day, procedure), tally in self.procedures.items():
            if agency in agencies and first <= day <= last:
                found[procedure].append(tally.counts)
        return {procedure: summed(counts) for procedure, counts in found.items()}

    def services_with_dossiers(self, first, last):
        """See TallyReader."""
        found = {
            name: frozenset(
                (agency, procedure)
                for (agency, day, procedure), tally in self.procedures.items()
                if first <= day <= last and getattr(tally.counts, name)
            )
            for name in ("submitted", "submitted_online")
        }
        return ServicesWithDossiers(**found)

    def active_days(self, first, last):
        """See TallyReader."""
        days = {}
        for (agency, day), tally in self.days.items():
            if first <= day <= last and tally.counts.events:
                days.setdefault(agency, np.zeros((last - first).days + 1, dtype=bool))[(day - first).days] = True
        return days

    def last_events(self, until):
        newest: dict[str, dt.datetime] = {}
        for event in self.kept.values():
            if event.occurred_at <= until:
                newest[event.agency] = max(event.occurred_at, newest.get(event.agency, event.occurred_at))
        return newest

    def totals(self) -> TallyTotals:
        tiers = ((tally.counts.events for tally in tier.values()) for tier in (self.minutes, self.days))
        return TallyTotals(stored=len(self.kept), tallied=max(map(sum, tiers), key=lambda tallied: abs(len(self.kept) - tallied)))

    def free_space(self):
        return 0.5

    def dead_letters_by_reason(self):
        return dict(Counter(letter.reason for letter, _ in self.letters.values()))

    def dead_letter_agencies(self, within):
        recent = [letter for letter, at in self.letters.values() if at > self.now() - within]
        return dict(Counter(_named_agency(letter.value) for letter in recent))

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


class MemoryFindingReader:
    """A ``FindingReader`` on a store in memory: every dossier may have a finding."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    def messages_within(self, scope):
        return sum(self._is_within(event, scope) for event in self._store.kept.values())

    def histories(self, scope, shard):
        chosen = {dossier_of(event.dossier_code) for event in self._store.kept.values() if self._is_within(event, scope)}
        here = sorted(dossier for dossier in chosen if int.from_bytes(dossier, "little") % shard.count == shard.index)
        if not here:
            return
        rows = self._store.histories(pa.table({"dossier": pa.array(here, pa.binary(16))}))
        rows = rows.filter(pc.equal(rows.column("claim"), 0)).sort_by("dossier").select(list(HISTORY_COLUMNS))
        yield from rows.to_batches(max_chunksize=7)

    def codes_of(self, messages):
        return {dossier: self._store.codes[dossier] for dossier in messages}

    @staticmethod
    def _is_within(event, scope) -> bool:
        inside = scope.period.start <= civil_day(event.occurred_at) <= scope.period.end
        return inside and (scope.agencies is None or event.agency in scope.agencies)


class MemoryRawMessages:
    """A ``RawMessageReader`` on a store in memory, which gives out every message twice."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    def messages_within(self, periods):
        return sum(self._is_within(event, periods) for event in self._store.kept.values())

    def by_dossier(self, periods, shard):
        here = {
            event.dossier_code
            for event in self._store.kept.values()
            if self._is_within(event, periods) and zlib.crc32(event.dossier_code.encode()) % shard.count == shard.index
        }
        events = [event for event in self._store.kept.values() if event.dossier_code in here for _ in range(2)]
        events.sort(key=lambda event: (event.dossier_code, event.agency, event.occurred_at, event.event_id, event.status))
        columns = {
            name: [getattr(event, name) for event in events]
            for name in ("dossier_code", "agency", "status", "procedure_code", "channel", "legacy_level", "named_by_code")
        }
        columns |= {
            "occurred_at": pa.array([event.occurred_at for event in events], pa.timestamp("ms", "UTC")),
            "due_at": pa.array([event.due_at or DUE_NOT_SENT for event in events], pa.timestamp("ms", "UTC")),
            "id": pa.array([_halves(event.event_id) for event in events], pa.binary(16)),
            "level": [LEVEL_RANKS.index(event.service_level) for event in events],
            "returned": [RETURN_RANKS.index(event.returned_by) for event in events],
        }
        yield from pa.table(columns).select(RAW_COLUMNS).to_batches(max_chunksize=7)

    @staticmethod
    def _is_within(event, periods) -> bool:
        return any(period.start <= civil_day(event.occurred_at) <= period.end for period in periods)


class MemoryDossierFigures:
    """A ``DossierFigureReader`` and the waiting dossiers of a store in memory: each dossier is judged when it is asked for."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self.waiting = 0

    def counts(self, group, question):
        given = {name: getattr(question, name) for name in ("period", "today", "longest_days")}
        first = min(question.deadlines, default=dt.date.max)
        circumstances = Circumstances(**given, working_days=_Deadlines(question.deadlines), accepted_late_from=first)
        by_code, excluded = defaultdict(list), self._store.excluded()
        for event in self._store.kept.values():
            by_code[event.dossier_code].append(event)
        found = defaultdict(Counter)
        for code, events in by_code.items():
            dossier = judge(events, [excluded[code]] if code in excluded else [])
            if isinstance(dossier, Dossier):
                for event, name in additions(group, dossier, circumstances):
                    found[event.agency, part_of(question.grouping, code, event)][name] += 1
        return found

    def now(self):
        return dt.datetime(2024, 9, 1, tzinfo=dt.UTC)

    def waiting_since(self, _asked_at):
        return self.waiting


@dataclass(frozen=True)
class _Deadlines:
    """Working days of which only the deadlines of some days are known."""

    days: Mapping[dt.date, dt.date]

    def next_after(self, day):
        return self.days[day]


class MemoryCatalogue:
    """A ``CatalogueStore`` in memory."""

    def __init__(self) -> None:
        self.stored: tuple[CatalogueEntry, ...] = ()
        self.sources: list[str] = []
        self.fault: Callable[[], None] = lambda: None

    def load(self, entries, *, add=False, source=""):
        self.fault()
        agencies = {entry.agency for entry in entries}
        before = [entry for entry in self.stored if entry.agency in agencies]
        after = tuple(Catalogue(with_rows(before, entries) if add else entries))
        found = changes(before, after)
        if found:
            others = [entry for entry in self.stored if entry.agency not in agencies]
            self.stored = tuple(Catalogue([*others, *after]))
            self.sources.append(source)
        return CatalogueLoad(found, len(after))

    def entries(self, period=None, *, agencies=None):
        self.fault()
        return tuple(
            entry
            for entry in self.stored
            if (agencies is None or entry.agency in agencies)
            and (period is None or (entry.valid_from <= period.end and (not entry.valid_to or entry.valid_to >= period.start)))
        )


class MemoryRecount:
    """A ``RecountSteps`` with a plan that a test makes; a day may fail."""

    def __init__(self) -> None:
        self.loads: dict[str, Generation] = {}
        self.days: dict[dt.date, LevelChanges] = {}
        self.done: list[dt.date] = []
        self.finished: list[str] = []
        self.fault: Callable[[], None] = lambda: None

    def unfinished(self):
        return sorted(self.loads.keys() - set(self.finished))

    def plan(self, agencies):
        loads = {agency: self.loads[agency] for agency in self.unfinished() if agency in agencies}
        return RecountPlan(loads, dict.fromkeys(self.days, 10) if loads else {})

    def recount_day(self, day, agencies):
        assert list(agencies) == sorted(self.loads)
        self.done.append(day)
        self.fault()
        return self.days[day]

    def finish(self, loads):
        self.finished += [agency for agency in loads if loads[agency] == self.loads[agency]]


class NothingToCheck:
    """A ``DossierAudit`` of a storage without dossiers."""

    def stored_dossiers(self, _selection, *, settle, acknowledged=None):  # noqa: ARG002
        yield from ()

    def codes(self, _dossiers):
        return {}

    def levels(self, _agencies):
        return CatalogueLevels()


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
            messages = self.messages[at : at + self.piece_size]
            yield dataclasses.replace(self, first_offset=self.first_offset + at, messages=messages)

    def values(self) -> list[bytes | None]:
        return list(self.messages)

    def keys_and_offsets(self) -> list[tuple[bytes | None, int]]:
        return [(b"key-%d" % offset, offset) for offset in range(self.first_offset, self.first_offset + len(self.messages))]
