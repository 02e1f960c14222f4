"""From fetched messages to acknowledged ones: decode, store, recount, acknowledge - in this order, never another.

Threads, each bounded by the one before it:

    decode       fetches -> one batch of columns (off the interpreter lock for the most part)
    store (2)    events and dead letters -> ClickHouse, within the dead-letter limit; then the ledger learns what they touched
    recount (3)  one for each tier of tallies (pipeline.ingest.recounter)

A fetch is acknowledged when it is stored and every tally it touched has been recounted since. Whatever happens before that
leaves it unacknowledged: it comes again, changes nothing in the set of events, and is recounted again.
"""

from __future__ import annotations

import datetime as dt
import json
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from domain.clock import Clock
from domain.events import Reason, Rejection
from pipeline.decode.decoder import Decoded, Decoder
from pipeline.ingest.dead_letter_guard import AssignedPart, BatchGuard, DeadLetterGuard, NoCheckpoints, StoppedError
from pipeline.ingest.dead_letter_limit import DeadLetterLimit
from pipeline.ingest.dirty_buckets import DirtyBuckets, DirtyHour, dirty_hours
from pipeline.ingest.event_rows import OffsetRange, with_positions
from pipeline.ingest.recounter import Recounter, RestPolicy
from pipeline.ingest.storage_retry import StorageRetry
from pipeline.logs import get_logger
from pipeline.metrics import WorkerMetrics
from pipeline.settings import IngestSettings
from sinks.contract.dead_letters import DeadLetter, DeadLetterLimitStore
from sinks.contract.events import EventStore, UnreadRange
from sinks.errors import RefusedRows

log = get_logger("delivery")

_STORERS = 2
#: Most dead letters inserted at once: each holds a message, which may be as large as the broker allows.
_LETTERS_AT_ONCE = 10_000
#: Without a limit nothing is counted across workers.
_NO_LIMIT = DeadLetterLimit(0, 0, 0)
#: While a batch gathers, how long to wait for a further fetch before looking whether the storage became idle.
_LOOK_SECONDS = 0.01
#: At most so many record batches are named in one line of the log.
_PLACES = 5
#: Traffic flows while the last message is younger than this.
_BUSY_SECONDS = 1.0
#: How long each tier rests after a round, in multiples of what the round cost; the second number in a flood. Minutes are what
#: people wait for: they may take half of the time. Days follow at leisure, procedures scan whole days.
_MINUTE_DUTY, _DAY_DUTY, _PROCEDURE_DUTY = (1.0, 9.0), (3.0, 9.0), (9.0, 27.0)


class MessageBatch(Protocol):
    """A stretch of consecutive messages of one partition, unpacked when asked."""

    @property
    def first_offset(self) -> int:
        """Offset of the first message."""
        ...

    def values(self) -> list[bytes | None]:
        """The message values; may be asked once."""
        ...

    def keys_and_offsets(self) -> list[tuple[bytes | None, int]]:
        """Key and offset of every message of ``values``, in its order; slow, for dead letters."""
        ...


@dataclass(slots=True)
class Fetch:
    """What one request to Kafka brought from one partition; acknowledged as a whole by its ``receipt``."""

    topic: str
    partition: int
    batches: Sequence[MessageBatch]
    messages: int  # at most: offsets may have holes
    size: int  # bytes, as fetched
    receipt: Any
    assignment: int = 0  # rises whenever partitions come or go


class MemoryBudget:
    """How much is held in memory; the fetching side pauses while it is full."""

    def __init__(self, *, rows: int, size: int) -> None:
        self._most_rows, self._most_size = rows, size
        self._guard = threading.Lock()
        self.rows = 0
        self.size = 0

    @property
    def full(self) -> bool:
        """Whether nothing more may be fetched for now."""
        return self.rows >= self._most_rows or self.size >= self._most_size

    def take(self, rows: int, size: int) -> None:
        """Account for messages handed out."""
        with self._guard:
            self.rows += rows
            self.size += size

    def release(self, rows: int, size: int) -> None:
        """Account for messages stored."""
        with self._guard:
            self.rows -= rows
            self.size -= size


@dataclass(frozen=True, slots=True)
class _Batch:
    """One decoded batch on its way to the storage."""

    rows: pa.Table
    positions: np.ndarray  # of the rows among the messages of the batch, ascending
    letters: tuple[DeadLetter, ...]
    touched: dict[int, DirtyHour]
    fetches: tuple[Fetch, ...]
    guard: BatchGuard


class Delivery:
    """Runs the threads of one worker. Construct, ``start``, ``offer`` fetches, ``stop``.

    Args:
        clock: the wall clock, also for scenarios: it only says which events cannot have happened yet.
        acknowledge: called with fetches that are stored and counted, from one of the threads.
        fail: called once with the error that ended a thread; the worker must stop.
        limit: stops the delivery before it acknowledges a batch that sets too much aside.
        checkpoints: where what the limit counts outlives this worker.
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
        limit: DeadLetterLimit = _NO_LIMIT,
        checkpoints: DeadLetterLimitStore | None = None,
    ) -> None:
        self.room = MemoryBudget(rows=settings.max_unstored_rows, size=settings.max_unstored_bytes)
        self._decoder, self._store, self._settings, self._metrics, self._clock = (
            decoder,
            store,
            settings,
            metrics,
            clock,
        )
        self._acknowledge, self._fail = acknowledge, fail
        self._stopping = threading.Event()
        self._last_offer = -_BUSY_SECONDS
        self._retrying = StorageRetry(clock)
        self._guard_of_letters = DeadLetterGuard(
            limit, checkpoints or NoCheckpoints(), patiently=self._retrying, stopping=self._stopping
        )
        self._batches = 0  # decoded so far
        self._fetched: queue.Queue[Fetch] = queue.Queue()  # bounded by the room
        self._decoded: queue.Queue[_Batch] = queue.Queue(1)
        self._ledger = DirtyBuckets()
        self._awaiting: deque[tuple[int, tuple[Fetch, ...]]] = deque()
        self._guard = threading.Lock()
        self.unacknowledged = 0  # messages offered and not yet acknowledged
        self._storing = 0  # batches being stored now
        self.stored = 0  # events stored by this worker, repeats included
        self.visible = 0  # of these, events in the minute tallies
        self._invisible: deque[tuple[int, int]] = deque()  # (batch, events) not yet in the minute tallies
        self._recounter = Recounter(
            ledger=self._ledger,
            store=store,
            patiently=self._retrying,
            agencies=decoder.agencies,
            minutes=RestPolicy(settings.minute_interval_ms / 1000, *_MINUTE_DUTY),
            days=RestPolicy(settings.day_interval_ms / 1000, *_DAY_DUTY),
            procedures=RestPolicy(settings.procedure_interval_ms / 1000, *_PROCEDURE_DUTY),
            on_counted=self._acknowledge_counted,
            busy=self._is_busy,
            flooded=lambda: self.room.rows > settings.max_unstored_rows // 2,
            stopping=self._stopping,
        )
        self._threads = [
            self._thread("decode", self._decode_loop),
            *(self._thread(f"store-{number}", self._store_loop) for number in range(_STORERS)),
            self._thread("recount-minutes", self._recounter.run_minutes),
            self._thread("roll-up-days", self._recounter.run_days),
            self._thread("recount-procedures", self._recounter.run_procedures),
        ]

    @property
    def storage_unavailable_since(self) -> dt.datetime | None:
        """Since when the storage does not answer, or None."""
        return self._retrying.unavailable_since

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def offer(self, fetch: Fetch) -> None:
        """Take over a fetch. Never blocks: whoever fetches must ask ``room`` first."""
        self.room.take(fetch.messages, fetch.size)
        with self._guard:
            self.unacknowledged += fetch.messages
        self._last_offer = time.monotonic()
        self._fetched.put(fetch)

    def record_unread(self, ranges: Sequence[UnreadRange]) -> None:
        """Record offsets that left the log before they were read; waits while the storage is away, however long."""
        self._retrying(lambda: self._store.insert_unread(ranges))

    def _is_busy(self) -> bool:
        """Whether messages are waiting to be stored, or came a moment ago: recounting must leave room for them."""
        return self.room.rows > 0 or time.monotonic() - self._last_offer < _BUSY_SECONDS

    def stop(self, *, grace: float) -> bool:
        """End the threads; returns whether all of them ended within ``grace`` seconds. What is unfinished comes again."""
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
            except BaseException as error:  # noqa: BLE001 - whatever it is, the worker must stop: Kafka holds the events
                self._stopping.set()
                self._fail(error)

        return threading.Thread(target=run, name=name, daemon=True)

    def _decode_loop(self) -> None:
        while not self._stopping.is_set():
            fetches = self._gather()
            if fetches:
                batch = self._decode(fetches)
                while not self._stopping.is_set():
                    try:
                        self._decoded.put(batch, timeout=0.2)
                        break
                    except queue.Full:
                        continue

    def _gather(self) -> list[Fetch]:
        """Fetches for one batch: what is there, and while the storage is busy also what comes within ``linger``.

        So batches are small and early when there is little to do, large and few under load.
        """
        try:
            fetches = [self._fetched.get(timeout=0.2)]
        except queue.Empty:
            return []
        messages = fetches[0].messages
        deadline = time.monotonic() + self._settings.linger_ms / 1000
        while messages < self._settings.batch_rows:
            try:
                fetches.append(self._fetched.get(timeout=_LOOK_SECONDS if self._storing else 0.0))
                messages += fetches[-1].messages
            except queue.Empty:
                if not self._storing or time.monotonic() >= deadline:
                    break
        return fetches

    def _decode(self, fetches: Sequence[Fetch]) -> _Batch:
        with self._metrics.decode_seconds.time():
            values: list[bytes | None] = []
            stretches: list[OffsetRange] = []
            parts: list[AssignedPart] = []
            batches: list[MessageBatch] = []
            for fetch in fetches:
                for batch in fetch.batches:
                    unpacked = batch.values()
                    if unpacked:
                        values += unpacked
                        stretches.append(OffsetRange(fetch.topic, fetch.partition, batch.first_offset, len(unpacked)))
                        parts.append(
                            AssignedPart((fetch.topic, fetch.partition), batch.first_offset, len(unpacked), fetch.assignment)
                        )
                        batches.append(batch)
            latest = self._clock.now() + dt.timedelta(seconds=self._settings.future_tolerance_seconds)
            decoded = self._decoder.decode(values, latest=latest)
            self._tell_unforeseen(decoded, len(values), stretches)
            letters = _letters(decoded.refusals, values, stretches, batches)
            del values, batches  # half of what a batch weighs
            positions = decoded.events.column("position").to_numpy()
            rows = with_positions(decoded.events, stretches) if decoded.events.num_rows else decoded.events
            touched = dirty_hours(
                pa.concat_arrays([chunk.indices for chunk in rows.column("agency").chunks]).to_numpy()
                if rows.num_rows
                else pa.array([], pa.int32()).to_numpy(),
                rows.column("occurred_at").cast(pa.int64()).to_numpy(),
            )
        for fetch in fetches:
            fetch.batches = ()  # the packed messages are not needed any more
        self._metrics.slow_path.inc(decoded.judged)
        guard = self._guard_of_letters.batch(self._batches, parts, [position for position, _ in decoded.refusals], letters)
        self._batches += 1
        return _Batch(rows, positions, letters, touched, tuple(fetches), guard)

    def _tell_unforeseen(self, decoded: Decoded, messages: int, stretches: Sequence[OffsetRange]) -> None:
        """Log and count what is a fault of this program and not of the messages; the messages themselves are safe."""
        places = [f"{stretch.topic}/{stretch.partition}@{stretch.offset}" for stretch in stretches]
        if decoded.bulk_error:
            self._metrics.bulk_failures.inc()
            log.error("bulk_decoding_failed", error=decoded.bulk_error, messages=messages, batches=places[:_PLACES])
        unforeseen = [refusal.detail for _, refusal in decoded.refusals if refusal.reason is Reason.UNFORESEEN]
        if unforeseen:
            log.error("messages_set_aside_unforeseen", messages=len(unforeseen), error=unforeseen[0], batches=places[:_PLACES])

    def _store_loop(self) -> None:
        while not self._stopping.is_set():
            try:
                batch = self._decoded.get(timeout=0.2)
            except queue.Empty:
                continue
            with self._guard:
                self._storing += 1
            try:
                refused = self._store_batch(batch)
            except StoppedError:
                return
            self._metrics.events.labels(outcome="stored").inc(batch.rows.num_rows - refused)
            self._metrics.events.labels(outcome="dead_letter").inc(len(batch.letters) + refused)
            with self._guard:  # numbers must enter the deque in order
                number = self._ledger.stored(batch.touched)
                self._awaiting.append((number, batch.fetches))
                self._invisible.append((number, batch.rows.num_rows - refused))
                self.stored += batch.rows.num_rows - refused
                self._storing -= 1
            self.room.release(sum(fetch.messages for fetch in batch.fetches), sum(fetch.size for fetch in batch.fetches))
            self._recounter.wake()
            if not batch.touched:
                self._acknowledge_counted()

    def _store_batch(self, batch: _Batch) -> int:
        """Store events and dead letters, as far as the dead-letter limit allows.

        Returns:
            Number of rows that the storage refused.

        Raises:
            DeadLetterLimitError: a limit is exceeded. Nothing was set aside then.
        """
        if batch.letters:
            batch.guard.check()
        refused: list[DeadLetter] = []
        if batch.rows.num_rows:
            self._insert(batch.rows, batch.positions, batch.guard, refused)
        batch.guard.decide_all()
        letters = [*batch.letters, *refused]
        for start in range(0, len(letters), _LETTERS_AT_ONCE):
            self._retrying(lambda some=letters[start : start + _LETTERS_AT_ONCE]: self._store.insert_dead_letters(some))  # type: ignore[misc]
        batch.guard.leave()
        return len(refused)

    def _insert(self, rows: pa.Table, positions: np.ndarray, guard: BatchGuard, refused: list[DeadLetter]) -> None:
        """Insert rows; halve what the storage refuses until the refused rows stand alone, and add those to ``refused``.

        Raises:
            DeadLetterLimitError: so many are refused that the rest need not be tried.
        """
        try:
            self._retrying(lambda: self._store.insert_events(rows))
        except RefusedRows as error:
            guard.enter()
            if rows.num_rows > 1:
                half = rows.num_rows // 2
                self._insert(rows.slice(0, half), positions[:half], guard, refused)
                self._insert(rows.slice(half), positions[half:], guard, refused)
                return
            refused.append(_letter_of_row(rows, str(error)))
            guard.refuse(int(positions[0]), refused[-1])

    def _acknowledge_counted(self) -> None:
        counted, minutes = self._ledger.counted_through(), self._ledger.minutes_through()
        done: list[Fetch] = []
        with self._guard:
            while self._invisible and self._invisible[0][0] <= minutes:
                self.visible += self._invisible.popleft()[1]
            while self._awaiting and self._awaiting[0][0] <= counted:
                done.extend(self._awaiting.popleft()[1])
            messages = sum(fetch.messages for fetch in done)
            self.unacknowledged -= messages
        if done:
            self._metrics.acknowledged.inc(messages)
            self._acknowledge(done)


def _letters(
    refusals: Sequence[tuple[int, Rejection]],
    values: Sequence[bytes | None],
    stretches: Sequence[OffsetRange],
    batches: Sequence[MessageBatch],
) -> tuple[DeadLetter, ...]:
    """Refused messages whole, with their keys and exact offsets. ``refusals`` ascend; stretch n was made from batch n."""
    letters = []
    which, start = 0, 0
    origins: list[tuple[bytes | None, int]] = []
    for position, refusal in refusals:
        while position >= start + stretches[which].count:
            start += stretches[which].count
            which += 1
            origins = []
        origins = origins or batches[which].keys_and_offsets()
        key, offset = origins[position - start]
        letters.append(
            DeadLetter(
                topic=stretches[which].topic,
                partition=stretches[which].partition,
                offset=offset,
                key=key,
                value=values[position],
                reason=str(refusal.reason),
                error=refusal.detail,
            )
        )
    return tuple(letters)


def _letter_of_row(rows: pa.Table, error: str) -> DeadLetter:
    """A row that only the storage refused: its columns stand for the message, which is still in Kafka at this offset."""
    row = rows.to_pylist()[0]
    return DeadLetter(
        topic=row["topic"],
        partition=row["partition"],
        offset=row["offset"],
        key=str(row["dossier_code"]).encode(),
        value=json.dumps(row, default=str, ensure_ascii=False).encode(),
        reason=str(Reason.REFUSED_BY_STORAGE),
        error=error[:500],
    )
