"""Runs one worker: Faust in front, the delivery behind it, a watchdog beside them, and an orderly end.

Faust may idle without a word or loop on errors (see docs/guarantees.md); the watchdog ends a worker that should make
progress and makes none, so that whoever restarts processes can do its work.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.core.clock import Clock
from pipeline.core.dead_letter_limit import DeadLetterLimit
from pipeline.core.decode import Decoder
from pipeline.core.errors import InvariantError, PortalPulseError, UnavailableError
from pipeline.delivery import Delivery, Fetch
from pipeline.logs import get_logger
from pipeline.metrics import WorkerMetrics
from pipeline.settings import Settings
from pipeline.stream.app import create_app
from pipeline.stream.topic_identity import TopicIdentity
from sinks.contract import EventStore
from sinks.errors import SinkError

_STOP_SECONDS = 15.0
_WATCH_SECONDS = 1.0

log = get_logger("worker")


@dataclass(slots=True)
class WorkerState:
    """What the health endpoints and gauges say about a worker; written by the worker, read by anybody."""

    assigned: int = 0
    joined: bool = False
    lag: int = 0
    last_fetch: float = field(default_factory=time.monotonic)
    last_progress: float = field(default_factory=time.monotonic)
    failure: str = ""


class Worker:
    """One consumer of the group. ``run`` returns when asked to stop and raises when it cannot go on."""

    def __init__(self, settings: Settings, *, decoder: Decoder, store: EventStore, metrics: WorkerMetrics, clock: Clock) -> None:
        self._settings = settings
        self._metrics = metrics
        self.state = WorkerState()
        self._failed: asyncio.Future[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._app: Any = None
        self.delivery = Delivery(
            decoder=decoder,
            store=store,
            settings=settings.ingest,
            metrics=metrics,
            clock=clock,
            acknowledge=self._acknowledge_soon,
            fail=self._fail_soon,
            limit=DeadLetterLimit(
                settings.dead_letters.max_consecutive, settings.dead_letters.max_ratio, settings.dead_letters.window_messages
            ),
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Consume until ``stop`` is set.

        Raises:
            PortalPulseError: the worker had to end; the message says why. Nothing unfinished was acknowledged.
        """
        self._loop = asyncio.get_running_loop()
        self._failed = self._loop.create_future()
        identity = TopicIdentity(self._settings.kafka)
        await identity.begin()
        self._app = create_app(
            self._settings.kafka,
            offer=self._offer,
            fail=self._fail,
            room=self.delivery.room,
            data_dir=self._settings.data_dir / "faust",
            loop=self._loop,
        )
        self._app.finalize()
        self.delivery.start()
        tasks: set[asyncio.Future[Any]] = {
            asyncio.ensure_future(stop.wait()),
            asyncio.ensure_future(self._run_app()),
            asyncio.ensure_future(self._watch()),
            asyncio.ensure_future(identity.watch()),
        }
        try:
            done, _ = await asyncio.wait({*tasks, self._failed}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        except SinkError as error:
            self.state.failure = str(error)
            raise InvariantError(
                f"The worker stops: {error}", remedy="Nothing was acknowledged; mend the cause and start it."
            ) from error
        except PortalPulseError as error:
            self.state.failure = str(error)
            raise
        finally:
            await self._stop(tasks)

    async def _run_app(self) -> None:
        """Start Faust and wait; it ends by itself only when it crashed."""
        await self._app.start()
        await self._app.wait_until_stopped()
        reason = getattr(self._app, "_crash_reason", None)  # Faust keeps it to itself
        raise UnavailableError(
            f"The Kafka consumer ended: {reason!r}.",
            remedy="See the log above; start the worker again.",
        )

    async def _stop(self, tasks: set[asyncio.Future[Any]]) -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.delivery.stop(grace=_STOP_SECONDS / 3)
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await self._app.stop()
        except (TimeoutError, Exception) as error:  # noqa: BLE001 - Faust's own stop may fail; we are leaving anyway
            log.warning("consumer_did_not_stop_cleanly", error=repr(error))

    def _offer(self, fetch: Fetch) -> None:
        self.state.last_fetch = self.state.last_progress = time.monotonic()
        self.delivery.offer(fetch)

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
            self._failed.set_exception(error)

    async def _watch(self) -> None:
        """Keep the state and gauges up to date; raise when the worker should make progress and makes none."""
        began = time.monotonic()
        watchdog = self._settings.watchdog
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            now = time.monotonic()
            state, room = self.state, self.delivery.room
            consumer = self._app.consumer
            if self._app.started and consumer is not None:
                state.joined = consumer.assignment_epoch > 0
                state.assigned = len(consumer.assignment()) if state.joined else 0
                state.lag = consumer.unread() if state.joined else 0
            self._metrics.assigned.set(state.assigned)
            self._metrics.consumer_lag.set(state.lag)
            self._metrics.unstored.set(room.rows)
            self._metrics.unacknowledged.set(self.delivery.unacknowledged)
            if state.lag == 0 and self.delivery.unacknowledged == 0:
                state.last_progress = now  # nothing to do is fine
            self._metrics.last_progress.set(time.time() - (now - state.last_progress))
            if not state.joined and now - began > watchdog.assignment_seconds:
                raise UnavailableError(
                    f"The consumer group {self._settings.kafka.group!r} gave no answer for {watchdog.assignment_seconds:.0f} s.",
                    remedy="Check the rights on topic and group and the session timeout; `portalpulse doctor` names the part.",
                )
            if state.assigned and state.lag and not room.full and now - state.last_fetch > watchdog.stall_seconds:
                raise UnavailableError(
                    f"{state.lag} messages wait in Kafka and none was read for {watchdog.stall_seconds:.0f} s.",
                    remedy="The worker ends so that a fresh one can take over; see the log above for the broker's errors.",
                )
