"""Runs one worker: Faust reads from Kafka, the delivery stores and counts, the watchdog checks, and all parts stop cleanly."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NoReturn

from aiokafka.errors import KafkaError

from domain.clock import Clock
from domain.errors import InvariantError, PortalPulseError
from pipeline.decode.decoder import Decoder
from pipeline.ingest.dead_letter_limit import DeadLetterLimit
from pipeline.ingest.delivery import Delivery
from pipeline.ingest.fetch import Fetch
from pipeline.ingest.steps import IngestSteps
from pipeline.ingest.unread_offsets import UnreadOffsets
from pipeline.kafka import errors as kafka_errors
from pipeline.kafka.app import create_app
from pipeline.kafka.group_storage import CHECK_SECONDS, GroupStorage
from pipeline.kafka.preflight import explained
from pipeline.kafka.record_batches import DamagedBatchError
from pipeline.kafka.topic_identity import TopicGoneError, TopicIdentity, TopicSnapshot
from pipeline.kafka.unread_tracker import UnreadTracker
from pipeline.kafka.watchdog import Watchdog, WorkerState
from pipeline.logs import get_logger
from pipeline.metrics import WorkerMetrics
from pipeline.settings import Settings
from sinks.contract.dead_letters import DeadLetterLimitStore
from sinks.contract.dossiers import DossierIndex
from sinks.contract.events import EventStore
from sinks.errors import SinkError

#: Time for the delivery's threads and for Faust to stop cleanly (seconds); together less than ``shutdown.STOP_SECONDS``.
_DELIVERY_STOP_SECONDS = 5.0
_APP_STOP_SECONDS = 8.0

log = get_logger("worker")


class Worker:
    """One worker of the group. ``run`` returns when the worker was asked to stop, and raises an error when it cannot go on."""

    def __init__(
        self,
        settings: Settings,
        *,
        decoder: Decoder,
        store: EventStore,
        index: DossierIndex,
        checkpoints: DeadLetterLimitStore,
        metrics: WorkerMetrics,
        clock: Clock,
        topics: Sequence[str] = (),
        reachable: tuple[str, ...] = (),
        loops: Callable[[IngestSteps], Mapping[str, Callable[[], None]]] = lambda _steps: {},
        group_storage: GroupStorage | None = None,
    ) -> None:
        """Make a worker without starting it.

        ``topics``: the topics to read; empty: that of the settings.
        ``reachable``: the bootstrap addresses that answer; Faust would wait for each of the others. Empty: use all.
        ``loops``: returns more loops to run, by name of the thread; each loop returns when ``steps.stopping`` is set.
        ``group_storage``: the storage to which the group's offsets must belong; None: any.
        """
        self._settings = settings
        self._topics = tuple(topics) or (settings.kafka.topic,)
        self._reachable = reachable or settings.kafka.bootstrap
        self._group_storage = group_storage
        self._failed: asyncio.Future[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._app: Any = None
        self.state = WorkerState()
        self.steps = IngestSteps(
            decoder=decoder,
            store=store,
            index=index,
            settings=settings.ingest,
            metrics=metrics,
            clock=clock,
            acknowledge=self._acknowledge_soon,
            limit=DeadLetterLimit(
                settings.dead_letters.max_consecutive, settings.dead_letters.max_ratio, settings.dead_letters.window_messages
            ),
            checkpoints=checkpoints,
            portal_of=settings.kafka.portal_of,
        )
        self._delivery = Delivery(self.steps, settings=settings.ingest, fail=self._fail_soon, loops=loops(self.steps))
        self._unread = UnreadTracker(settings.kafka.group, metrics=metrics, record=self.steps.record_unread, fail=self._fail)
        self.watchdog = Watchdog(
            settings, topics=self._topics, state=self.state, steps=self.steps, unread=self._unread, metrics=metrics
        )

    @property
    def unread(self) -> UnreadOffsets:
        """The offsets that left the log before they were read, as far as this worker noticed them."""
        return self._unread.offsets

    async def run(self, stop: asyncio.Event, *, ending: Callable[[PortalPulseError | None], None]) -> None:
        """Work until ``stop`` is set. ``ending`` is called when the worker begins to stop, with the error or None.

        Raises:
            PortalPulseError: the worker had to stop; the message says why. No unfinished message was acknowledged.
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
                f"The worker stopped on an unrecoverable storage error: {error}",
                remedy="No unfinished message was acknowledged. Fix the cause and restart the worker.",
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
            if failure is not None:  # logged now, because the stop may hang
                self.state.failure = str(failure)
                log.error("worker_ends", reason=str(failure))
            ending(failure)
            await self._stop(tasks)

    async def _begin(self, stop: asyncio.Event) -> set[asyncio.Future[Any]]:
        """Start every part; return the tasks of the parts. The worker ends when the first of them ends."""
        kafka = self._settings.kafka.model_copy(update={"bootstrap": self._reachable})
        identity = TopicIdentity(kafka, topics=self._topics, checked=self._compare)
        await identity.begin()
        self.state.topic_ids = identity.topic_ids
        self._app = create_app(
            kafka,
            topics=self._topics,
            offer=self._offer,
            fail=self._fail,
            record_unread=self._unread.record,
            budget=self.steps.budget,
            data_dir=self._settings.data_dir / "faust",
            loop=asyncio.get_running_loop(),
            group_storage=self._group_storage,
        )
        self._app.finalize()
        self._delivery.start()
        return {
            asyncio.ensure_future(stop.wait()),
            asyncio.ensure_future(self._run_app(identity)),
            asyncio.ensure_future(self.watchdog.run(self._app)),
            asyncio.ensure_future(self._until_gone(identity.watch())),
            asyncio.ensure_future(self._watch_storage()),
        }

    async def _run_app(self, identity: TopicIdentity) -> NoReturn:
        """Run Faust, which ends by itself only when it crashed, for example because its topic is gone; raise the cause."""
        try:
            await self._app.start()
            await self._app.wait_until_stopped()
            reason = getattr(self._app, "_crash_reason", None)  # Faust has no public name for it
        except KafkaError as error:
            reason = error
        problem, remedy = f"The Kafka consumer ended: {reason!r}.", kafka_errors.remedy(reason)
        if isinstance(reason, DamagedBatchError):
            problem, remedy = f"The Kafka consumer ended: {reason.args[0]}.", reason.remedy
        # Both ask the brokers, and each waits for those that do not answer.
        checking = asyncio.ensure_future(self._until_gone(identity.confirm()))
        cause = await explained(problem, self._settings.kafka, topics=self._topics, remedy=remedy)
        await checking
        raise cause

    async def _stop(self, tasks: set[asyncio.Future[Any]]) -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._delivery.stop(grace=_DELIVERY_STOP_SECONDS)
        if self._app is None:
            return
        try:
            async with asyncio.timeout(_APP_STOP_SECONDS) as deadline:
                await self._app.stop()
        except (TimeoutError, Exception) as error:  # noqa: BLE001 - Faust's own stop may fail; the process ends anyway
            cause = f"not stopped within {_APP_STOP_SECONDS:g} s" if deadline.expired() else repr(error)
            log.warning("consumer_did_not_stop_cleanly", error=cause, remedy="none: the process ends anyway")

    def _offer(self, fetch: Fetch) -> None:
        if not self._app.consumer.take(fetch.receipt):
            return
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
            # A future refuses StopIteration, and a BaseException would not be caught where the future is awaited.
            fits = isinstance(error, Exception) and not isinstance(error, StopIteration)
            self._failed.set_exception(error if fits else _unforeseen(error))

    def _compare(self, snapshots: Mapping[str, TopicSnapshot]) -> None:
        consumer = self._app.consumer
        self._unread.compare(snapshots, consumer.read_through() if consumer.vitals() is not None else {})

    async def _watch_storage(self) -> None:
        """Check again and again that no worker of another storage commits offsets of this group; if so, end this worker."""
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            if self.state.joined:
                await self._app.consumer.check_group()

    async def _until_gone(self, checking: Awaitable[None]) -> None:
        """Await a check of the topics; when one was deleted, record the offsets of it that this group had not read."""
        try:
            await checking
        except TopicGoneError as error:
            await self._unread.record_deleted_topic(error.topic)
            raise


def _unforeseen(error: BaseException) -> InvariantError:
    """The error with which a worker ends because of an error that nobody foresaw."""
    return InvariantError(
        f"The worker stopped on an unforeseen error: {error!r}.",
        remedy="No unfinished message was acknowledged. The log has the traceback: report it, then restart the worker.",
    )


def _result(task: asyncio.Future[Any]) -> None:
    """Raise the error that ended a task. A task that other code cancelled is an error, too."""
    if task.cancelled():
        raise _unforeseen(RuntimeError("a task of the worker was cancelled"))
    task.result()
