"""Faust's consumer thread, with what Faust does not set: fetch sizes, transactions, static membership, notes of commits."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from typing import Any

from aiokafka.errors import KafkaError, NoOffsetForPartitionError, OffsetOutOfRangeError
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from faust.exceptions import ConsumerNotStarted
from faust.transport.drivers import aiokafka as driver

from domain.errors import ConfigurationError
from pipeline.kafka.consumer_vitals import partition_states
from pipeline.kafka.static_member import StaticMember
from pipeline.logs import get_logger
from sinks.errors import SinkError

#: Longest wait for the bounds of logs, and for what is committed (seconds).
_ANSWER_SECONDS = 10.0

log = get_logger("consumer")


class BatchConsumerThread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]
    """The thread of a worker's consumer.

    ``BatchConsumer`` clears ``positions`` and ``out_of_range`` before each fetch and reads them after it.
    """

    heartbeats = 0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        #: Positions of all partitions after the last fetch was returned.
        self.positions: dict[Any, int] = {}
        #: Positions outside of the log that the last fetch met; None where the group has no committed offset.
        self.out_of_range: dict[Any, int | None] = {}
        #: The place in the group that this consumer keeps over a restart; None: each start is a new member.
        self.static_member: StaticMember | None = None

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_min_bytes = transport.fetch_min_bytes  # noqa: SLF001 - read when the consumer starts
        consumer._fetch_max_wait_ms = transport.fetch_max_wait_ms  # noqa: SLF001
        consumer._isolation_level = "read_committed"  # noqa: SLF001
        consumer._auto_offset_reset = "none"  # noqa: SLF001 - see transport
        if (owner := transport.group_storage) is not None:
            commit = consumer.commit

            async def noted(offsets: Mapping[Any, OffsetAndMetadata]) -> None:
                await commit({tp: OffsetAndMetadata(found.offset, owner.note) for tp, found in offsets.items()})

            consumer.commit = noted
        return consumer

    async def _fetch_records(self, consumer: Any, partitions: Any, timeout: float = 0.0, **kwargs: Any) -> Any:  # noqa: ASYNC109
        """Fetch records; note the positions after them, and positions outside of the log, for ``BatchConsumer``."""
        records: Any = {}
        try:
            records = await super()._fetch_records(consumer, partitions, timeout=timeout, **kwargs)
        except OffsetOutOfRangeError as error:
            self.out_of_range.update(error.args[0])
        except NoOffsetForPartitionError as error:
            self.out_of_range[error.args[0]] = None
        self.positions = {tp: state._position for tp, state in partition_states(consumer) if state._position is not None}  # noqa: SLF001
        return records

    async def bounds(self, partitions: Collection[Any]) -> dict[Any, tuple[int, int]]:
        """Partition -> the first offset in its log, and the offset after the last.

        Raises:
            TimeoutError: the brokers do not answer.
        """
        consumer = self._ensure_consumer()

        async def ask() -> dict[Any, tuple[int, int]]:
            async with asyncio.timeout(_ANSWER_SECONDS):
                begins, ends = await consumer.beginning_offsets(partitions), await consumer.end_offsets(partitions)
            return {tp: (begins[tp], ends[tp]) for tp in partitions}

        bounds: dict[Any, tuple[int, int]] = await self.call_thread(ask)
        return bounds

    async def owns(self, partitions: Collection[Any]) -> bool:
        """Whether the committed offsets of partitions belong to the storage of this worker.

        False: they do not, and the worker ends; or brokers or storage do not tell, and the caller asks again later.
        """
        owner = self.consumer.transport.group_storage
        if owner is None or not partitions:
            return True
        try:
            consumer = self._ensure_consumer()

            async def ask() -> list[str]:
                async with asyncio.timeout(_ANSWER_SECONDS):
                    found = await consumer._coordinator.fetch_committed_offsets(list(partitions))  # noqa: SLF001
                return [committed.metadata or "" for committed in found.values()]

            return bool(await owner.owns(await self.call_thread(ask)))
        except (ConfigurationError, SinkError) as error:
            self.consumer.transport.fail(error)
        except (KafkaError, ConsumerNotStarted, TimeoutError) as error:
            log.info("group_not_checked", error=repr(error))
        return False

    async def check_group(self, topics: Collection[str]) -> None:
        """Call ``owns`` for every partition of topics, whichever worker reads it, to end this worker if necessary."""
        if (consumer := self._consumer) is not None:
            known = consumer._client.cluster  # noqa: SLF001
            await self.owns([TopicPartition(topic, part) for topic in topics for part in known.partitions_for_topic(topic) or ()])

    async def on_start(self) -> None:
        """Start the consumer, count its answered heartbeats from then on, and set up static membership."""
        await super().on_start()
        coordinator = self._consumer._coordinator  # noqa: SLF001
        beat = coordinator._do_heartbeat  # noqa: SLF001

        async def counted() -> bool:
            answered = bool(await beat())
            self.heartbeats += answered
            return answered

        coordinator._do_heartbeat = counted  # noqa: SLF001
        if instance_id := self.app.conf.consumer_group_instance_id:
            self.static_member = StaticMember(coordinator, instance_id)

    def close(self) -> None:
        """Do nothing. Faust calls this when partitions are assigned while the worker stops, to close the connections too early.

        The group would then wait for this worker until its session ends. ``on_thread_stop`` first leaves the group, then closes
        the connections.
        """

    async def on_thread_stop(self) -> None:
        """Stop the consumer. A static member leaves the group only if the setting ``leave_on_stop`` says so."""
        if self.static_member is not None:
            self.static_member.close()
            if self.consumer.transport.leave_on_stop:
                self.static_member.leave_when_closed()
        await super().on_thread_stop()
