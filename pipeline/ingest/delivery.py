"""The threads of one worker, each bounded by the one before it.

    decode       fetches -> one batch of columns (mostly outside the interpreter lock)
    store (2)    events and dead letters -> ClickHouse
    recount (3)  one for each tier of tallies, and the acknowledging

What the threads do, and in which order, is in ``pipeline.ingest.steps``.
"""

from __future__ import annotations

import datetime as dt
import queue
import threading
import time
from collections.abc import Callable, Sequence

from domain.clock import Clock
from pipeline.decode.decoder import Decoder
from pipeline.ingest.dead_letter_guard import StoppedError
from pipeline.ingest.dead_letter_limit import DeadLetterLimit
from pipeline.ingest.decode_step import DecodedBatch
from pipeline.ingest.fetch import Fetch
from pipeline.ingest.memory_budget import MemoryBudget
from pipeline.ingest.steps import NO_LIMIT, IngestSteps
from pipeline.metrics import WorkerMetrics
from pipeline.settings import IngestSettings
from sinks.contract.dead_letters import DeadLetterLimitStore
from sinks.contract.events import EventStore, UnreadRange

_STORE_THREADS = 2
#: How often a waiting thread checks whether the worker stops (seconds).
_STOP_CHECK_SECONDS = 0.2
#: While a batch is gathered: how long to wait for a further fetch before checking whether the storage is idle (seconds).
_GATHER_SECONDS = 0.01


class Delivery:
    """Runs the threads. Construct, ``start``, ``offer`` fetches, ``stop``.

    Args:
        fail: called with the error that ended a thread; the worker must stop.

    The other arguments are those of ``IngestSteps``.
    """

    def __init__(
        self,
        *,
        decoder: Decoder,
        store: EventStore,
        settings: IngestSettings,
        metrics: WorkerMetrics,
        clock: Clock,
        acknowledge: Callable[[Sequence[Fetch]], None],
        fail: Callable[[BaseException], None],
        limit: DeadLetterLimit = NO_LIMIT,
        checkpoints: DeadLetterLimitStore | None = None,
    ) -> None:
        self._store, self._settings, self._fail = store, settings, fail
        self._stopping = threading.Event()
        self._steps = IngestSteps(
            decoder=decoder,
            store=store,
            settings=settings,
            metrics=metrics,
            clock=clock,
            acknowledge=acknowledge,
            stopping=self._stopping,
            limit=limit,
            checkpoints=checkpoints,
        )
        self._fetched: queue.Queue[Fetch] = queue.Queue()  # bounded by the memory budget
        self._decoded: queue.Queue[DecodedBatch] = queue.Queue(1)
        self._lock = threading.Lock()
        self._storing = 0  # batches being stored now
        self._threads = [
            self._thread("decode", self._decode_loop),
            *(self._thread(f"store-{number}", self._store_loop) for number in range(_STORE_THREADS)),
            self._thread("recount-minutes", self._steps.recounter.run_minutes),
            self._thread("roll-up-days", self._steps.recounter.run_days),
            self._thread("recount-procedures", self._steps.recounter.run_procedures),
        ]

    @property
    def budget(self) -> MemoryBudget:
        """The memory that fetched messages take. The consumer must not offer more while it is full."""
        return self._steps.budget

    @property
    def storage_unavailable_since(self) -> dt.datetime | None:
        """Since when the storage does not answer, or None."""
        return self._steps.retrying.unavailable_since

    @property
    def unacknowledged(self) -> int:
        """Messages offered and not yet acknowledged."""
        return self._steps.acknowledger.unacknowledged

    @property
    def stored(self) -> int:
        """Events stored by this worker, repeats included."""
        return self._steps.acknowledger.stored

    @property
    def visible(self) -> int:
        """Of the stored events, those in the minute tallies."""
        return self._steps.acknowledger.visible

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def offer(self, fetch: Fetch) -> None:
        """Take over a fetch. Never blocks: the caller checks ``budget`` first."""
        self._steps.offer(fetch)
        self._fetched.put(fetch)

    def record_unread(self, ranges: Sequence[UnreadRange]) -> None:
        """Record offsets that left the log before they were read. Waits while the storage is unavailable."""
        self._steps.retrying(lambda: self._store.insert_unread(ranges))

    def stop(self, *, grace: float) -> bool:
        """Stop the threads; returns whether all of them ended within ``grace`` seconds. Unfinished fetches are redelivered."""
        self._stopping.set()
        deadline = time.monotonic() + grace
        for thread in self._threads:
            if thread.is_alive():
                thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _thread(self, name: str, loop: Callable[[], None]) -> threading.Thread:
        def run() -> None:
            try:
                loop()
            except BaseException as error:  # noqa: BLE001 - on any error the worker must stop: Kafka still has the events
                self._stopping.set()
                self._fail(error)

        return threading.Thread(target=run, name=name, daemon=True)

    def _decode_loop(self) -> None:
        while not self._stopping.is_set():
            fetches = self._gather()
            if fetches:
                batch = self._steps.decode(fetches)
                while not self._stopping.is_set():
                    try:
                        self._decoded.put(batch, timeout=_STOP_CHECK_SECONDS)
                        break
                    except queue.Full:
                        continue

    def _gather(self) -> list[Fetch]:
        """Fetches for one batch: those that are waiting, and while the storage is busy also those of the next ``linger_ms``.

        So batches are small and early under light load, large and few under heavy load.
        """
        try:
            fetches = [self._fetched.get(timeout=_STOP_CHECK_SECONDS)]
        except queue.Empty:
            return []
        messages = fetches[0].messages
        deadline = time.monotonic() + self._settings.linger_ms / 1000
        while messages < self._settings.batch_rows:
            try:
                fetches.append(self._fetched.get(timeout=_GATHER_SECONDS if self._storing else 0.0))
                messages += fetches[-1].messages
            except queue.Empty:
                if not self._storing or time.monotonic() >= deadline:
                    break
        return fetches

    def _store_loop(self) -> None:
        while not self._stopping.is_set():
            try:
                batch = self._decoded.get(timeout=_STOP_CHECK_SECONDS)
            except queue.Empty:
                continue
            with self._lock:
                self._storing += 1
            try:
                self._steps.store(batch)
            except StoppedError:
                return
            with self._lock:
                self._storing -= 1
