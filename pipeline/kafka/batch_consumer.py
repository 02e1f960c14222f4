"""A Faust consumer for which one stream message is one fetch of one partition: a list of record batches.

Flow control, assignment, acknowledgement and commit are Faust's. Two parts are replaced: reading messages (``Consumer.getmany``)
and tracking offsets, which counts fetches instead of messages. Acknowledging a stream message acknowledges the whole fetch, and
only unbroken runs of acknowledged fetches are committed. Messages of committed transactions are delivered; those of aborted
transactions are not (read_committed). After a rebalance a member reads the partitions that it keeps from where it was: reading
them again from the committed offsets would multiply the traffic, just when the group has fewer workers (reading_progress).

aiokafka would silently skip deleted messages, so it is not allowed to choose where to continue. This module handles a position
outside of the log: unread offsets, which left the log before they were read, are recorded before later offsets are read
(``record_unread``). Offsets that are not messages (ends of transactions, aborted messages) are committed as soon as everything
before them is.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from aiokafka.errors import IllegalStateError, KafkaError
from faust.transport.drivers import aiokafka as driver
from faust.types.tuples import ConsumerMessage

from pipeline.kafka.consumer_thread import BatchConsumerThread
from pipeline.kafka.consumer_vitals import ConsumerVitals, behind, partition_states, read_through, read_vitals
from pipeline.kafka.reading_progress import ReadingProgress
from pipeline.logs import get_logger
from sinks.contract.events import UnreadCause

if TYPE_CHECKING:
    from pipeline.ingest.memory_budget import MemoryBudget

#: Pause before the memory budget is checked again (seconds): shorter than a batch takes, longer than a turn of the event loop.
_BUDGET_PAUSE = 0.005
#: Consecutive readings that must find a position beyond the end before the log counts as truncated, and the pause (seconds).
_BEYOND_READINGS = 5
_BEYOND_PAUSE = 1.0
#: Pause before positions are sought again (seconds).
_SEEK_PAUSE = 0.1

log = get_logger("transport")


class BatchConsumer(driver.Consumer):  # type: ignore[misc]
    """Passes fetches to Faust and tracks which of them are acknowledged; see the docstring of the module."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        #: What was handed out, taken over and acknowledged.
        self.progress: ReadingProgress[Any] = ReadingProgress()
        #: Whether partitions were assigned since the last rebalance began.
        self.joined = False
        self._seeking = asyncio.Lock()
        #: Consecutive readings that found the position beyond the end of the log; by partition.
        self._beyond: defaultdict[Any, int] = defaultdict(int)

    def _new_consumer_thread(self) -> BatchConsumerThread:
        return BatchConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[Any, Any]]:  # noqa: ASYNC109 - Faust's signature
        """Yield one message for each partition with an answer to a fetch request: all its record batches."""
        budget: MemoryBudget = self.transport.budget
        if budget.full:
            await asyncio.sleep(_BUDGET_PAUSE)
            return
        if not self.flow_active:
            await self.wait(self.can_resume_flow)
        thread, before, whole = self._thread, self.progress.epoch, False
        thread.positions, thread.out_of_range = {}, {}
        positions: Mapping[Any, int] = {}
        out_of_range: Mapping[Any, int | None] = {}
        try:
            records, active = await self._wait_next_records(timeout)
            positions, out_of_range = thread.positions, thread.out_of_range
            if records is None or self.should_stop:
                return
            if await self._interrupted_since(before):
                return
            if out_of_range:
                await self._find_positions(out_of_range)
            for tp, message in self._messages(records, active):
                yield tp, message
            whole = True
        finally:
            if before == self.progress.epoch and self.progress.positions_known:
                if whole:
                    self._handed_out_through({tp: positions[tp] for tp in positions.keys() - out_of_range.keys()})
                else:  # aiokafka's positions are after messages that were not handed out
                    self._interrupt()

    async def _interrupted_since(self, epoch: int) -> bool:
        """Whether reading was interrupted since ``epoch``, so that what was fetched then may not be passed on."""
        if not self.flow_active:  # a rebalance began: Faust seeks before messages flow again
            self._interrupt()
            return True
        if epoch == self.progress.epoch and self.progress.positions_known:
            return False
        if self.assignment():
            await self._seek_again()
        return True

    async def _seek_again(self) -> None:
        """Call ``perform_seek``. When it fails, the next fetch repeats it."""
        try:
            await self.perform_seek()
        # A partition that was revoked in between is an IllegalStateError in aiokafka, an empty assignment an AssertionError.
        except (IllegalStateError, AssertionError, KafkaError, TimeoutError) as error:
            log.info("positions_not_sought", error=repr(error))
            await asyncio.sleep(_SEEK_PAUSE)

    async def seek_to_committed(self) -> Mapping[Any, int | None]:
        """Seek every partition to its committed offset, or to the start of the log; return the offsets (None: none committed).

        Faust passes over partitions with offset 0 or without one. Messages fetched from them and not passed on would be lost.
        """
        committed: Mapping[Any, int | None] = await super().seek_to_committed()
        begins: dict[Any, int] = {tp: 0 for tp, offset in committed.items() if offset == 0}
        if read := [tp for tp, state in self._states() if state.has_valid_position and committed.get(tp, 0) is None]:
            begins |= {tp: begin for tp, (begin, _) in (await self._thread.bounds(read)).items()}
        if begins:
            await self._thread.seek_wait(begins)
        return committed

    async def perform_seek(self) -> None:
        """Continue after the last fetch taken over; without one, or if another member read on, at the committed offset."""
        async with self._seeking:
            self._interrupt()
            epoch = self.progress.epoch
            await super().perform_seek()
            committed = {tp: self._committed_offset[tp] for tp in self.assignment()}
            continued = self.progress.continued(committed)
            if continued:
                await self._thread.seek_wait(continued)
            if not await self._thread.owns(committed):
                await asyncio.sleep(_SEEK_PAUSE)
                return  # asked again with the next fetch
            if epoch != self.progress.epoch:
                return  # a rebalance began meanwhile: Faust seeks again
            self.progress.resume(committed, continued)
            for tp in continued:
                self._acked[tp]  # creates an entry: Faust commits the partitions that it finds here

    async def check_group(self) -> None:
        """End the worker when a committed offset of the group, in any partition, belongs to another storage."""
        await self._thread.check_group({tp.topic for tp, _ in self._states()})

    async def _commit(self, offsets: Mapping[Any, int]) -> bool:
        done = bool(await super()._commit(offsets))
        if done:
            self.progress.confirm(offsets)
        return done

    def _messages(self, records: Mapping[Any, Any], active: Any) -> Iterator[tuple[Any, Any]]:
        """Yield a stream message with the record batches of each partition. Ends early when a rebalance begins."""
        epoch, generation = self.progress.epoch, self.app.consumer_generation_id
        for tp, batches in records.items():
            if epoch != self.progress.epoch:
                return
            if not self.flow_active or (active is not None and tp not in active):
                self._interrupt()
                return
            last = batches[-1].end - 1
            read = self._read_offset[tp]
            if read is not None and last < read:
                self._read_offset[tp] = None  # of before a seek; Faust would drop the message, and a later commit pass over it
            at = batches[-1].timestamp / 1000
            message = ConsumerMessage(
                *(tp.topic, tp.partition, last, at, 0, (), None, batches, None, 0, 0, tp), generation_id=generation
            )
            message.epoch, message.begun = epoch, self.progress.hand_out(tp, last)
            yield tp, message

    def _handed_out_through(self, positions: Mapping[Any, int]) -> None:
        """Note that all messages below these positions were passed on."""
        for tp, position in positions.items():
            self.progress.read_through(tp, position)
            self._acked[tp]  # creates an entry: Faust commits the partitions that it finds here

    async def _find_positions(self, out_of_range: Mapping[Any, int | None]) -> None:
        """Find where to continue in partitions whose position is not in the log (None: the group has no position).

        Offsets that left the log before they were read are recorded first. A position beyond the end is checked several times,
        because a new leader learns the end of its log late. If the position stays beyond the end, brokers lost messages, and
        every partition is read again from its committed offset.
        """
        before = self.progress.epoch
        try:
            bounds = await self._thread.bounds(out_of_range.keys())
            fresh = {tp: bounds[tp][0] for tp, position in out_of_range.items() if position is None}
            if fresh and before == self.progress.epoch:
                await self._thread.seek_wait(fresh)
                if await self._thread.commit(fresh):
                    self.progress.confirm(fresh)
                    self._committed_offset.update(fresh)  # messages deleted before they are read are noticed from now on
            for tp, position in out_of_range.items():
                if position is not None and before == self.progress.epoch:
                    await self._move(tp, position, *bounds[tp])
        except (KafkaError, IllegalStateError, TimeoutError) as error:  # tried again with the next fetch
            log.info("position_not_found", partitions=sorted(tp.partition for tp in out_of_range), error=repr(error))
            await asyncio.sleep(_BEYOND_PAUSE)

    async def _move(self, tp: Any, position: int, begin: int, end: int) -> None:
        before = self.progress.epoch
        if position > end:
            self._beyond[tp] += 1
            await asyncio.sleep(_BEYOND_PAUSE)
            if self._beyond[tp] >= _BEYOND_READINGS and before == self.progress.epoch:
                await self.transport.record_unread(tp, position, self._thread.highwater(tp) or 0, UnreadCause.TRUNCATED)
                await self._read_committed_again()
        elif position < begin:  # otherwise the log holds it now
            await self.transport.record_unread(tp, position, begin, UnreadCause.DELETED)
            if before == self.progress.epoch:
                await self._thread.seek_wait({tp: begin})

    async def _read_committed_again(self) -> None:
        """Read every partition again from its committed offset, or from the beginning of its log when it has none."""
        self._interrupt(forget=True)
        self._read_offset.clear()
        committed = await self.seek_to_committed()
        self.progress.resume(committed, ())

    def read_through(self) -> dict[Any, int]:
        """Partition -> offset before which it was read, perhaps only into memory. Partitions without a position are omitted."""
        return read_through(self._thread._consumer)  # noqa: SLF001

    def committed(self) -> dict[Any, int]:
        """Assigned partition -> its committed offset; 0: not known."""
        return {tp: self._committed_offset[tp] or 0 for tp, _ in self._states()}

    def take(self, message: Any) -> bool:
        """Take over a fetch; return False for a fetch from before an interruption, which will be passed on again."""
        return self.progress.take(message.tp, message.offset, epoch=message.epoch)

    def acknowledge(self, message: Any) -> bool:
        """Acknowledge a fetch. A fetch from before a reading again is ignored, because its messages are redelivered."""
        if not self.progress.acknowledge(message.tp, message.offset, begun=message.begun):
            return False
        return bool(self.ack(message))

    def _interrupt(self, *, forget: bool = False) -> None:
        """Pass nothing on and commit nothing until the next seek. ``forget``: also forget which fetches were taken over."""
        if forget:
            self.progress.forget()
        else:
            self.progress.interrupt()
        self._beyond.clear()
        self._acked.clear()
        self._acked_index.clear()

    async def on_partitions_revoked(self, revoked: Iterable[Any]) -> None:
        """Interrupt reading when the group takes partitions away. Faust also calls this before the first join."""
        self.joined = False
        self._interrupt()
        await super().on_partitions_revoked(revoked)

    async def on_partitions_assigned(self, assigned: Iterable[Any], generation_id: int = 0) -> None:
        """Interrupt reading when the group assigns partitions. Faust seeks and reads on when it has prepared the assignment."""
        self._interrupt()
        await super().on_partitions_assigned(assigned, generation_id)
        self.joined = True

    def lag(self) -> int:
        """Number of known offsets of the assigned partitions that are not fetched yet, with those of open transactions."""
        return behind(self._thread._consumer, lambda state: state.highwater)  # noqa: SLF001

    def readable(self) -> int:
        """Number of offsets that the next fetches can return: ``lag`` without the offsets from an open transaction on."""
        return behind(self._thread._consumer, lambda state: state.lso)  # noqa: SLF001

    def ends(self) -> dict[Any, int]:
        """Assigned partition -> end offset of its log, as the last fetch told it."""
        return {tp: state.highwater for tp, state in self._states() if state.highwater is not None}

    def vitals(self) -> ConsumerVitals | None:
        """Progress tokens of the consumer, for the stall detector; None until it has contacted a broker."""
        thread = self._thread
        return read_vitals(
            thread._consumer,  # noqa: SLF001
            assignment=self.progress.epoch,
            joined=self.joined,
            heartbeats=thread.heartbeats,
            place=thread.static_member,
        )

    def _states(self) -> Iterator[tuple[Any, Any]]:
        """The state that aiokafka keeps of every assigned partition, to be read only: it belongs to aiokafka's thread."""
        return partition_states(self._thread._consumer)  # noqa: SLF001

    async def _add_gap(self, tp: Any, offset_from: int, offset_to: int) -> None:
        """Do nothing. Offsets inside a fetch are not gaps, and Faust would keep each of them in memory."""

    def _new_offset(self, tp: Any) -> int | None:
        """The offset to commit, which is after the unbroken run of acknowledged fetches; None: nothing new to commit."""
        self._acked[tp].clear()  # Faust's own list of what is acknowledged
        self._acked_index[tp].clear()
        return self.progress.offset_to_commit(tp)
