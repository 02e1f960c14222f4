"""How a worker ends: every error has its cause in the log and in the health, and an exit status."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from aiokafka.errors import KafkaError
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from domain.clock import SystemClock
from domain.errors import InvariantError, PortalPulseError, UnavailableError
from pipeline.decode.decoder import Decoder
from pipeline.kafka import worker as worker_module
from pipeline.kafka.topic_identity import TopicGoneError
from pipeline.kafka.worker import Worker
from pipeline.metrics import WorkerMetrics
from pipeline.settings import load_settings
from pipeline.wiring.worker import worker_health
from sinks.errors import Fatal
from tests.fakes import MemoryStore


def a_worker(registry, tmp_path):
    """A worker whose broker does not exist."""
    return Worker(
        load_settings(kafka={"bootstrap": "127.0.0.1:1"}, data_dir=tmp_path),
        decoder=Decoder(registry),
        store=MemoryStore(),
        index=MemoryStore(),
        checkpoints=MemoryStore(),
        metrics=WorkerMetrics(CollectorRegistry()),
        clock=SystemClock(),
    )


async def ended(worker, begin):
    """Run the worker with other parts than Faust's; what it raised, what it logged, and what its health said then."""
    worker._begin = begin
    calls = []
    with capture_logs() as logs, pytest.raises(PortalPulseError) as raised:
        await worker.run(asyncio.Event(), ending=lambda error: calls.append((error, worker_health(worker, 60))))
    reasons = [entry["reason"] for entry in logs if entry["event"] == "worker_ends"]
    ((error, health),) = calls
    assert error is raised.value
    assert reasons == [str(error)]
    assert (health.healthy, health.reason) == (False, str(error))
    return raised.value


async def raises(error):
    """A task that ends with an error."""
    raise error


def tasks_of(*errors):
    """A start that gives one task for each error."""

    async def begin(_stop):
        return {asyncio.ensure_future(raises(error)) for error in errors}

    return begin


@pytest.mark.parametrize(
    "error", [KeyError("x"), MemoryError("no more"), TypeError("bug"), OSError(5, "disk"), RecursionError("deep")]
)
async def test_an_unforeseen_error_of_a_task_is_told(registry, tmp_path, error):
    """An error that is in no table ends the worker with its cause in the log and in the health, and status 1."""
    raised = await ended(a_worker(registry, tmp_path), tasks_of(error))
    assert isinstance(raised, InvariantError)
    assert raised.exit_code == 1
    assert repr(error) in raised.problem


async def test_a_foreseen_error_keeps_its_words(registry, tmp_path):
    """An error with a remedy is reported unchanged, with its own status."""
    raised = await ended(a_worker(registry, tmp_path), tasks_of(UnavailableError("Kafka is gone.", remedy="Start it.")))
    assert (str(raised), raised.exit_code) == ("Kafka is gone. Start it.", 2)


async def test_an_error_of_the_storage_is_told(registry, tmp_path):
    """An unknown error of the storage ends the worker with status 1."""
    raised = await ended(a_worker(registry, tmp_path), tasks_of(Fatal("ClickHouse: code 999")))
    assert raised.exit_code == 1
    assert "code 999" in raised.problem


async def test_an_error_of_the_start_is_told(registry, tmp_path):
    """An error before anything runs is reported in the same way."""

    async def begin(_stop):
        raise RuntimeError("Faust cannot be made")

    raised = await ended(a_worker(registry, tmp_path), begin)
    assert "Faust cannot be made" in raised.problem


async def test_a_cancelled_task_is_told(registry, tmp_path):
    """A task that other code cancelled ends the worker with a message."""

    async def begin(_stop):
        task = asyncio.ensure_future(asyncio.sleep(60))
        asyncio.get_running_loop().call_soon(task.cancel)
        return {task}

    raised = await ended(a_worker(registry, tmp_path), begin)
    assert "a task of the worker was cancelled" in raised.problem


@pytest.mark.parametrize("error", [StopIteration(7), SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
async def test_an_odd_error_of_a_thread_is_told(registry, tmp_path, error):
    """An error that a future refuses, or that is not an Exception, ends the worker like any other error of a thread."""
    worker = a_worker(registry, tmp_path)

    async def begin(_stop):
        worker._fail_soon(error)
        return {asyncio.ensure_future(asyncio.sleep(60))}

    raised = await asyncio.wait_for(ended(worker, begin), 20)
    assert repr(error) in raised.problem


class Crashed:
    """A Faust app that ends by itself, as after an error of its consumer."""

    _crash_reason = KafkaError("AssertionError()")

    async def start(self):
        """Nothing."""

    async def wait_until_stopped(self):
        """Nothing."""


class Identity:
    """The check of the topic after the consumer ended."""

    def __init__(self, error=None):
        self.error = error

    async def confirm(self):
        """What became of the topic."""
        if self.error is not None:
            raise self.error


GONE = TopicGoneError("events", "The topic 'events' was deleted and created again.", remedy="Use another group.")


@pytest.mark.parametrize(
    ("identity", "told"),
    [
        (Identity(GONE), GONE.problem),
        (Identity(), "The Kafka consumer ended: KafkaError('AssertionError()')."),
    ],
)
async def test_a_consumer_that_ended_because_its_topic_is_gone(registry, tmp_path, monkeypatch, identity, told):
    """When Faust ends, whatever its error is, the worker says that its topic is gone; if that is not so, it names the error."""

    async def explained(problem, *_, **__):
        return UnavailableError(problem, remedy="See the log.")

    monkeypatch.setattr(worker_module, "explained", explained)
    worker = a_worker(registry, tmp_path)
    worker._app = Crashed()
    with pytest.raises(PortalPulseError) as raised:
        await worker._run_app(identity)
    assert raised.value.problem == told
    assert raised.value.exit_code == 2


async def test_an_asked_for_end_is_no_failure(registry, tmp_path):
    """A worker that was asked to stop ends without a reason."""
    worker, stop, calls = a_worker(registry, tmp_path), asyncio.Event(), []

    async def begin(stop):
        stop.set()
        return {asyncio.ensure_future(stop.wait())}

    worker._begin = begin
    with contextlib.suppress(TimeoutError):
        await worker.run(stop, ending=calls.append)
    assert calls == [None]
    assert worker.state.failure == ""
