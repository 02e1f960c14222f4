"""The Faust transport of one worker: that for aiokafka, with ``BatchConsumer`` and the values that it needs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

from faust.transport.drivers import aiokafka as driver

from pipeline.kafka import record_batches
from pipeline.kafka.batch_consumer import BatchConsumer
from sinks.contract.events import UnreadCause

if TYPE_CHECKING:
    from pipeline.ingest.memory_budget import MemoryBudget
    from pipeline.kafka.group_storage import GroupStorage

#: Called with a partition, the first offset, the offset after the last, and how they left the log.
RecordUnread = Callable[[Any, int, int, UnreadCause], Awaitable[None]]


class BatchTransport(driver.Transport):  # type: ignore[misc]
    """Faust's aiokafka transport with ``BatchConsumer`` as its consumer."""

    Consumer = BatchConsumer

    def __init__(
        self,
        url: Any,
        app: Any,
        *,
        topics: Sequence[str],
        budget: MemoryBudget,
        fetch_min_bytes: int,
        fetch_max_wait_ms: int,
        record_unread: RecordUnread,
        leave_on_stop: bool = False,
        group_storage: GroupStorage | None = None,
        fail: Callable[[BaseException], None] | None = None,
    ) -> None:
        """``record_unread``: awaited with unread offsets before later offsets are read.

        ``group_storage``: the storage to which the group's offsets must belong; None: any. ``fail``: ends the worker.
        """
        record_batches.install(*topics)
        super().__init__(url, app)
        self.budget = budget
        self.record_unread = record_unread
        self.fetch_min_bytes = fetch_min_bytes
        self.fetch_max_wait_ms = fetch_max_wait_ms
        self.leave_on_stop = leave_on_stop
        self.group_storage, self.fail = group_storage, fail
