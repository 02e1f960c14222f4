"""The audit at work: a desk that answers for one day at a time, and a loop that looks at every day again and again.

The desk answers with plain values, ready for JSON: the command line asks it directly, or over HTTP (``pipeline.audit.routes``)
where one process owns the storage.
"""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import pyarrow as pa

from domain.clock import Clock
from domain.errors import ConfigurationError, PortalPulseError
from domain.periods import FIRST_DAY, LAST_DAY, Period
from domain.tiers import Tier
from pipeline.audit.drift import DayComparison, DriftTracker, Finding, TierComparison
from pipeline.decode.decoder import Decoder
from pipeline.ingest.unread_offsets import merged
from pipeline.logs import get_logger
from sinks.contract.audit import Acknowledged, Difference, HashShard, Repeats, TallyAudit, TallyRepair
from sinks.contract.events import EventStore
from sinks.contract.tallies import Counts, Days, Span
from sinks.errors import SinkError

log = get_logger("audit")

#: Differences of one scope and day that are listed; more are counted.
_LISTED = 2_000
#: Examples of repeats that are shown.
_EXAMPLES = 20
#: A recount that began under the old epoch has seen what it will see by then (seconds).
_QUERY_START_GRACE = 1.0
#: An answer of Kafka about its group is used again for this long (seconds). An old answer calls more events unacknowledged.
_FRESH_SECONDS = 1.0
#: An event may have been on its way into its table for so long when the days touched lately were asked for.
_INSERT_GRACE = dt.timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Partition:
    """One partition of the topic: first offset still in the log, offset after the last, and the group's committed offset."""

    number: int
    begin: int
    end: int
    committed: int | None


class TopicReader(Protocol):
    """Reads the log itself, without a trace: nothing is committed, no group is joined."""

    def partitions(self) -> Sequence[Partition]:
        """The partitions of the topic, ascending."""
        ...

    def members(self) -> int:
        """How many members of the group read the topic, or may read it when the group is being rebalanced."""
        ...

    def messages(self, partition: int, begin: int, end: int) -> Iterator[Sequence[tuple[int, bytes | None]]]:
        """Offsets and values of the messages from ``begin`` up to, not including, ``end``, in portions."""
        ...


@dataclass(frozen=True, slots=True)
class InHand:
    """What Kafka says of the events that workers have in hand, or why it can say nothing (``by_time``)."""

    acknowledged: Acknowledged | None = None
    by_time: str = ""


class WorkInHand:
    """Asks Kafka how far the workers' group has acknowledged the topic. Several threads may use it at once.

    Args:
        audit: its clock says when Kafka was asked.
        topic: name of the topic, and what makes its reader.
    """

    def __init__(
        self, audit: TallyAudit, topic: tuple[str, Callable[[], TopicReader]], *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._audit, self._monotonic = audit, monotonic
        self._topic, self._reader = topic
        self._guard = threading.Lock()
        self._known: tuple[float, InHand] | None = None  # when it was asked, and the answer

    def __call__(self) -> InHand:
        """The answer of now, or of a moment ago.

        Raises:
            SinkError: the storage does not say what time it is.
        """
        with self._guard:
            if self._known is None or self._monotonic() - self._known[0] > _FRESH_SECONDS:
                self._known = self._monotonic(), self._ask()
            return self._known[1]

    def _ask(self) -> InHand:
        as_of = self._audit.now()
        try:
            reader = self._reader()
            # Where a group with members has no offset yet, everything is in their hands.
            known = {part.number: (part.committed or 0, part.end) for part in reader.partitions()}
            if not reader.members():
                return InHand(by_time="no worker is in the consumer group")
        except PortalPulseError as error:
            return InHand(by_time=error.problem.rstrip("."))
        # An offset beyond the end was committed in an earlier topic of the same name and says nothing of this one.
        partitions = {number: (committed, end) for number, (committed, end) in known.items() if committed <= end}
        return InHand(Acknowledged(self._topic, as_of, partitions))


class AuditService:
    """One audit step at a time.

    Args:
        topic: name of the topic, and what makes its reader; asked only when Kafka is audited.
        clock: the wall clock: it says which events cannot have happened yet.
        wait: sleeps for so many seconds.
    """

    def __init__(
        self,
        audit: TallyAudit,
        *,
        store: EventStore,
        repair: TallyRepair,
        topic: tuple[str, Callable[[], TopicReader]],
        decoder: Decoder,
        clock: Clock,
        future_tolerance: dt.timedelta,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self._audit, self._store, self._repair, self._wait = audit, store, repair, wait
        self._topic, self._topic_reader = topic
        self._in_hand = WorkInHand(audit, topic)
        self._decoder, self._clock, self._future_tolerance = decoder, clock, future_tolerance

    def days(self, first: dt.date | None, last: dt.date | None) -> dict[str, int]:
        """Civil days with events or tallies, ascending, and their rows of events."""
        return {day.isoformat(): rows for day, rows in self._audit.civil_days(first, last).items()}

    def look(self, day: dt.date, *, settle: float) -> dict[str, Any]:
        """One look at a day, as ``DayComparison.from_fields`` reads it.

        With ``settle`` 0 every stored event must be tallied. Otherwise events that the workers have in hand need not, as far
        as Kafka tells which these are; where it does not, events of the last ``settle`` seconds need not.
        """
        in_hand = self._in_hand() if settle else InHand()
        return look_at(self._audit, day, settle=dt.timedelta(seconds=settle), in_hand=in_hand).as_fields()

    def contradictions(self, day: dt.date) -> dict[str, Any]:
        """Events of a day stored with different contents."""
        return _repeats(self._audit.contradictions(day, limit=_EXAMPLES))

    def repeats(self, days: tuple[dt.date, dt.date] | None, *, share: tuple[int, int]) -> dict[str, Any]:
        """Ids of several events, and dossiers settled by several, within one share of all names."""
        part = HashShard(*share)
        return {
            "scattered": _repeats(self._audit.reused_event_ids(days, part, limit=_EXAMPLES)),
            "settled_twice": _repeats(self._audit.settled_twice(days, part, limit=_EXAMPLES)),
        }

    def repair(self, day: dt.date, agencies: Sequence[str] | None, *, raise_epoch: bool) -> dict[str, Any]:
        """Recount a day in every tier, for some agencies or all; first make recounts win over anything there is if asked."""
        if not FIRST_DAY <= day <= LAST_DAY:
            raise ConfigurationError(f"No event lies on {day}.", remedy=f"Repair a day from {FIRST_DAY} to {LAST_DAY}.")
        epoch = None
        if raise_epoch:
            epoch = self._repair.raise_epoch(f"repair of {day.isoformat()}")
            self._wait(_QUERY_START_GRACE)
        chosen = None if agencies is None else tuple(agencies)
        days = Days((day,), chosen)
        self._store.recount_minutes(Span(*Period(day, day).instants(), chosen))
        self._repair.clear_orphans(Tier.MINUTE, day)
        self._store.roll_up_days(days)
        self._repair.clear_orphans(Tier.DAY, day)
        self._store.recount_procedures(days)
        self._repair.clear_orphans(Tier.PROCEDURE, day)
        return {"epoch": epoch}

    def tidy(self, days: Sequence[dt.date]) -> dict[str, Any]:
        """Remove what a raised epoch replaced; ``problem`` says why the storage left it to its own merges."""
        try:
            for tier in Tier:
                self._repair.purge_superseded(tier, days)
        except SinkError as error:
            return {"problem": str(error)}
        return {"problem": ""}

    def partitions(self) -> dict[str, Any]:
        """Per partition of the topic: begin, end and committed offset in Kafka, and the highest offset kept."""
        partitions = self._topic_reader().partitions()
        kept = self._audit.newest_positions(self._topic)
        return {
            "topic": self._topic,
            "partitions": [
                {
                    "partition": part.number,
                    "begin": part.begin,
                    "committed": part.committed,
                    "end": part.end,
                    "highest_kept": kept.get(part.number),
                }
                for part in partitions
            ],
        }

    def unread(self) -> dict[str, Any]:
        """Recorded offsets that left the log before they were read, as disjoint ranges, and how many of each are kept anyway.

        A worker that died after it had stored messages and before it acknowledged them leaves such ranges.
        """
        ranges: dict[int, list[tuple[int, int]]] = {}
        for unread in self._audit.unread(self._topic):
            ranges.setdefault(unread.partition, []).append((unread.first, unread.end))
        listed = [(partition, *found) for partition in sorted(ranges) for found in merged(ranges[partition])]
        kept = self._audit.kept_within(self._topic, listed)
        return {
            "topic": self._topic,
            "ranges": [
                {"partition": partition, "first": first, "end": end, "kept": count}
                for (partition, first, end), count in zip(listed, kept, strict=True)
            ],
        }

    def verify(self, partition: int, begin: int, end: int) -> dict[str, Any]:
        """Read messages of the log and look each of them up; ``missing`` holds offsets of some that are kept in no form."""
        messages, missing = 0, []
        for portion in self._topic_reader().messages(partition, begin, end):
            messages += len(portion)
            missing += [offset for _, offset in self._audit.missing(self._asked(partition, portion))]
        return {"messages": messages, "missing": len(missing), "examples": missing[:_EXAMPLES]}

    def _asked(self, partition: int, portion: Sequence[tuple[int, bytes | None]]) -> pa.Table:
        """Messages and the events they hold, in the columns of ``TallyAudit.missing``."""
        latest = self._clock.now() + self._future_tolerance
        events = self._decoder.decode([value for _, value in portion], latest=latest).events
        columns = {name: events.column(name).cast(kind) for name, kind in _ASKED.items()}
        held = pa.table({"position": events.column("position").cast(pa.int64()), **columns})
        every = pa.table(
            {
                "position": pa.array(range(len(portion)), pa.int64()),
                "topic": pa.array([self._topic] * len(portion), pa.string()),
                "partition": pa.array([partition] * len(portion), pa.int32()),
                "offset": pa.array([offset for offset, _ in portion], pa.int64()),
            }
        )
        return every.join(held, "position").drop_columns(["position"])


_ASKED = {"agency": pa.string(), "occurred_at": pa.timestamp("ms", "UTC"), "event_id": pa.string()}


def look_at(audit: TallyAudit, day: dt.date, *, settle: dt.timedelta, in_hand: InHand) -> DayComparison:
    """Every scope of a day compared once. Kafka must have been asked for ``in_hand`` before."""
    scopes = {}
    for scope in Tier:
        found = audit.compare(Tier(scope.value), day, settle=settle, limit=_LISTED, acknowledged=in_hand.acknowledged)
        findings = tuple(_finding(difference) for difference in found.differences)
        scopes[scope] = TierComparison(
            found.buckets, found.differing, found.drift, found.stuck, findings, late=found.late, in_hand=found.in_hand
        )
    return DayComparison(day, scopes, in_hand.by_time)


def _finding(difference: Difference) -> Finding:
    return Finding(
        scope=difference.tier.value,
        agency=difference.agency,
        bucket=difference.bucket.isoformat(),
        procedure=difference.procedure,
        due=_fields(difference.due),
        stored=_fields(difference.stored),
        tallied=_fields(difference.tallied),
        stored_last=None if difference.stored_last is None else difference.stored_last.isoformat(timespec="milliseconds"),
        tallied_last=None if difference.tallied_last is None else difference.tallied_last.isoformat(timespec="milliseconds"),
        drift=difference.drift,
    )


def _fields(counts: Counts) -> Mapping[str, int]:
    return {name: getattr(counts, name) for name in Counts.__slots__}


def _repeats(found: Repeats) -> dict[str, Any]:
    return {
        "count": found.count,
        "examples": {
            name: [
                {
                    "agency": sight.agency,
                    "occurred_at": sight.occurred_at.isoformat(timespec="milliseconds"),
                    "id": sight.event_id,
                }
                for sight in sights
            ]
            for name, sights in found.examples.items()
        },
    }


@dataclass(frozen=True, slots=True)
class AuditState:
    """What the continuous audit exports: confirmed drift by scope, when it last succeeded, how often it failed."""

    drift: Mapping[Tier, int] = field(default_factory=lambda: dict.fromkeys(Tier, 0))
    last_success: dt.datetime | None = None
    failures: int = 0


class ContinuousAudit:
    """Looks at days that events arrive for, at days that looked wrong, and in turn at all others, at a bounded cost.

    Whatever goes wrong here is counted, logged and tried again: an audit never stops the process it runs in.

    Args:
        interval: least rest between rounds in seconds; a round goes on until it used up its share of one.
        duty: a rest is at least so many times as long as its round.
        settle: an event that Kafka says nothing about must be tallied when it has been stored for so many seconds.
        in_hand: asks Kafka which events the workers have in hand.
        clock: the wall clock.
    """

    def __init__(
        self,
        audit: TallyAudit,
        *,
        interval: float,
        duty: float,
        settle: float,
        in_hand: Callable[[], InHand],
        clock: Clock,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._audit, self._interval, self._duty = audit, interval, duty
        self._settle = dt.timedelta(seconds=settle)
        self._clock, self._monotonic = clock, monotonic
        self._ask_in_hand, self._in_hand = in_hand, InHand()
        self._book = DriftTracker()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._asked: float | None = None  # when the days touched lately were last asked for
        self.state = AuditState()  # replaced as a whole, so that readers need no lock

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread = threading.Thread(target=self._run, name="audit", daemon=True)
        self._thread.start()

    def stop(self, *, grace: float) -> None:
        """Ask it to end and wait for at most ``grace`` seconds; it reads only, so it may be left behind."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(grace)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._stopping.wait(self.round())

    def round(self) -> float:
        """Look at as many days as one round may; returns how long to rest now (seconds)."""
        began = self._monotonic()
        try:
            self._ask()
            began = self._monotonic()  # waiting for Kafka costs the storage nothing
            self._look_around(began)
        except Exception as error:  # noqa: BLE001 - see the class
            self.state = AuditState(self.state.drift, self.state.last_success, self.state.failures + 1)
            log.warning("audit_failed", error=str(error) or repr(error), failures=self.state.failures)
        else:
            self.state = AuditState(self._book.drift(), self._clock.now(), self.state.failures)
        return max(self._interval, self._duty * (self._monotonic() - began))

    def _ask(self) -> None:
        """Ask Kafka which events the workers have in hand; an old answer would call more of them so, never fewer."""
        before, self._in_hand = self._in_hand, self._ask_in_hand()
        if self._in_hand.by_time != before.by_time:
            settle = self._settle.total_seconds()
            log.info("audit_judges_by", kafka=not self._in_hand.by_time, reason=self._in_hand.by_time, settle_seconds=settle)

    def _look_around(self, began: float) -> None:
        if self._book.round_done:
            self._book.know(self._audit.civil_days())
        since = self._settle + _INSERT_GRACE
        if self._asked is not None:
            since += dt.timedelta(seconds=began - self._asked)
        queues = self._book.plan(self._audit.recently_stored_days(since))
        self._asked = began
        budget = self._interval / self._duty
        for number in range(max(map(len, queues), default=0)):
            for queue in queues:
                if self._stopping.is_set() or (number and self._monotonic() - began > budget):
                    return
                if number < len(queue):
                    self._look(queue[number])

    def _look(self, day: dt.date) -> None:
        before = self._book.confirmed_drift(day)
        found = self._book.looked(look_at(self._audit, day, settle=self._settle, in_hand=self._in_hand))
        if found.drift == before:
            return
        if not found.drift:
            log.info("audit_drift_gone", day=day.isoformat())
            return
        example = next((look.findings[0] for look in found.scopes.values() if look.findings), None)
        log.error(
            "audit_drift",
            day=day.isoformat(),
            remedy="portalpulse audit --repair",
            **{scope.value: look.drift for scope, look in found.scopes.items() if look.drift},
            **({} if example is None else {"agency": example.agency, "bucket": example.bucket, "wrong": str(example.wrong)}),
        )
