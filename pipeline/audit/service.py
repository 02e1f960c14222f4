"""Does the steps of an audit on the storage and Kafka. Commands call it directly, or over HTTP (``pipeline.audit.routes``)."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Mapping, Sequence

import pyarrow as pa

from domain.clock import Clock
from domain.errors import ConfigurationError
from domain.periods import FIRST_DAY, LAST_DAY, Period
from domain.tiers import Tier
from pipeline.audit.compare import compare_day
from pipeline.audit.dossier_check import DossierFaults, check_share
from pipeline.audit.dossier_repair import DossierRepair, RepairedDossiers
from pipeline.audit.drift import DayComparison
from pipeline.audit.in_hand import InHand, WorkInHand
from pipeline.audit.steps import LookedUp, PartitionOffsets, TopicOffsets, UnreadLog, UnreadOffsets
from pipeline.audit.topic_log import TopicReader
from pipeline.decode.decoder import Decoder
from pipeline.ingest.unread_offsets import merged_ranges
from sinks.contract.audit import HashShard, Repeats, TallyAudit, TallyRepair
from sinks.contract.dossier_audit import DossierAudit, DossierSelection
from sinks.contract.dossiers import DossierIndex
from sinks.contract.events import EventStore
from sinks.contract.expiry import ExpiredTotal
from sinks.contract.tallies import Days, Span
from sinks.errors import SinkError

#: Examples of repeats or missing messages in one answer.
_EXAMPLES = 20
#: Grace for recounts that started under the old epoch (seconds).
_QUERY_START_GRACE = 1.0
#: Columns of the event in ``TallyAudit.missing``.
_EVENT_COLUMNS = {
    "agency": pa.string(),
    "occurred_at": pa.timestamp("ms", "UTC"),
    "event_id": pa.string(),
    "dossier_code": pa.string(),
    "status": pa.uint8(),
}


class AuditService:
    """Implements ``AuditSteps``; see there for what each step returns.

    Args:
        audit: compares tallies with stored events.
        store: recounts tallies.
        repair: raises epochs and deletes rows of tallies.
        dossiers: reads and deletes dossiers for check and repair.
        index: the index of dossiers.
        topic: name of the topic, and a function that makes its reader, called only by steps that need Kafka.
        decoder: reads events from the messages of the topic.
        clock: the wall clock; events dated later than now plus ``future_tolerance`` are invalid.
        future_tolerance: see ``clock``.
        portals: the topics of portals, when there is one for each; ``topic`` is then a name for all of them together.
        portal_of: the portal to which a topic belongs; None: any agency may report in it.
        expired: tells how many messages expired.
        wait: sleeps for a number of seconds.
    """

    def __init__(
        self,
        audit: TallyAudit,
        *,
        store: EventStore,
        repair: TallyRepair,
        dossiers: DossierAudit,
        index: DossierIndex,
        topic: tuple[str, Callable[[], TopicReader]],
        decoder: Decoder,
        clock: Clock,
        future_tolerance: dt.timedelta,
        portals: Sequence[str] = (),
        portal_of: Callable[[str], str | None] = lambda _topic: None,
        expired: Callable[[], ExpiredTotal] = ExpiredTotal,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self._audit, self._store, self._repair, self._wait = audit, store, repair, wait
        self._dossiers, self._dossier_repair = dossiers, DossierRepair(dossiers, index)
        self._topic, self._topic_reader = topic
        self._portals, self._portal_of = tuple(portals), portal_of
        self._in_hand = WorkInHand(audit, topic)
        self._expired = expired
        self._decoder, self._clock, self._future_tolerance = decoder, clock, future_tolerance

    def days(self, first: dt.date | None, last: dt.date | None) -> Mapping[dt.date, int]:
        """Civil days with events or tallies, and the number of event rows of each."""
        return self._audit.civil_days(first, last)

    def compare(self, day: dt.date, *, settle: float) -> DayComparison:
        """Compare the tallies of a day with its stored events."""
        return compare_day(self._audit, day, settle=dt.timedelta(seconds=settle), in_hand=self._in_hand_at(settle))

    def contradictions(self, day: dt.date) -> Repeats:
        """Events of a day that are stored with different contents."""
        return self._audit.contradictions(day, limit=_EXAMPLES)

    def reused_event_ids(self, days: tuple[dt.date, dt.date] | None, shard: HashShard) -> Repeats:
        """Event ids that are used in several dossiers, of one hash shard of all ids."""
        return self._audit.reused_event_ids(days, shard, limit=_EXAMPLES)

    def dossiers(self, selection: DossierSelection, *, settle: float) -> DossierFaults:
        """Check the index rows and corrections of the selected dossiers."""
        in_hand = self._in_hand_at(settle)
        return check_share(self._dossiers, selection, settle=dt.timedelta(seconds=settle), in_hand=in_hand)

    def repair_dossiers(self, selection: DossierSelection, *, settle: float) -> RepairedDossiers:
        """Repair the index rows and corrections of the selected dossiers."""
        in_hand = self._in_hand_at(settle)
        return self._dossier_repair(selection, settle=dt.timedelta(seconds=settle), in_hand=in_hand)

    def _in_hand_at(self, settle: float) -> InHand:
        """What the workers have in hand. With ``settle`` 0 every stored event must be tallied, and Kafka is not asked."""
        return self._in_hand() if settle else InHand()

    def repair(self, day: dt.date, agencies: Sequence[str] | None, *, raise_epoch: bool) -> int | None:
        """Recount a day in every tier and delete its orphans; return the new epoch when ``raise_epoch`` asks for one.

        Raises:
            ConfigurationError: no table can hold events of that day.
        """
        if not FIRST_DAY <= day <= LAST_DAY:
            raise ConfigurationError(f"No event lies on {day}.", remedy=f"Repair a day from {FIRST_DAY} to {LAST_DAY}.")
        epoch = None
        if raise_epoch:
            epoch = self._repair.raise_epoch(f"repair of {day.isoformat()}")
            self._wait(_QUERY_START_GRACE)
        chosen = None if agencies is None else tuple(agencies)
        days = Days((day,), chosen)
        self._store.recount_minutes(Span(*Period(day, day).instants(), chosen))
        self._store.check_tables()  # hidden events must not make a tally an orphan
        self._repair.clear_orphans(Tier.MINUTE, day)
        self._store.roll_up_days(days)
        self._store.check_tables()
        self._repair.clear_orphans(Tier.DAY, day)
        self._store.recount_procedures(days)
        self._store.check_tables()
        self._repair.clear_orphans(Tier.PROCEDURE, day)
        return epoch

    def compact(self, days: Sequence[dt.date]) -> str:
        """Remove the rows that a raised epoch replaced; return why this failed, empty when it did not."""
        try:
            for tier in Tier:
                self._repair.purge_superseded(tier, days)
        except SinkError as error:
            return str(error)
        return ""

    def partitions(self) -> TopicOffsets:
        """Offsets of every partition in the log, acknowledged, and in the storage."""
        partitions = self._topic_reader().partitions()
        topics = {part.topic for part in partitions}
        kept = {topic: self._audit.newest_positions(topic or self._topic) for topic in topics}
        return TopicOffsets(
            self._topic,
            tuple(
                PartitionOffsets(part.number, part.begin, part.committed, part.end, kept[part.topic].get(part.number), part.topic)
                for part in partitions
            ),
        )

    def unread(self) -> UnreadLog:
        """The recorded ranges of offsets that left the log before a worker read them."""
        return UnreadLog(self._topic, tuple(found for topic in self._portals or ("",) for found in self._unread_of(topic)))

    def expired(self) -> ExpiredTotal:
        """How many messages and dossiers expired."""
        return self._expired()

    def _unread_of(self, topic: str) -> Sequence[UnreadOffsets]:
        """The recorded ranges of unread offsets of one topic."""
        ranges: dict[int, list[tuple[int, int]]] = {}
        for unread in self._audit.unread(topic or self._topic):
            ranges.setdefault(unread.partition, []).append((unread.first, unread.end))
        listed = [(partition, *found) for partition in sorted(ranges) for found in merged_ranges(ranges[partition])]
        kept = self._audit.kept_within(topic or self._topic, listed)
        return [UnreadOffsets(*offsets, count, topic) for offsets, count in zip(listed, kept, strict=True)]

    def verify(self, partition: int, begin: int, end: int, *, topic: str = "") -> LookedUp:
        """Read the messages of a range of offsets from the log and look up each in the storage.

        Raises:
            ConfigurationError: no worker reads ``topic``.
        """
        if topic not in (self._portals or ("",)):
            raise ConfigurationError(f"No worker reads the topic {topic!r}.", remedy="Name a topic of /api/v1/audit/partitions.")
        messages, missing = 0, []
        for batch in self._topic_reader().messages(partition, begin, end, topic=topic):
            messages += len(batch)
            missing += [offset for _, offset in self._audit.missing(self._messages_table(topic or self._topic, partition, batch))]
        return LookedUp(messages, len(missing), tuple(missing[:_EXAMPLES]))

    def _messages_table(self, topic: str, partition: int, batch: Sequence[tuple[int, bytes | None]]) -> pa.Table:
        """A table of messages and the events in them, with the columns that ``TallyAudit.missing`` needs."""
        latest = self._clock.now() + self._future_tolerance
        portals = [(self._portal_of(topic), len(batch))]
        events = self._decoder.decode([value for _, value in batch], latest=latest, portals=portals).events
        columns = {name: events.column(name).cast(kind) for name, kind in _EVENT_COLUMNS.items()}
        held = pa.table({"position": events.column("position").cast(pa.int64()), **columns})
        every = pa.table(
            {
                "position": pa.array(range(len(batch)), pa.int64()),
                "topic": pa.array([topic] * len(batch), pa.string()),
                "partition": pa.array([partition] * len(batch), pa.int32()),
                "offset": pa.array([offset for offset, _ in batch], pa.int64()),
            }
        )
        return every.join(held, "position").drop_columns(["position"])
