"""A Faust transport whose stream message is one fetch of one partition: a list of record batches.

Flow control, assignment, acknowledgement and commit stay Faust's own. Replaced are the reading of messages
(``Consumer.getmany``) and the bookkeeping of offsets, which counts fetches instead of messages: acknowledging a message
acknowledges the whole fetch, and only unbroken runs of acknowledged fetches are committed.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING, Any

from faust.transport.drivers import aiokafka as driver
from faust.types.tuples import ConsumerMessage

from pipeline.stream import record_batches

if TYPE_CHECKING:
    from pipeline.delivery import Room

#: How long to wait before asking again whether there is room (seconds): short against a batch, long against a loop turn.
_ROOM_PAUSE = 0.005


class BatchConsumerThread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]
    """Faust's consumer thread, with the fetch sizes that Faust does not pass on."""

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_min_bytes = transport.fetch_min_bytes  # noqa: SLF001 - read when the consumer starts
        consumer._fetch_max_wait_ms = transport.fetch_max_wait_ms  # noqa: SLF001
        return consumer


class BatchConsumer(driver.Consumer):  # type: ignore[misc]
    """See the module."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        #: Last offsets of the fetches handed out, in order, by partition.
        self._handed_out: defaultdict[Any, deque[int]] = defaultdict(deque)
        #: Raised whenever partitions come or go: an older fetch must not be acknowledged to a newer assignment.
        self.assignment_epoch = 0

    def _new_consumer_thread(self) -> BatchConsumerThread:
        return BatchConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[Any, Any]]:  # noqa: ASYNC109 - Faust's signature
        """One message a partition: everything that one request brought of it."""
        room: Room = self.transport.room
        if room.full:
            await asyncio.sleep(_ROOM_PAUSE)
            return
        records, active = await self._wait_next_records(timeout)
        if records is None or self.should_stop:
            return
        if not self.flow_active:  # a rebalance began while we waited: these may belong to somebody else now
            self.forget()
            await self.perform_seek()
            return
        epoch, generation = self.assignment_epoch, self.app.consumer_generation_id
        for tp, batches in records.items():
            if active is not None and tp not in active:
                continue
            if not self.flow_active or epoch != self.assignment_epoch:
                return
            last = batches[-1].end - 1
            read = self._read_offset[tp]
            if read is not None and last < read:
                continue  # Faust would drop it: fetched before a seek, and committed already
            self._handed_out[tp].append(last)
            message = ConsumerMessage(
                tp.topic,
                tp.partition,
                last,
                batches[-1].timestamp / 1000,
                0,
                (),
                None,
                batches,
                None,
                0,
                0,
                tp,
                generation_id=generation,
            )
            message.epoch = epoch
            yield tp, message

    def acknowledge(self, message: Any) -> bool:
        """Acknowledge a fetch; one of an earlier assignment is left out, its messages come again."""
        if message.epoch != self.assignment_epoch:
            return False
        return bool(self.ack(message))

    def forget(self) -> None:
        """Drop every record of what was handed out: reading starts again at the committed offsets."""
        self.assignment_epoch += 1
        self._handed_out.clear()
        self._acked.clear()
        self._acked_index.clear()

    async def on_partitions_revoked(self, revoked: Iterable[Any]) -> None:
        """Partitions go: commit what is counted, then forget the rest."""
        await super().on_partitions_revoked(revoked)
        self.forget()

    async def on_partitions_assigned(self, assigned: Iterable[Any], generation_id: int = 0) -> None:
        """Partitions come: whatever was handed out before belongs to an earlier assignment."""
        self.forget()
        await super().on_partitions_assigned(assigned, generation_id)

    def unread(self) -> int:
        """Messages in the assigned partitions that were not fetched yet, as far as is known."""
        total = 0
        for tp in self.assignment():
            end, read = self.highwater(tp), self._read_offset[tp]
            if end is not None and read is not None:
                total += max(0, end - read - 1)
        return total

    async def _add_gap(self, tp: Any, offset_from: int, offset_to: int) -> None:
        """Offsets inside a fetch are no gaps; Faust would keep a number for each of them."""

    def _new_offset(self, tp: Any) -> int | None:
        """The offset to commit: behind the last fetch of the unbroken run of acknowledged ones."""
        acked, waiting = self._acked_index[tp], self._handed_out[tp]
        last = None
        while waiting and waiting[0] in acked:
            last = waiting.popleft()
            acked.discard(last)
        self._acked[tp][:] = sorted(acked)
        return None if last is None else last + 1


class BatchTransport(driver.Transport):  # type: ignore[misc]
    """Faust's aiokafka transport with the consumer above."""

    Consumer = BatchConsumer

    def __init__(self, url: Any, app: Any, *, topic: str, room: Room, fetch_min_bytes: int, fetch_max_wait_ms: int) -> None:
        record_batches.install(topic)
        super().__init__(url, app)
        self.room = room
        self.fetch_min_bytes = fetch_min_bytes
        self.fetch_max_wait_ms = fetch_max_wait_ms
