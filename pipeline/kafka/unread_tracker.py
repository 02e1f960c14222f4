"""Finds unread offsets, which left the log before this worker read them, and counts, logs and records them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from pipeline.ingest.unread_offsets import UnreadOffsets, describe_unread
from pipeline.kafka.daemon_thread import in_daemon_thread
from pipeline.kafka.topic_identity import CHECK_SECONDS, TopicSnapshot
from pipeline.logs import get_logger
from pipeline.metrics import WorkerMetrics
from sinks.contract.events import UnreadCause, UnreadRange

#: Longest wait for the storage when the topic is gone and the worker ends (seconds).
_RECORD_SECONDS = 5.0
#: How long the last values of a topic are kept of which no partition is assigned: longer than finding out that it is deleted.
_GONE_SECONDS = 60.0

log = get_logger("worker")


class UnreadTracker:
    """Counts, logs and records unread offsets. Runs in the event loop of the worker.

    Args:
        group: consumer group of the worker.
        metrics: the worker's metrics, which count unread offsets.
        record: records ranges in the storage; blocks while the storage is unavailable.
        fail: called with the error when ranges cannot be recorded; it must stop the worker.
    """

    def __init__(
        self,
        group: str,
        *,
        metrics: WorkerMetrics,
        record: Callable[[Sequence[UnreadRange]], None],
        fail: Callable[[BaseException], None],
    ) -> None:
        self._group, self._metrics, self._record, self._fail = group, metrics, record, fail
        self.offsets = UnreadOffsets()
        self._read_through: Mapping[Any, int] = {}  # at the previous check
        self._checked_at = 0.0
        self._ends: dict[Any, int] = {}  # highest end of each assigned partition
        self._committed: dict[Any, int] = {}
        self._held: dict[str, float] = {}  # when this worker last had a partition of a topic

    async def record(self, tp: Any, first: int, end: int, cause: UnreadCause) -> None:
        """Record the unread offsets from ``first`` up to, not including, ``end``; return when the record is stored.

        Later offsets must not be read before.

        Raises:
            SinkError: the offsets cannot be recorded.
        """
        if cause is UnreadCause.TRUNCATED:
            log.error("log_truncated", topic=tp.topic, partition=tp.partition, position=first, end=end)
        if first >= end:
            return
        self._count(tp, first, end)
        unread = UnreadRange(tp.topic, tp.partition, first, end, self._group, cause)
        try:
            await in_daemon_thread(lambda: self._record([unread]))
        except Exception as error:
            self._fail(error)
            raise

    def compare(self, snapshots: Mapping[str, TopicSnapshot], read_through: Mapping[Any, int]) -> None:
        """Count unread offsets while nothing is fetched, for example while the storage is unavailable.

        They are recorded when reading continues. A fetch may be in progress, so offsets are certainly unread only if two
        consecutive checks find the same position, and the log begins after it. Checks far apart prove nothing: this process may
        have been suspended, and another worker may have read its partitions.

        Args:
            snapshots: existing topic -> what the brokers say about it.
            read_through: assigned partition -> offset before which it was read.
        """
        now = time.monotonic()
        before = self._read_through if now - self._checked_at < 3 * CHECK_SECONDS else {}
        for tp, offset in read_through.items():
            if (snapshot := snapshots.get(tp.topic)) is None:
                continue
            self._ends[tp] = max(snapshot.ends.get(tp.partition, 0), self._ends.get(tp, 0))
            if before.get(tp) == offset:
                first = max(offset, snapshot.committed.get(tp.partition, 0))
                self._count(tp, first, snapshot.first.get(tp.partition, 0))
        self._read_through, self._checked_at = read_through, now

    def update(self, ends: Mapping[Any, int], committed: Mapping[Any, int]) -> None:
        """Remember the last known end and committed offset of every assigned partition."""
        now = time.monotonic()
        self._held |= dict.fromkeys((tp.topic for tp in ends), now)
        # A deleted topic's last values stay: its partitions are revoked before the worker ends.
        gone = [tp for tp in self._ends if tp not in ends and (not ends or self._is_gone(tp.topic, now))]
        self._ends = {tp: max(ends.get(tp, 0), self._ends.get(tp, 0)) for tp in (*ends, *gone)}
        self._committed = {tp: max(committed.get(tp, 0), self._committed.get(tp, 0)) for tp in (*ends, *gone)}
        for tp in ends:  # the series exists before anything is counted
            self._metrics.unread.labels(topic=tp.topic, partition=tp.partition)

    def _is_gone(self, topic: str, now: float) -> bool:
        """Whether this worker lost its last partition of a topic within ``_GONE_SECONDS``: the topic may be deleted."""
        held = self._held.get(topic, 0.0)
        return held < now <= held + _GONE_SECONDS

    async def record_deleted_topic(self, topic: str) -> None:
        """Record all uncommitted offsets of a deleted topic as unread. If the storage is unavailable, they are only logged."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_RECORD_SECONDS):
                for tp, offset in self._committed.items():
                    if tp.topic == topic:
                        await self.record(tp, offset, self._ends.get(tp, 0), UnreadCause.RECREATED)

    def _count(self, tp: Any, first: int, end: int) -> None:
        if new := self.offsets.add((tp.topic, tp.partition), first, end):
            self._metrics.unread.labels(topic=tp.topic, partition=tp.partition).inc(new)
            log.error("offsets_left_the_log_unread", topic=tp.topic, reason=describe_unread(tp.partition, first, end))
