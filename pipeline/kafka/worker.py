"""Runs one worker: Faust in front, the delivery behind it, a watchdog beside them, and an orderly end.

Faust may idle without a word or loop on errors (see docs/guarantees.md). The watchdog looks for answers, not for progress: a
healthy consumer gets heartbeats and fetches answered all the time, also when there is nothing to read. One that does not is
ended, after the preflight was asked for the cause, so that whoever restarts processes can do its work.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from aiokafka.errors import KafkaError

from domain.clock import Clock
from domain.errors import InvariantError, PortalPulseError, UnavailableError
from pipeline.decode.decoder import Decoder
from pipeline.ingest.dead_letter_limit import DeadLetterLimit
from pipeline.ingest.delivery import Delivery
from pipeline.ingest.fetch import Fetch
from pipeline.ingest.steps import IngestSteps
from pipeline.ingest.unread_offsets import UnreadOffsets, describe_unread
from pipeline.kafka import errors as kafka_errors
from pipeline.kafka.app import create_app
from pipeline.kafka.preflight import preflight
from pipeline.kafka.quiet import QuietAfterStandstill
from pipeline.kafka.stall_detector import StallDetector
from pipeline.kafka.topic_identity import LOOK_SECONDS, Look, TopicGoneError, TopicIdentity, in_thread
from pipeline.kafka.transport import ConsumerVitals
from pipeline.logs import get_logger
from pipeline.metrics import WorkerMetrics
from pipeline.settings import Settings
from sinks.contract.dead_letters import DeadLetterLimitStore
from sinks.contract.events import EventStore, UnreadCause, UnreadRange
from sinks.errors import SinkError

#: What the delivery's threads and Faust get to end in order (seconds); together less than ``shutdown.STOP_SECONDS``.
_DELIVERY_STOP_SECONDS = 5.0
_APP_STOP_SECONDS = 8.0
_WATCH_SECONDS = 1.0
#: What a worker whose topic is gone gets to record what nobody read of it (seconds).
_RECORD_SECONDS = 5.0

log = get_logger("worker")


@dataclass(slots=True)
class WorkerState:
    """What the health endpoints and gauges say about a worker; written by the worker, read by anybody."""

    assigned: int = 0
    joined: bool = False
    lag: int = 0
    last_progress: float = field(default_factory=time.monotonic)
    failure: str = ""


class Worker:
    """One consumer of the group. ``run`` returns when asked to stop and raises when it cannot go on."""

    def __init__(
        self,
        settings: Settings,
        *,
        decoder: Decoder,
        store: EventStore,
        checkpoints: DeadLetterLimitStore,
        metrics: WorkerMetrics,
        clock: Clock,
        reachable: tuple[str, ...] = (),
    ) -> None:
        """``reachable``: the bootstrap addresses that answer; Faust would wait for each of the others. Empty takes all."""
        self._settings = settings
        self._reachable = reachable or settings.kafka.bootstrap
        self._metrics = metrics
        self.state = WorkerState()
        #: Offsets that left the log before they were read, as far as this worker noticed.
        self.unread = UnreadOffsets()
        self._read_through: dict[Any, int] = {}  # at the look before
        self._looked_at = 0.0
        self._ends: dict[Any, int] = {}  # highest end of each assigned partition
        self._committed: dict[Any, int] = {}
        self._failed: asyncio.Future[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._app: Any = None
        self.steps = IngestSteps(
            decoder=decoder,
            store=store,
            settings=settings.ingest,
            metrics=metrics,
            clock=clock,
            acknowledge=self._acknowledge_soon,
            limit=DeadLetterLimit(
                settings.dead_letters.max_consecutive, settings.dead_letters.max_ratio, settings.dead_letters.window_messages
            ),
            checkpoints=checkpoints,
        )
        self._delivery = Delivery(self.steps, settings=settings.ingest, fail=self._fail_soon)

    async def run(self, stop: asyncio.Event, *, ending: Callable[[PortalPulseError | None], None]) -> None:
        """Consume until ``stop`` is set. ``ending`` is told when the end begins, and why if it was not asked for.

        Raises:
            PortalPulseError: the worker had to end; the message says why. Nothing unfinished was acknowledged.
        """
        self._loop = asyncio.get_running_loop()
        self._failed = self._loop.create_future()
        tasks: set[asyncio.Future[Any]] = set()
        failure: PortalPulseError | None = None
        try:
            tasks |= await self._begin(stop)
            done, _ = await asyncio.wait({*tasks, self._failed}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                _result(task)
        except SinkError as error:
            failure = InvariantError(
                f"The worker stops: {error}", remedy="Nothing was acknowledged; mend the cause and start it."
            )
            raise failure from error
        except PortalPulseError as error:
            failure = error
            raise
        except Exception as error:
            log.exception("unforeseen_error")
            failure = _unforeseen(error)
            raise failure from error
        finally:
            if failure is not None:  # said now: the end may hang
                self.state.failure = str(failure)
                log.error("worker_ends", reason=str(failure))
            ending(failure)
            await self._stop(tasks)

    async def _begin(self, stop: asyncio.Event) -> set[asyncio.Future[Any]]:
        """Start every part; returns the tasks whose end is the end of the worker."""
        identity = TopicIdentity(self._settings.kafka, looked=self._looked)
        await identity.begin()
        self._app = create_app(
            self._settings.kafka.model_copy(update={"bootstrap": self._reachable}),
            offer=self._offer,
            fail=self._fail,
            unread=self._left_unread,
            room=self.steps.budget,
            data_dir=self._settings.data_dir / "faust",
            loop=asyncio.get_running_loop(),
        )
        self._app.finalize()
        self._delivery.start()
        return {
            asyncio.ensure_future(stop.wait()),
            asyncio.ensure_future(self._run_app()),
            asyncio.ensure_future(self._watch()),
            asyncio.ensure_future(self._watch_topic(identity)),
        }

    async def _run_app(self) -> None:
        """Start Faust and wait; it ends by itself only when it crashed."""
        try:
            await self._app.start()
            await self._app.wait_until_stopped()
            reason = getattr(self._app, "_crash_reason", None)  # Faust keeps it to itself
        except KafkaError as error:
            reason = error
        raise await self._explained(f"The Kafka consumer ended: {reason!r}.", kafka_errors.remedy(reason))

    async def _explained(self, problem: str, remedy: str = "") -> PortalPulseError:
        """``problem`` with the cause that the preflight finds for it, if it finds one; otherwise with ``remedy``."""
        try:
            await preflight(self._settings.kafka)
        except PortalPulseError as cause:
            return type(cause)(f"{problem} {cause.problem}", remedy=cause.remedy)
        return UnavailableError(problem, remedy=remedy or "See the log above for the broker's errors; start the worker again.")

    async def _stop(self, tasks: set[asyncio.Future[Any]]) -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._delivery.stop(grace=_DELIVERY_STOP_SECONDS)
        if self._app is None:
            return
        try:
            async with asyncio.timeout(_APP_STOP_SECONDS):
                await self._app.stop()
        except (TimeoutError, Exception) as error:  # noqa: BLE001 - Faust's own stop may fail; we are leaving anyway
            log.warning("consumer_did_not_stop_cleanly", error=repr(error))

    def _offer(self, fetch: Fetch) -> None:
        self.state.last_progress = time.monotonic()
        self._delivery.offer(fetch)

    def _acknowledge_soon(self, fetches: Sequence[Fetch]) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._acknowledge, tuple(fetches))

    def _acknowledge(self, fetches: tuple[Fetch, ...]) -> None:
        self.state.last_progress = time.monotonic()
        consumer = self._app.consumer
        for fetch in fetches:
            consumer.acknowledge(fetch.receipt)

    def _fail_soon(self, error: BaseException) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._fail, error)

    def _fail(self, error: BaseException) -> None:
        if self._failed is not None and not self._failed.done():
            # A future takes no StopIteration, and whatever is no Exception would pass by those who wait for it.
            fits = isinstance(error, Exception) and not isinstance(error, StopIteration)
            self._failed.set_exception(error if fits else _unforeseen(error))

    async def _left_unread(self, tp: Any, first: int, end: int, cause: UnreadCause) -> None:
        """Note offsets that left the log unread, and return when they are recorded: nothing behind them is read before."""
        if cause is UnreadCause.TRUNCATED:
            log.error("log_truncated", topic=tp.topic, partition=tp.partition, position=first, end=end)
        if first >= end:
            return
        self._note_unread(tp, first, end)
        record = UnreadRange(tp.topic, tp.partition, first, end, self._settings.kafka.group, cause)
        try:
            await in_thread(lambda: self.steps.record_unread([record]))
        except Exception as error:
            self._fail(error)
            raise

    def _note_unread(self, tp: Any, first: int, end: int) -> None:
        if new := self.unread.add((tp.topic, tp.partition), first, end):
            self._metrics.unread.labels(topic=tp.topic, partition=tp.partition).inc(new)
            log.error("offsets_left_the_log_unread", topic=tp.topic, reason=describe_unread(tp.partition, first, end))

    def _looked(self, look: Look) -> None:
        """Note what left the log while nothing is fetched, as while the storage is away; it is recorded when reading goes on.

        A fetch may be on its way: only what two looks in a row find behind the same position is unread for certain. Between looks
        far apart this worker may have stood still, and another one has read its partitions.
        """
        consumer, now = self._app.consumer, time.monotonic()
        through = consumer.read_through() if consumer.signs() is not None else {}
        before = self._read_through if now - self._looked_at < 3 * LOOK_SECONDS else {}
        for tp, offset in through.items():
            self._ends[tp] = max(look.ends.get(tp.partition, 0), self._ends.get(tp, 0))
            if before.get(tp) == offset:
                self._note_unread(tp, max(offset, look.committed.get(tp.partition, 0)), look.first.get(tp.partition, 0))
        self._read_through, self._looked_at = through, now

    async def _watch_topic(self, identity: TopicIdentity) -> None:
        """Watch over the topic; when it is another one, record what of the old one nobody read."""
        try:
            await identity.watch()
        except TopicGoneError:
            with suppress(TimeoutError):  # with the storage away it is only logged
                async with asyncio.timeout(_RECORD_SECONDS):
                    for tp, offset in self._committed.items():
                        await self._left_unread(tp, offset, self._ends.get(tp, 0), UnreadCause.RECREATED)
            raise

    async def _watch(self) -> None:
        """Keep the state and gauges up to date; raise when the consumer gets no answers any more."""
        still = StallDetector(longest_step=2 * _WATCH_SECONDS)
        quiet = QuietAfterStandstill()
        for handler in logging.getLogger().handlers:
            handler.addFilter(quiet)
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            if seconds := quiet.beat():
                # The session began with the last heartbeat, up to a third of it before the process stood still.
                gone = seconds > self._settings.kafka.session_timeout_seconds * 2 / 3
                after = "rejoins the group" if gone else "goes on"
                log.warning("process_stood_still", reason=f"The process stood still for {seconds:.0f} s and {after}.")
            now = time.monotonic()
            consumer = self._app.consumer if self._app.started else None
            signs: ConsumerVitals | None = None if consumer is None else consumer.signs()
            self._publish(consumer, signs, now)
            still.step(now)
            if problem := self._standstill(still, signs):
                raise await self._explained(problem, "" if signs is None else kafka_errors.remedy(signs.error))

    def _publish(self, consumer: Any, signs: ConsumerVitals | None, now: float) -> None:
        state, room, readable = self.state, self.steps.budget, 0
        if signs is not None:
            state.joined = state.joined or signs.joined
            state.assigned = len(signs.fetches) if signs.joined else 0
            state.lag, readable = consumer.unread(), consumer.readable()
            ends = consumer.ends()
            if ends:  # of a topic that is gone the last ones stay: its partitions are taken away before the worker ends
                self._ends = {tp: max(end, self._ends.get(tp, 0)) for tp, end in ends.items()}
                committed = consumer.committed()
                self._committed = {tp: max(committed.get(tp, 0), self._committed.get(tp, 0)) for tp in ends}
            for tp in ends:  # the series is there before anything is noticed
                self._metrics.unread.labels(topic=tp.topic, partition=tp.partition)
        self._metrics.assigned.set(state.assigned)
        self._metrics.consumer_lag.set(state.lag)
        self._metrics.unstored.set(room.rows)
        self._metrics.unacknowledged.set(self.steps.acknowledger.unacknowledged)
        if readable == 0 and self.steps.acknowledger.unacknowledged == 0:
            state.last_progress = now  # nothing to do is fine
        self._metrics.last_progress.set(time.time() - (now - state.last_progress))

    def _standstill(self, still: StallDetector, signs: ConsumerVitals | None) -> str | None:
        """What the consumer waits for in vain, or None. While the storage is away the room is full, and nothing is fetched."""
        kafka, limits = self._settings.kafka, self._settings.watchdog
        if signs is not None and signs.error is not None:
            return f"The Kafka consumer gave up: {signs.error!r}."
        if signs is None or not signs.joined:
            limit = limits.stall_seconds if self.state.joined else limits.assignment_seconds
            if still.since("partitions", None) <= limit:
                return None
            return f"The consumer group {kafka.group!r} gave this worker no partitions for {limit:g} s."
        still.forget("partitions")
        limit = limits.stall_seconds
        if still.since("heartbeats", (signs.assignment, signs.heartbeats)) > limit:
            return f"The coordinator of the consumer group {kafka.group!r} did not answer for {limit:g} s."
        for tp, mark in signs.fetches.items():
            if self.steps.budget.full or self.steps.retrying.unavailable_since:
                still.forget(tp)
            elif still.since(tp, (signs.assignment, mark)) > limit:
                return f"Kafka gave no answer for partition {tp.partition} of {tp.topic!r} for {limit:g} s."
        return None


def _unforeseen(error: BaseException) -> InvariantError:
    """The end of a worker because of an error that is in no table."""
    return InvariantError(
        f"The worker stops because of an unforeseen error: {error!r}.",
        remedy="Nothing unfinished was acknowledged. Its traceback is in the log: report it, then start the worker again.",
    )


def _result(task: asyncio.Future[Any]) -> None:
    """Raise what ended the task. Somebody else's cancellation is an error, too: it would pass by every handler."""
    if task.cancelled():
        raise _unforeseen(RuntimeError("a task of the worker was cancelled"))
    task.result()
