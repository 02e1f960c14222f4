"""The acknowledge step: finds out which fetches are stored and counted in every tier, and acknowledges them.

The tables are checked once before each acknowledgement; the check covers all recounts since the acknowledgement before. A check
after every recount would cost more than the recount of a quiet minute.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence

from pipeline.ingest.decode_step import DecodedBatch
from pipeline.ingest.dirty_buckets import DirtyBuckets
from pipeline.ingest.dossier_resolver import TouchedDossiers
from pipeline.ingest.fetch import Fetch
from pipeline.metrics import WorkerMetrics


class Acknowledger:
    """Keeps stored batches until every tally of their messages is recounted, then acknowledges their fetches. Thread-safe.

    Args:
        dirty_buckets: what must still be recounted.
        acknowledge: called with fetches that are stored and counted, from the thread that counted the last of them.
        metrics: the worker's metrics.
        check_tables: raises when the recounts may have missed events (``EventStore.check_tables``); then nothing is acknowledged.
        confirm: called with the highest batch number up to which all are counted in every tier (``DossierTier.confirm``).
    """

    def __init__(
        self,
        dirty_buckets: DirtyBuckets,
        acknowledge: Callable[[Sequence[Fetch]], None],
        metrics: WorkerMetrics,
        *,
        check_tables: Callable[[], None],
        confirm: Callable[[int], None],
    ) -> None:
        self._dirty_buckets, self._acknowledge, self._metrics = dirty_buckets, acknowledge, metrics
        self._check_tables, self._confirm = check_tables, confirm
        self._acknowledging = threading.Lock()  # held during a check, so that fetches are acknowledged in order
        self._lock = threading.Lock()
        self._uncounted: deque[tuple[int, tuple[Fetch, ...]]] = deque()  # (batch, the fetches it completed), in order
        self._not_in_minutes: deque[tuple[int, int]] = deque()  # (batch, events) not yet in the minute tallies
        self._untallied: deque[tuple[int, int, int]] = deque()  # (batch, messages of the fetches it completed, events), in order
        self.unacknowledged = 0  # messages fetched and not yet acknowledged
        self.untallied = 0  # messages fetched and not yet tallied by minute and day, with their dossiers resolved
        self.stored = 0  # events stored by this worker, repeats included
        self.visible = 0  # of these, events in the minute tallies
        self.exact = 0  # of these, events tallied by minute and day, with their dossiers resolved

    def fetched(self, messages: int) -> None:
        """Count ``messages`` fetched messages as unacknowledged and untallied."""
        with self._lock:
            self.unacknowledged += messages
            self.untallied += messages

    def batch_stored(self, batch: DecodedBatch, dossiers: TouchedDossiers, *, defer: bool) -> tuple[Fetch, ...]:
        """Note that a batch is stored: its dossiers must be resolved, and its minutes, days and procedures recounted.

        Args:
            batch: the batch.
            dossiers: the dossiers of its stored rows.
            defer: whether its minutes are recounted only after the dossiers are resolved.

        Returns:
            The fetches of which now all messages are stored. Batches of one fetch may be stored in any order.
        """
        events = dossiers.messages
        with self._lock:  # the batch numbers must enter the deques in order
            number = self._dirty_buckets.batch_stored(batch.dirty_hours, dossiers, defer=defer)
            for fetch in batch.fetches:
                fetch.stored_batches += 1
            whole = tuple(fetch for fetch in batch.fetches if fetch.stored)
            self._uncounted.append((number, whole))
            self._not_in_minutes.append((number, events))
            self._untallied.append((number, sum(fetch.messages for fetch in whole), events))
            self.stored += events
        return whole

    def acknowledge_counted(self) -> None:
        """Check the tables, then acknowledge every fetch that is counted in all tiers.

        Raises:
            Fatal: the tables are not as they must be, so that recounts may have missed events.
        """
        visible, tallied = self._dirty_buckets.minutes_through(), self._dirty_buckets.tallied_through()
        with self._lock:
            while self._not_in_minutes and self._not_in_minutes[0][0] <= visible:
                self.visible += self._not_in_minutes.popleft()[1]
            while self._untallied and self._untallied[0][0] <= tallied:
                _, messages, events = self._untallied.popleft()
                self.untallied -= messages
                self.exact += events
        with self._acknowledging:
            counted = self._dirty_buckets.counted_through()
            with self._lock:
                batches = sum(1 for batch, _ in self._uncounted if batch <= counted)
            if not batches:
                return
            self._check_tables()  # after the last recount of these batches; batches counted meanwhile wait for the next check
            with self._lock:
                done = [fetch for _ in range(batches) for fetch in self._uncounted.popleft()[1]]
                messages = sum(fetch.messages for fetch in done)
                self.unacknowledged -= messages
            self._metrics.acknowledged.inc(messages)
            self._acknowledge(done)
            self._confirm(counted)
