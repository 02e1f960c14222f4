"""A Faust transport whose stream message is one fetch of one partition: a list of record batches.

Flow control, assignment, acknowledgement and commit stay Faust's own. Replaced are the reading of messages
(``Consumer.getmany``) and the bookkeeping of offsets, which counts fetches instead of messages: acknowledging a message
acknowledges the whole fetch, and only unbroken runs of acknowledged fetches are committed. Messages of a transaction come
when it is committed, never when it is aborted: a sender that takes its events back has not sent them.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from faust.transport.drivers import aiokafka as driver
from faust.types.tuples import ConsumerMessage

from pipeline.stream import record_batches

if TYPE_CHECKING:
    from pipeline.delivery import Room

#: How long to wait before asking again whether there is room (seconds): short against a batch, long against a loop turn.
_ROOM_PAUSE = 0.005


@dataclass(frozen=True, slots=True)
class Signs:
    """Signs of life of a consumer, for the watchdog. A mark changes with every answer of its kind and means nothing else."""

    assignment: int  # which one: everything begins anew with it
    joined: bool  # the group has given partitions out since the last rebalance began, be it none
    heartbeats: int
    fetches: Mapping[Any, tuple[int | None, int | None]]  # by partition
    error: BaseException | None  # what ended the consumer's own tasks; Faust does not ask for it


class BatchConsumerThread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]
    """Faust's consumer thread, with what Faust does not pass on: fetch sizes, whole transactions, heartbeats."""

    heartbeats = 0

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_min_bytes = transport.fetch_min_bytes  # noqa: SLF001 - read when the consumer starts
        consumer._fetch_max_wait_ms = transport.fetch_max_wait_ms  # noqa: SLF001
        consumer._isolation_level = "read_committed"  # noqa: SLF001
        return consumer

    async def on_start(self) -> None:
        """Start the consumer and count its heartbeats from then on."""
        await super().on_start()
        coordinator = self._consumer._coordinator  # noqa: SLF001
        beat = coordinator._do_heartbeat  # noqa: SLF001

        async def counted() -> bool:
            answered = bool(await beat())
            self.heartbeats += answered
            return answered

        coordinator._do_heartbeat = counted  # noqa: SLF001


class BatchConsumer(driver.Consumer):  # type: ignore[misc]
    """See the module."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        #: Last offsets of the fetches handed out, in order, by partition.
        self._handed_out: defaultdict[Any, deque[int]] = defaultdict(deque)
        #: Raised whenever partitions come or go: an older fetch must not be acknowledged to a newer assignment.
        self.assignment_epoch = 0
        #: Whether partitions were given out since the last rebalance began.
        self.joined = False

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
        """Partitions go: commit what is counted, then forget the rest. Called before the first join, too."""
        self.joined = False
        await super().on_partitions_revoked(revoked)
        self.forget()

    async def on_partitions_assigned(self, assigned: Iterable[Any], generation_id: int = 0) -> None:
        """Partitions come: whatever was handed out before belongs to an earlier assignment."""
        self.forget()
        await super().on_partitions_assigned(assigned, generation_id)
        self.joined = True

    def unread(self) -> int:
        """Offsets in the assigned partitions that were not fetched yet, those of open transactions too, as far as is known."""
        return self._behind(lambda state: state.highwater)

    def readable(self) -> int:
        """Of these, the ones before any open transaction: what the next fetch can bring."""
        return self._behind(lambda state: state.lso)

    def signs(self) -> Signs | None:
        """Signs of life, as they are now; None until aiokafka has asked a first broker and made its parts."""
        consumer = self._thread._consumer  # noqa: SLF001
        coordinator, fetcher = getattr(consumer, "_coordinator", None), getattr(consumer, "_fetcher", None)
        if coordinator is None or fetcher is None:
            return None
        error = coordinator._pending_exception  # noqa: SLF001
        for task in (coordinator._coordination_task, fetcher._fetch_task):  # noqa: SLF001
            if error is None and task.done() and not task.cancelled():
                error = task.exception()
        return Signs(
            assignment=self.assignment_epoch,
            joined=self.joined,
            heartbeats=self._thread.heartbeats,
            fetches={tp: (state.timestamp, state._position) for tp, state in self._states()},  # noqa: SLF001
            error=error,
        )

    def _behind(self, end_of: Callable[[Any], int | None]) -> int:
        # Measured from the position of the fetcher: the end of a transaction takes an offset and is no message.
        total = 0
        for _, state in self._states():
            end, position = end_of(state), state._position  # noqa: SLF001
            if end is not None and position is not None:
                total += max(0, end - position)
        return total

    def _states(self) -> Iterator[tuple[Any, Any]]:
        """The books that aiokafka keeps of every assigned partition; they belong to its thread and are only read here."""
        consumer = self._thread._consumer  # noqa: SLF001
        subscription = None if consumer is None else consumer._subscription.subscription  # noqa: SLF001
        assignment = None if subscription is None else subscription.assignment
        if assignment is not None:
            for tp in assignment.tps:
                yield tp, assignment.state_value(tp)

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
