"""Publishes a worker's state every second, and ends a worker whose consumer gets no answers from Kafka.

Faust may idle without an error or loop on errors (see docs/guarantees.md). The watchdog checks answers, not progress: a healthy
consumer gets its heartbeats and fetches answered all the time, also when there is nothing to read. Otherwise the worker runs the
preflight to find the cause, and exits, so that its supervisor restarts it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from domain.errors import ReplacedError
from pipeline.ingest.steps import IngestSteps
from pipeline.kafka import errors as kafka_errors
from pipeline.kafka.consumer_vitals import ConsumerVitals
from pipeline.kafka.preflight import explained
from pipeline.kafka.stall_detector import StallDetector
from pipeline.kafka.static_member import FencedInstanceIdError
from pipeline.kafka.suspension import SuspensionLogFilter
from pipeline.kafka.unread_tracker import UnreadTracker
from pipeline.logs import get_logger
from pipeline.metrics import WorkerMetrics
from pipeline.settings import KafkaSettings, Settings

_CHECK_SECONDS = 1.0

log = get_logger("worker")


@dataclass(slots=True)
class WorkerState:
    """The state of a worker for health endpoints and gauges; written by the worker, read by any thread."""

    assigned: int = 0
    joined: bool = False
    lag: int = 0
    last_progress: float = field(default_factory=time.monotonic)
    failure: str = ""
    topic_ids: Mapping[str, str] = field(default_factory=dict)  # by topic; known before the first message is read


def replaced(settings: KafkaSettings) -> ReplacedError:
    """The error of a worker when another worker has joined the group under its instance id."""
    return ReplacedError(
        f"Another worker joined the consumer group {settings.group!r} as {settings.instance_id!r} and reads the partitions of"
        " this one. This worker ends; nothing that it had not acknowledged is lost.",
        remedy="If both should run, give each worker another PORTALPULSE_KAFKA__INSTANCE_ID. Otherwise leave this one stopped.",
    )


class Watchdog:
    """Checks one worker every second. ``run`` ends only by raising an error."""

    def __init__(
        self,
        settings: Settings,
        *,
        topics: Sequence[str],
        state: WorkerState,
        steps: IngestSteps,
        unread: UnreadTracker,
        metrics: WorkerMetrics,
    ) -> None:
        self._kafka, self._topics, self._limits = settings.kafka, topics, settings.watchdog
        self._state, self._steps, self._unread, self._metrics = state, steps, unread, metrics
        self.detector = StallDetector(longest_tick=2 * _CHECK_SECONDS)

    async def run(self, app: Any) -> NoReturn:
        """Keep state and gauges up to date, until the worker must end.

        Raises:
            ReplacedError: another worker joined the group under the instance id of this one.
            PortalPulseError: the consumer gets no answers from Kafka.
        """
        suspension = SuspensionLogFilter()
        for handler in logging.getLogger().handlers:
            handler.addFilter(suspension)
        while True:
            await asyncio.sleep(_CHECK_SECONDS)
            if seconds := suspension.heartbeat():
                self._report_suspension(seconds)
            now = time.monotonic()
            consumer = app.consumer if app.started else None
            vitals: ConsumerVitals | None = None if consumer is None else consumer.vitals()
            self._publish(consumer, vitals, now)
            self.detector.tick(now)
            if vitals is not None and isinstance(vitals.error, FencedInstanceIdError):
                raise replaced(self._kafka)
            if problem := self.problem(vitals):
                remedy = "" if vitals is None else kafka_errors.remedy(vitals.error)
                raise await explained(problem, self._kafka, topics=self._topics, remedy=remedy)

    def problem(self, vitals: ConsumerVitals | None) -> str | None:
        """A sentence about why the worker must end, or None.

        While the memory budget is used up or the storage is unavailable, nothing is fetched, and fetches need no answers.
        """
        group, stall_limit = self._kafka.group, self._limits.stall_seconds
        if vitals is not None and vitals.error is not None:
            return f"The Kafka consumer gave up: {vitals.error!r}."
        if vitals is None or not vitals.joined:
            limit = stall_limit if self._state.joined else self._limits.assignment_seconds
            if self.detector.unchanged_seconds("partitions", None) <= limit:
                return None
            return f"The consumer group {group!r} gave this worker no partitions for {limit:g} s."
        self.detector.reset("partitions")
        if self.detector.unchanged_seconds("heartbeats", (vitals.assignment, vitals.heartbeats)) > stall_limit:
            return f"The coordinator of the consumer group {group!r} did not answer for {stall_limit:g} s."
        for tp, token in vitals.fetches.items():
            if self._steps.budget.full or self._steps.retrying.unavailable_since:
                self.detector.reset(tp)
            elif self.detector.unchanged_seconds(tp, (vitals.assignment, token)) > stall_limit:
                return f"Kafka gave no answer for partition {tp.partition} of {tp.topic!r} for {stall_limit:g} s."
        return None

    def _report_suspension(self, seconds: float) -> None:
        # The session began with the last heartbeat, up to a third of its length before the process was suspended.
        expired = seconds > self._kafka.session_timeout_seconds * 2 / 3
        after = "rejoins the group" if expired else "goes on"
        log.warning("process_was_suspended", reason=f"The process was suspended for {seconds:.0f} s and {after}.")

    def _publish(self, consumer: Any, vitals: ConsumerVitals | None, now: float) -> None:
        state, readable = self._state, 0
        if vitals is not None:
            state.joined = state.joined or vitals.joined
            state.assigned = len(vitals.fetches) if vitals.joined else 0
            state.lag, readable = consumer.lag(), consumer.readable()
            self._unread.update(consumer.ends(), consumer.committed())
        self._metrics.assigned.set(state.assigned)
        self._metrics.consumer_lag.set(state.lag)
        self._metrics.unstored.set(self._steps.budget.rows)
        self._metrics.unresolved.set(self._steps.dirty_buckets.unresolved_messages())
        self._metrics.unresolved_age.set(self._steps.dossiers.oldest_seconds())
        self._metrics.untallied.set(self._steps.acknowledger.untallied)
        self._metrics.unacknowledged.set(self._steps.acknowledger.unacknowledged)
        if readable == 0 and self._steps.acknowledger.unacknowledged == 0:
            state.last_progress = now  # there is nothing to do
        self._metrics.last_progress.set(time.time() - (now - state.last_progress))
