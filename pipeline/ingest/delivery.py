"""The threads of one worker.

    decode       fetches -> batches of columns (mostly outside the interpreter lock)
    store (2)    events and dead letters -> ClickHouse
    resolve      dossiers of stored messages -> corrections
    recount (3)  one thread for each tier of tallies; they also acknowledge
    more         other loops of the worker: an error in one of them stops the worker, too

``pipeline.ingest.steps`` has what the threads do, and in which order.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType

from pipeline.ingest.dead_letter_guard import StoppedError
from pipeline.ingest.decode_step import DecodedBatch
from pipeline.ingest.fetch import Fetch
from pipeline.ingest.steps import IngestSteps
from pipeline.settings import IngestSettings

_STORE_THREADS = 2
#: How often a waiting thread checks whether the worker stops (seconds).
_STOP_CHECK_SECONDS = 0.2
#: While a batch is gathered: how long to wait for a further fetch before checking whether to wait longer (seconds).
_GATHER_SECONDS = 0.01


class Delivery:
    """Runs the threads. Call ``start``, then ``offer`` with each fetch, then ``stop``.

    Args:
        steps: what the threads run.
        settings: how fetches are gathered into batches.
        fail: called with the error that ended a thread; it must stop the worker.
        loops: name of a thread -> another loop to run; a loop returns when ``steps.stopping`` is set.
    """

    def __init__(
        self,
        steps: IngestSteps,
        *,
        settings: IngestSettings,
        fail: Callable[[BaseException], None],
        loops: Mapping[str, Callable[[], None]] = MappingProxyType({}),
    ) -> None:
        self.steps = steps
        self._settings, self._fail, self._stopping = settings, fail, steps.stopping
        self._fetched: queue.Queue[Fetch] = queue.Queue()  # bounded by the memory budget
        self._decoded: queue.Queue[DecodedBatch] = queue.Queue(1)
        self._lock = threading.Lock()
        self._storing = 0  # batches being stored now
        self._next_batch = 0.0  # before this time only a full batch is handed on
        self._threads = [
            self._thread("decode", self._decode_loop),
            *(self._thread(f"store-{number}", self._store_loop) for number in range(_STORE_THREADS)),
            self._thread("resolve-dossiers", self.steps.dossiers.run),
            self._thread("recount-minutes", self.steps.recounter.run_minutes),
            self._thread("roll-up-days", self.steps.recounter.run_days),
            self._thread("recount-procedures", self.steps.recounter.run_procedures),
            *(self._thread(name, loop) for name, loop in loops.items()),
        ]

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def offer(self, fetch: Fetch) -> None:
        """Take over a fetch. Never blocks: the caller checks ``steps.budget`` first."""
        self.steps.offer(fetch)
        self._fetched.put(fetch)

    def stop(self, *, grace: float) -> bool:
        """Stop the threads; return whether all ended within ``grace`` seconds. Kafka redelivers unfinished fetches."""
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
                for batch in self.steps.decode(fetches):
                    self._hand_on(batch)
                    if self._stopping.is_set():
                        return

    def _hand_on(self, batch: DecodedBatch) -> None:
        """Put the batch into the queue of the store threads. Waits while the queue is full and the worker does not stop."""
        while not self._stopping.is_set():
            try:
                self._decoded.put(batch, timeout=_STOP_CHECK_SECONDS)
            except queue.Full:
                continue
            return

    def _gather(self) -> list[Fetch]:
        """Fetches for one batch: those that arrive until ``StorePace.pause`` seconds after the batch before was gathered.

        So the first message after a pause is stored at once, and a steady flow costs few statements. While the storage is busy,
        a batch gathers fetches for at least ``linger_ms``. A full batch does not wait. Empty when no fetch arrives for a moment.
        """
        try:
            fetches = [self._fetched.get(timeout=_STOP_CHECK_SECONDS)]
        except queue.Empty:
            return []
        messages = fetches[0].messages
        lingered = time.monotonic() + self._settings.linger_ms / 1000
        while messages < self._settings.batch_rows:
            left = (max(self._next_batch, lingered) if self._storing else self._next_batch) - time.monotonic()
            try:
                fetches.append(self._fetched.get(timeout=max(0.0, min(left, _GATHER_SECONDS))))
                messages += fetches[-1].messages
            except queue.Empty:
                if left <= 0 or self._stopping.is_set():
                    break
        self._next_batch = time.monotonic() + self.steps.pace.pause()
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
                self.steps.store(batch)
            except StoppedError:
                return
            with self._lock:
                self._storing -= 1
