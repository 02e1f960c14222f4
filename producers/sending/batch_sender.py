"""Sends record batches to the leaders of their partitions and counts what was acknowledged.

Delivery guarantee: at least once. Every batch asks for acks=all and is sent again after a lost answer, so a batch may be in the
topic twice; the pipeline counts events by their ids, so a repeat changes nothing. A batch is either acknowledged or counted as
failed. One batch per partition is in flight at a time, so their order holds.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Final, Self

from aiokafka import errors as kafka_errors
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.structs import TopicPartition

from pipeline.kafka.false_broker import without_false
from pipeline.kafka.security import PLAINTEXT
from pipeline.logs import get_logger
from pipeline.settings import KafkaSettings
from producers.sending.connection import connected_client
from producers.sending.places import Places
from producers.sending.record_batches import BATCH_BYTES, Batch, records_of, split_in_half, with_timestamp
from producers.sending.refusals import TOO_LARGE, TooLarge, TopicReplacedError, UnreadableAnswerError, error_of, failure_reason
from producers.sending.timeline import Acknowledged, Timeline
from producers.sending.topics import existing_topics, max_message_bytes, require_topic

#: A batch that could not be delivered for this long has failed (seconds).
_DELIVERY_SECONDS: Final = 60.0
_REQUEST_SECONDS: Final = 20.0
_BACKOFF_SECONDS: Final = (0.05, 1.0)
#: Largest number of bytes in flight; above it ``submit`` blocks.
_MAX_IN_FLIGHT_BYTES: Final = 48 << 20
#: How many messages that are too large are named; all are counted.
_TOO_LARGE_KEPT: Final = 10


class BatchSender:
    """Sends batches from one thread over its own connections; a context manager that closes them. Call ``flush`` first.

    Args:
        bootstrap: broker addresses, host:port.
        topic: it must exist.
        portals: instead of ``topic`` the topics of portals, of which some exist.
        security: protocol, login and certificate authorities.
        max_in_flight_bytes: bound on memory and on how far the sender may run ahead of the broker.
        monotonic: seconds of a clock that never goes back.
        now: seconds since the epoch, for the time that records carry.

    Raises:
        UnavailableError: no broker answers, or it refuses access.
        ConfigurationError: the topic does not exist.
    """

    def __init__(
        self,
        *,
        bootstrap: Sequence[str],
        topic: str,
        security: KafkaSettings = PLAINTEXT,
        portals: Sequence[str] = (),
        max_in_flight_bytes: int = _MAX_IN_FLIGHT_BYTES,
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._bootstrap, self._security = list(bootstrap), security
        self._monotonic, self._now = monotonic, now
        self._max_in_flight_bytes = max_in_flight_bytes
        # aiokafka only logs why a broker refuses access; this raises it.
        self._portals = portals
        self._topics = existing_topics(bootstrap, portals, security) if portals else (topic,)
        if not portals:
            require_topic(bootstrap, topic, security, timeout=_REQUEST_SECONDS / 2)
        self._changed = threading.Condition()
        self._bytes = 0
        self._unacknowledged: dict[int, int] = {}  # number of the batch -> index in the source
        self._submitted = 0
        self._log = get_logger("producers.batch_sender")
        self.acknowledgements = Timeline()
        self.acknowledged = self.failed = self.retries = 0
        #: The first messages that are too large for the topic, and its limit in bytes where it is known.
        self.too_large: list[TooLarge] = []
        self._bootstrap = without_false(bootstrap, security)
        self.limit = max_message_bytes(bootstrap, self._topics[0], security)
        self.problem = ""
        self.gave_up = False
        self._next_offsets: dict[int, int] = {}  # by partition: offsets below it are taken
        self._retrying: set[int] = set()  # partitions whose batch is sent again
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="batch-sender", daemon=True)
        self._thread.start()
        try:
            self.places = asyncio.run_coroutine_threadsafe(self._open(), self._loop).result()
        except BaseException:
            self._stop()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @property
    def partitions(self) -> int:
        """The number of partitions that are sent to, of all topics."""
        return len(self.places.all)

    @property
    def batch_bytes(self) -> int:
        """A size of batches (bytes before compression) that the topic accepts even when nothing can be compressed."""
        return BATCH_BYTES if self.limit is None else max(min(BATCH_BYTES, self.limit - self.limit // 50 - 200), 1)

    @property
    def oldest(self) -> int | None:
        """Index of the earliest message that was submitted and is not acknowledged; None: there is none."""
        with self._changed:
            return min(self._unacknowledged.values(), default=None)

    def submit(self, batch: Batch) -> None:
        """Hand a batch over for sending; blocks while too many bytes are in flight.

        After an unrecoverable error the batch fails at once.
        """
        sent_at = self._monotonic()
        with self._changed:
            while self._bytes and self._bytes + len(batch.data) > self._max_in_flight_bytes and not self.gave_up:
                self._changed.wait(0.5)
            number = self._submitted
            self._submitted += 1
            self._bytes += len(batch.data)
            self._unacknowledged[number] = batch.first_index
        self._loop.call_soon_threadsafe(self._enqueue, number, batch, sent_at)

    def flush(self, *, timeout: float = _DELIVERY_SECONDS + _REQUEST_SECONDS + 5.0) -> None:
        """Wait until every batch is acknowledged or has failed, at most ``timeout`` seconds."""
        until = self._monotonic() + timeout
        with self._changed:
            while self._bytes and self._monotonic() < until:
                self._changed.wait(0.2)

    def close(self) -> None:
        """Close the connections; batches that are still in flight stay unacknowledged."""
        if self._thread.is_alive():
            asyncio.run_coroutine_threadsafe(self._close_client(), self._loop).result(_REQUEST_SECONDS)
            self._stop()

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_REQUEST_SECONDS)
        self._loop.close()

    # Everything below runs in the sender's own thread.

    async def _open(self) -> Places:
        self._queues: dict[int, deque[tuple[int, Batch, float]]] = {}
        self._workers: dict[int, asyncio.Task[None]] = {}
        self._client, found = await connected_client(
            self._bootstrap, self._topics, self._security, request_seconds=_REQUEST_SECONDS
        )
        if not self._portals:
            return Places(found)
        prefix = self._security.portal_prefix
        return Places(found, prefix=prefix, agencies=[topic.removeprefix(prefix) for topic in self._portals])

    async def _close_client(self) -> None:
        for worker in self._workers.values():
            worker.cancel()
        await asyncio.gather(*self._workers.values(), return_exceptions=True)
        await self._client.close()

    def _enqueue(self, number: int, batch: Batch, sent_at: float) -> None:
        queue = self._queues.setdefault(batch.partition, deque())
        queue.append((number, batch, sent_at))
        worker = self._workers.get(batch.partition)
        if worker is None or worker.done():
            self._workers[batch.partition] = self._loop.create_task(self._drain(batch.partition, queue))

    async def _drain(self, partition: int, queue: deque[tuple[int, Batch, float]]) -> None:
        while queue:
            number, batch, sent_at = queue.popleft()
            failed = await self._send_parts(partition, batch, sent_at)
            with self._changed:
                self._bytes -= len(batch.data)
                if failed is None:
                    del self._unacknowledged[number]
                else:
                    self._unacknowledged[number] = failed
                self._changed.notify_all()

    async def _send_parts(self, partition: int, batch: Batch, sent_at: float) -> int | None:
        """Send a batch, in halves when the topic refuses it as too large; returns the index of the first message that failed."""
        failed: int | None = None
        parts = [batch]
        while parts:
            part = parts.pop()
            error = None if self.gave_up else await self._deliver(partition, part)
            if isinstance(error, TOO_LARGE) and part.records > 1:
                parts += reversed(split_in_half(part))
                continue
            now = self._monotonic()
            with self._changed:
                if self.gave_up or error is not None:
                    failed = part.first_index if failed is None else min(failed, part.first_index)
                    self.failed += part.records
                    self.problem = self.problem or self._reason(error, self.places.all[partition][0])
                else:
                    self.acknowledged += part.records
                    self.acknowledgements.add(Acknowledged(sent_at, now, part.records, part.events, part.distinct))
        return failed

    def _reason(self, error: kafka_errors.KafkaError | None, topic: str) -> str:
        first = self.too_large[0] if self.too_large else None
        return failure_reason(error, topic=topic, security=self._security, too_large=first, limit=self.limit)

    async def _deliver(self, partition: int, batch: Batch) -> kafka_errors.KafkaError | None:
        """Send a batch until it is acknowledged; returns the error that prevented this, or None."""
        deadline = self._monotonic() + _DELIVERY_SECONDS
        data = with_timestamp(batch.data, int(self._now() * 1000))
        wait = _BACKOFF_SECONDS[0]
        while True:
            error = await self._attempt(partition, data, batch.records)
            if error is None:
                self._note_success(partition)
                return None
            # What was acknowledged is gone, or may be: nothing that follows makes it whole.
            if isinstance(error, TopicReplacedError | UnreadableAnswerError):
                self.gave_up = True
                return error
            if isinstance(error, TOO_LARGE):
                if batch.records == 1 and len(self.too_large) < _TOO_LARGE_KEPT:
                    (key, value), index = records_of(batch.data)[0], batch.indexes[0] if batch.indexes else None
                    self.too_large.append(TooLarge(index, key, len(key or b"") + len(value or b"")))
                return error
            if not error.retriable:
                self.gave_up = self.gave_up or isinstance(error, kafka_errors.TopicAuthorizationFailedError)
                return error
            if self._monotonic() >= deadline:
                self.gave_up = True
                return error
            self.retries += 1
            self._note_retry(partition, error)
            await asyncio.sleep(wait)
            wait = min(wait * 2, _BACKOFF_SECONDS[1])
            self._client.force_metadata_update()

    async def _attempt(self, partition: int, data: bytearray, records: int) -> kafka_errors.KafkaError | None:
        """Send a batch once; returns the error, or None. Without an answer the batch may have arrived."""
        try:
            return await self._produce(partition, data, records)
        except kafka_errors.KafkaError as error:
            return error
        except OSError as error:
            return kafka_errors.KafkaConnectionError(error)
        except Exception as error:  # noqa: BLE001 - whatever the client's parsers raise, or an answer without our batch
            return UnreadableAnswerError(repr(error))

    def _note_retry(self, partition: int, error: kafka_errors.KafkaError) -> None:
        """Log once that batches are not accepted, however many partitions and attempts it concerns."""
        if not self._retrying:
            self._log.warning("brokers_do_not_accept", bootstrap=",".join(self._bootstrap), reason=type(error).__name__)
        self._retrying.add(partition)

    def _note_success(self, partition: int) -> None:
        if self._retrying == {partition}:
            self._log.info("brokers_accept_again")
        self._retrying.discard(partition)

    async def _produce(self, partition: int, data: bytearray, records: int) -> kafka_errors.KafkaError | None:
        topic, number = self.places.all[partition]
        leader = self._client.cluster.leader_for_partition(TopicPartition(topic, number))
        if not self._client.cluster.partitions_for_topic(topic):
            return kafka_errors.UnknownTopicOrPartitionError()
        if leader is None or leader == -1:
            return kafka_errors.LeaderNotAvailableError()
        request = ProduceRequest(
            transactional_id=None,
            required_acks=-1,
            timeout=int(_REQUEST_SECONDS * 1000),
            topics=[(topic, [(number, data)])],
        )
        response = await self._client.send(leader, request)
        _, code, offset, *_ = response.topics[0][1][0]
        if code != 0:
            return error_of(code)
        if offset < self._next_offsets.get(partition, 0):
            return TopicReplacedError()
        self._next_offsets[partition] = offset + records
        return None
