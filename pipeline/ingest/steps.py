"""The steps from fetched messages to acknowledged ones, always in this order: decode, store, recount, acknowledge.

A fetch is acknowledged when its messages are stored and every tally of them has been recounted since. After an earlier failure
Kafka delivers the fetch again: the set of stored events does not change, and its tallies are recounted again.

No step starts a thread. ``pipeline.ingest.delivery`` runs them in threads; a test may run them one by one.
"""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Callable, Sequence

from domain.clock import Clock
from pipeline.decode.decoder import Decoder
from pipeline.ingest.acknowledger import Acknowledger
from pipeline.ingest.dead_letter_guard import DeadLetterGuard, NoCheckpoints
from pipeline.ingest.dead_letter_limit import DeadLetterLimit
from pipeline.ingest.decode_step import DecodedBatch, DecodeStep
from pipeline.ingest.dirty_buckets import DirtyBuckets
from pipeline.ingest.dossier_tier import DossierTier
from pipeline.ingest.fetch import Fetch
from pipeline.ingest.memory_budget import MemoryBudget
from pipeline.ingest.pace import DAY_REST, MINUTE_REST, PROCEDURE_REST, RestPolicy, StorePace
from pipeline.ingest.recounter import Recounter
from pipeline.ingest.storage_retry import StorageRetry
from pipeline.ingest.store_step import StoreStep
from pipeline.metrics import WorkerMetrics
from pipeline.settings import IngestSettings
from sinks.contract.dead_letters import DeadLetterLimitStore
from sinks.contract.dossiers import DossierIndex
from sinks.contract.events import EventStore, UnreadRange

#: Switches the limit off.
NO_LIMIT = DeadLetterLimit(0, 0, 0)
#: The worker is busy while its last fetch is younger than this (seconds).
_BUSY_SECONDS = 1.0
#: While too many dossiers wait to be resolved: how often to check whether storing may continue (seconds).
_FULL_CHECK_SECONDS = 0.01


class IngestSteps:
    """The steps of one worker and the objects that they share.

    Args:
        decoder: turns message values into events and rejections.
        store: stores messages and recounts tallies.
        index: the index of dossiers.
        settings: the settings of the ingest.
        metrics: the worker's metrics.
        clock: the wall clock, also in a scenario: it only decides which events lie in the future.
        acknowledge: called with fetches that are stored and counted, from the thread that counted the last of them.
        limit: the dead-letter limit; the worker stops before it acknowledges a batch with too many dead letters.
        checkpoints: keeps the counts of the limit across restarts; None: counts start with the worker.
        portal_of: the portal to which a topic belongs; None: any agency may report in it.
    """

    def __init__(
        self,
        *,
        decoder: Decoder,
        store: EventStore,
        index: DossierIndex,
        settings: IngestSettings,
        metrics: WorkerMetrics,
        clock: Clock,
        acknowledge: Callable[[Sequence[Fetch]], None],
        limit: DeadLetterLimit = NO_LIMIT,
        checkpoints: DeadLetterLimitStore | None = None,
        portal_of: Callable[[str], str | None] = lambda _topic: None,
    ) -> None:
        self._store, self._metrics = store, metrics
        #: Set when the worker stops; the steps then end without finishing their work.
        self.stopping = threading.Event()
        self._last_offer = -_BUSY_SECONDS
        self._flood_rows, self._large_batch = settings.max_unstored_rows // 2, settings.batch_rows // 2
        self.budget = MemoryBudget(rows=settings.max_unstored_rows, size=settings.max_unstored_bytes)
        #: How far apart batches are stored.
        self.pace = StorePace(settings.store_interval_ms / 1000)
        self.retrying = StorageRetry(clock)
        self.dirty_buckets = DirtyBuckets()
        self.decode = DecodeStep(
            decoder,
            DeadLetterGuard(limit, checkpoints or NoCheckpoints(), retrying=self.retrying, stopping=self.stopping),
            clock=clock,
            future_tolerance=dt.timedelta(seconds=settings.future_tolerance_seconds),
            max_rows=2 * settings.batch_rows,  # gathered up to batch_rows, and the last fetch as a whole
            metrics=metrics,
            portal_of=portal_of,
        )
        self._store_step = StoreStep(store, self.retrying)
        self.dossiers = DossierTier(
            dirty_buckets=self.dirty_buckets,
            index=index,
            retrying=self.retrying,
            agencies=decoder.agencies,
            interval=settings.dossier_interval_ms / 1000,
            on_resolved=self._resolved,
            flooded=self.is_flooded,
            stopping=self.stopping,
        )
        self.acknowledger = Acknowledger(
            self.dirty_buckets,
            acknowledge,
            metrics,
            check_tables=lambda: self.retrying(store.check_tables),
            confirm=self.dossiers.confirm,
        )
        self.recounter = Recounter(
            dirty_buckets=self.dirty_buckets,
            store=store,
            retrying=self.retrying,
            agencies=decoder.agencies,
            minutes=RestPolicy(settings.minute_interval_ms / 1000, *MINUTE_REST),
            days=RestPolicy(settings.day_interval_ms / 1000, *DAY_REST),
            procedures=RestPolicy(settings.procedure_interval_ms / 1000, *PROCEDURE_REST),
            on_counted=self.acknowledger.acknowledge_counted,
            busy=self._is_busy,
            flooded=self.is_flooded,
            stopping=self.stopping,
        )

    def offer(self, fetch: Fetch) -> None:
        """Take over a fetch, which counts in the memory budget until it is stored."""
        self.budget.reserve(fetch.messages, fetch.size)
        self.acknowledger.fetched(fetch.messages)
        self._last_offer = time.monotonic()

    def store(self, batch: DecodedBatch) -> None:
        """Store a batch; its dossiers and tallies become due. Waits while the storage is unavailable.

        Raises:
            DeadLetterLimitError, StoppedError: see ``StoreStep``. Nothing of the batch is acknowledged.
        """
        while self.dossiers.full and not self.stopping.wait(_FULL_CHECK_SECONDS):
            pass
        began = time.monotonic()
        stored = self._store_step(batch)
        self.pace.stored(batch.rows.num_rows, time.monotonic() - began)
        self._metrics.events.labels(outcome="stored").inc(stored.num_rows)
        self._metrics.events.labels(outcome="dead_letter").inc(len(batch.dead_letters) + batch.rows.num_rows - stored.num_rows)
        defer = self.is_flooded() or stored.num_rows >= self._large_batch
        whole = self.acknowledger.batch_stored(batch, self.dossiers.add(stored, at_once=defer), defer=defer)
        self.budget.release(sum(fetch.messages for fetch in whole), sum(fetch.size for fetch in whole))
        self.dossiers.wake()
        self.recounter.wake()
        if not batch.dirty_hours:
            self.acknowledger.acknowledge_counted()

    def record_unread(self, ranges: Sequence[UnreadRange]) -> None:
        """Record offsets that left the log before they were read. Waits while the storage is unavailable."""
        self.retrying(lambda: self._store.insert_unread(ranges))

    def _resolved(self) -> None:
        """After dossiers were resolved: start the recounts of corrected hours, and acknowledge batches that need no recount."""
        self.recounter.wake()
        self.acknowledger.acknowledge_counted()

    def is_flooded(self) -> bool:
        """Whether messages arrive faster than they can be stored."""
        return self.budget.rows > self._flood_rows

    def _is_busy(self) -> bool:
        """Whether messages wait to be stored, or arrived within the last second, so that recounts must leave time for storing."""
        return self.budget.rows > 0 or time.monotonic() - self._last_offer < _BUSY_SECONDS
