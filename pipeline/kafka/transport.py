"""A Faust transport whose stream message is one fetch of one partition: a list of record batches.

Flow control, assignment, acknowledgement and commit stay Faust's own. Replaced are the reading of messages
(``Consumer.getmany``) and the bookkeeping of offsets, which counts fetches instead of messages: acknowledging a message
acknowledges the whole fetch, and only unbroken runs of acknowledged fetches are committed. Messages of a transaction come
when it is committed, never when it is aborted: a sender that takes its events back has not sent them.

Where to read on is never left to aiokafka: it would jump over deleted messages without a word. A position outside of the log is
looked at here, and what left the log unread is recorded before anything behind it is read (``unread``). Offsets that are no
messages (ends of transactions, aborted messages) are committed as soon as everything before them is: nobody waits for them.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiokafka.errors import IllegalStateError, KafkaError, NoOffsetForPartitionError, OffsetOutOfRangeError
from faust.transport.drivers import aiokafka as driver
from faust.types.tuples import ConsumerMessage

from pipeline.kafka import record_batches
from pipeline.logs import get_logger
from sinks.contract.events import UnreadCause

if TYPE_CHECKING:
    from pipeline.ingest.memory_budget import MemoryBudget

#: How long to wait before asking again whether there is room (seconds): short against a batch, long against a loop turn.
_ROOM_PAUSE = 0.005
#: A position behind the end of the log is looked at so many times before the log is called truncated, with a pause (seconds).
_BEYOND_LOOKS = 5
_BEYOND_PAUSE = 1.0
#: Longest wait for the bounds of logs (seconds).
_BOUNDS_SECONDS = 10.0

#: Told a partition, the first offset, the offset after the last, and how they left the log.
Unread = Callable[[Any, int, int, UnreadCause], Awaitable[None]]

log = get_logger("transport")


@dataclass(frozen=True, slots=True)
class ConsumerVitals:
    """Signs of life of a consumer, for the watchdog. A mark changes with every answer of its kind and means nothing else."""

    assignment: int  # which one: everything begins anew with it
    joined: bool  # the group has given partitions out since the last rebalance began, be it none
    heartbeats: int
    fetches: Mapping[Any, tuple[int | None, int | None]]  # by partition
    error: BaseException | None  # what ended the consumer's own tasks; Faust does not ask for it


class BatchConsumerThread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]
    """Faust's consumer thread, with what Faust does not pass on: fetch sizes, whole transactions, heartbeats."""

    heartbeats = 0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        #: Positions of all partitions after the last fetch was handed out.
        self.positions: dict[Any, int] = {}
        #: Positions that the log does not hold, met by the last fetch; None where the group has none yet.
        self.outside: dict[Any, int | None] = {}

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_min_bytes = transport.fetch_min_bytes  # noqa: SLF001 - read when the consumer starts
        consumer._fetch_max_wait_ms = transport.fetch_max_wait_ms  # noqa: SLF001
        consumer._isolation_level = "read_committed"  # noqa: SLF001
        consumer._auto_offset_reset = "none"  # noqa: SLF001 - see the module
        return consumer

    async def _fetch_records(self, consumer: Any, partitions: Any, timeout: float = 0.0, **kwargs: Any) -> Any:  # noqa: ASYNC109
        """Records, with the positions behind them; positions that the log does not hold are left to ``BatchConsumer``."""
        records: Any = {}
        try:
            records = await super()._fetch_records(consumer, partitions, timeout=timeout, **kwargs)
        except OffsetOutOfRangeError as error:
            self.outside.update(error.args[0])
        except NoOffsetForPartitionError as error:
            self.outside[error.args[0]] = None
        self.positions = {tp: state._position for tp, state in states_of(consumer) if state._position is not None}  # noqa: SLF001
        return records

    async def bounds(self, partitions: Collection[Any]) -> dict[Any, tuple[int, int]]:
        """First offset in the log of each partition, and the one after the last.

        Raises:
            TimeoutError: the brokers do not say.
        """
        consumer = self._ensure_consumer()

        async def ask() -> dict[Any, tuple[int, int]]:
            async with asyncio.timeout(_BOUNDS_SECONDS):
                begins, ends = await consumer.beginning_offsets(partitions), await consumer.end_offsets(partitions)
            return {tp: (begins[tp], ends[tp]) for tp in partitions}

        bounds: dict[Any, tuple[int, int]] = await self.call_thread(ask)
        return bounds

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
        #: Offsets up to which everything was handed out, or is no message; by partition.
        self._through: dict[Any, int] = {}
        #: Looks in a row that found the position behind the end of the log; by partition.
        self._beyond: defaultdict[Any, int] = defaultdict(int)
        #: Whether something was fetched and perhaps not handed out: then only acknowledged fetches are committed.
        self._unsure = False

    def _new_consumer_thread(self) -> BatchConsumerThread:
        return BatchConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[Any, Any]]:  # noqa: ASYNC109 - Faust's signature
        """One message a partition: everything that one request brought of it."""
        room: MemoryBudget = self.transport.room
        if room.full:
            await asyncio.sleep(_ROOM_PAUSE)
            return
        thread, before, whole = self._thread, self.assignment_epoch, False
        thread.positions, thread.outside = {}, {}
        positions: Mapping[Any, int] = {}
        outside: Mapping[Any, int | None] = {}
        try:
            records, active = await self._wait_next_records(timeout)
            positions, outside = thread.positions, thread.outside
            if records is None or self.should_stop:
                return
            if outside:
                await self._read_on(outside)
            if not self.flow_active:  # a rebalance began while we waited: these may belong to somebody else now
                self.forget()
                await self.perform_seek()
                return
            for tp, message in self._messages(records, active):
                yield tp, message
            whole = True
        finally:
            if before == self.assignment_epoch:
                self._unsure = self._unsure or not whole
                if not self._unsure:
                    self._handed_out_through({tp: positions[tp] for tp in positions.keys() - outside.keys()})

    def _messages(self, records: Mapping[Any, Any], active: Any) -> Iterator[tuple[Any, Any]]:
        """A message for each partition's record batches; ends early when a rebalance begins."""
        epoch, generation = self.assignment_epoch, self.app.consumer_generation_id
        for tp, batches in records.items():
            if epoch != self.assignment_epoch:
                return
            if not self.flow_active or (active is not None and tp not in active):
                self._unsure = True
                continue
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

    def _handed_out_through(self, positions: Mapping[Any, int]) -> None:
        """Everything below these positions was handed out, or is no message."""
        self._through.update(positions)
        for tp in positions:
            self._acked[tp]  # an entry, for Faust commits the partitions that it finds here

    async def _read_on(self, outside: Mapping[Any, int | None]) -> None:
        """Find where to read on when the log does not hold the positions; None: the group has none.

        What left the log before it was read is recorded first. A position behind the end is looked at again: a new leader learns
        its end late. When it stays there, brokers lost messages, and what they have instead is read from the committed offset on.
        """
        before = self.assignment_epoch
        try:
            bounds = await self._thread.bounds(outside.keys())
            fresh = {tp: bounds[tp][0] for tp, position in outside.items() if position is None}
            if fresh and before == self.assignment_epoch:
                await self._thread.seek_wait(fresh)
                if await self._thread.commit(fresh):
                    self._committed_offset.update(fresh)  # from now on it shows when something is deleted before it is read
            for tp, position in outside.items():
                if position is not None and before == self.assignment_epoch:
                    await self._jump(tp, position, *bounds[tp])
        except (KafkaError, IllegalStateError, TimeoutError) as error:  # asked again with the next fetch
            log.info("position_not_found", partitions=sorted(tp.partition for tp in outside), error=repr(error))
            await asyncio.sleep(_BEYOND_PAUSE)

    async def _jump(self, tp: Any, position: int, begin: int, end: int) -> None:
        before = self.assignment_epoch
        if position > end:
            self._beyond[tp] += 1
            await asyncio.sleep(_BEYOND_PAUSE)
            if self._beyond[tp] >= _BEYOND_LOOKS and before == self.assignment_epoch:
                await self.transport.unread(tp, position, self._thread.highwater(tp) or 0, UnreadCause.TRUNCATED)
                await self._read_again()
        elif position < begin:  # otherwise the log holds it by now
            await self.transport.unread(tp, position, begin, UnreadCause.DELETED)
            if before == self.assignment_epoch:
                await self._thread.seek_wait({tp: begin})

    async def _read_again(self) -> None:
        """Read every partition again from its committed offset, or from its beginning."""
        self.forget()
        self._read_offset.clear()
        committed = await self._thread.seek_to_committed()
        bounds = await self._thread.bounds([tp for tp, offset in committed.items() if not offset])
        if bounds:
            await self._thread.seek_wait({tp: begin for tp, (begin, _) in bounds.items()})

    def read_through(self) -> dict[Any, int]:
        """Offset before which every partition was read, be it only into memory; partitions without a position are left out."""
        consumer = self._thread._consumer  # noqa: SLF001
        found = {}
        for tp, state in self._states():
            position, fetched = state._position, consumer._fetcher._records.get(tp)  # noqa: SLF001
            if position is not None:
                packed = getattr(getattr(fetched, "_partition_records", None), "_records", None)
                found[tp] = max(position, 0 if packed is None else record_batches.end_of(packed.data))
        return found

    def committed(self) -> dict[Any, int]:
        """Committed offset of every assigned partition, as far as it is known; 0 otherwise."""
        return {tp: self._committed_offset[tp] or 0 for tp, _ in self._states()}

    def acknowledge(self, message: Any) -> bool:
        """Acknowledge a fetch; one of an earlier assignment is left out, its messages come again."""
        if message.epoch != self.assignment_epoch:
            return False
        return bool(self.ack(message))

    def forget(self) -> None:
        """Drop every record of what was handed out: reading starts again at the committed offsets."""
        self.assignment_epoch += 1
        self._handed_out.clear()
        self._through.clear()
        self._beyond.clear()
        self._unsure = False
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

    def ends(self) -> dict[Any, int]:
        """Offset after the last of every assigned partition, as the last fetch said."""
        return {tp: state.highwater for tp, state in self._states() if state.highwater is not None}

    def signs(self) -> ConsumerVitals | None:
        """Signs of life, as they are now; None until aiokafka has asked a first broker and made its parts."""
        consumer = self._thread._consumer  # noqa: SLF001
        coordinator, fetcher = getattr(consumer, "_coordinator", None), getattr(consumer, "_fetcher", None)
        if coordinator is None or fetcher is None:
            return None
        error = coordinator._pending_exception  # noqa: SLF001
        for task in (coordinator._coordination_task, fetcher._fetch_task):  # noqa: SLF001
            if error is None and task.done() and not task.cancelled():
                error = task.exception()
        return ConsumerVitals(
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
        return states_of(self._thread._consumer)  # noqa: SLF001

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
        if not waiting and tp in self._through:
            return max(self._through[tp], 0 if last is None else last + 1)
        return None if last is None else last + 1


def states_of(consumer: Any) -> Iterator[tuple[Any, Any]]:
    """Aiokafka's books of every assigned partition; none before it is started."""
    subscription = None if consumer is None else consumer._subscription.subscription  # noqa: SLF001
    assignment = None if subscription is None else subscription.assignment
    if assignment is not None:
        for tp in assignment.tps:
            yield tp, assignment.state_value(tp)


class BatchTransport(driver.Transport):  # type: ignore[misc]
    """Faust's aiokafka transport with the consumer above."""

    Consumer = BatchConsumer

    def __init__(
        self,
        url: Any,
        app: Any,
        *,
        topic: str,
        room: MemoryBudget,
        fetch_min_bytes: int,
        fetch_max_wait_ms: int,
        unread: Unread,
    ) -> None:
        """``unread`` is awaited with offsets that left the log unread, before anything behind them is read."""
        record_batches.install(topic)
        super().__init__(url, app)
        self.room = room
        self.unread = unread
        self.fetch_min_bytes = fetch_min_bytes
        self.fetch_max_wait_ms = fetch_max_wait_ms
