"""The Faust transport of one worker: aiokafka's, with our consumer and what that needs to know."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

from faust.transport.drivers import aiokafka as driver

from pipeline.kafka import record_batches
from pipeline.kafka.batch_consumer import BatchConsumer
from sinks.contract.events import UnreadCause

if TYPE_CHECKING:
    from pipeline.ingest.memory_budget import MemoryBudget

#: Called with a partition, the first offset, the offset after the last, and how they left the log.
RecordUnread = Callable[[Any, int, int, UnreadCause], Awaitable[None]]


class BatchTransport(driver.Transport):  # type: ignore[misc]
    """Faust's aiokafka transport with the consumer above."""

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
    ) -> None:
        """``record_unread`` is awaited with unread offsets before later offsets are read."""
        record_batches.install(*topics)
        super().__init__(url, app)
        self.budget = budget
        self.record_unread = record_unread
        self.fetch_min_bytes = fetch_min_bytes
        self.fetch_max_wait_ms = fetch_max_wait_ms
        self.leave_on_stop = leave_on_stop
