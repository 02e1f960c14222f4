"""When the watchdog ends a worker, and when it does not."""

from __future__ import annotations

from dataclasses import replace

import pytest
from aiokafka import TopicPartition
from prometheus_client import CollectorRegistry

from domain.clock import SystemClock
from pipeline.decode.decoder import Decoder
from pipeline.kafka.consumer_vitals import ConsumerVitals
from pipeline.kafka.worker import Worker
from pipeline.metrics import WorkerMetrics
from pipeline.settings import load_settings
from pipeline.wiring.worker import worker_health
from tests.factories import TOPIC
from tests.fakes import MemoryStore

ONE, TWO = (TopicPartition(TOPIC, number) for number in (1, 2))


class Dog:
    """A worker's watchdog, a second at a time."""

    def __init__(self, registry):
        settings = load_settings(watchdog={"assignment_seconds": 20, "stall_seconds": 40})
        metrics = WorkerMetrics(CollectorRegistry())
        self.worker = Worker(
            settings,
            decoder=Decoder(registry),
            store=MemoryStore(),
            index=MemoryStore(),
            checkpoints=MemoryStore(),
            metrics=metrics,
            clock=SystemClock(),
        )
        self.now = 1_000.0

    def watch(self, seconds, vitals):
        """The first problem within a number of seconds, and the second at which it was found; ``vitals`` of the second."""
        for second in range(1, seconds + 1):
            self.now += 1
            self.worker.watchdog.detector.tick(self.now)
            if problem := self.worker.watchdog.problem(vitals(second)):
                return problem, second
        return None, seconds


def healthy(second):
    """Everything is answered, and there is nothing to read."""
    return ConsumerVitals(
        assignment=1, joined=True, heartbeats=second // 3, fetches={ONE: (second, 7), TWO: (second, 9)}, error=None
    )


@pytest.fixture
def dog(registry):
    """A watchdog with short limits."""
    return Dog(registry)


def test_an_idle_worker_is_healthy(dog):
    """Answers are enough: a topic without messages ends no worker."""
    assert dog.watch(1_000, healthy) == (None, 1_000)


@pytest.mark.parametrize("vitals", [None, replace(healthy(1), joined=False, fetches={})])
def test_a_group_that_gives_no_partitions(dog, vitals):
    """Before the first assignment its own limit applies, afterwards the limit of a stall."""
    problem, after = dog.watch(100, lambda _: vitals)
    assert "gave this worker no partitions for 20 s" in problem
    assert after == 22
    dog.watch(5, healthy)
    dog.worker.state.joined = True
    problem, after = dog.watch(100, lambda _: vitals)
    assert "for 40 s" in problem
    assert after == 42


def test_one_partition_without_an_answer_ends_the_worker(dog):
    """A partition whose fetches are not answered is noticed although all others are."""
    problem, after = dog.watch(100, lambda second: replace(healthy(second), fetches={ONE: (second, 7), TWO: (3, 9)}))
    assert problem == f"Kafka gave no answer for partition 2 of '{TOPIC}' for 40 s."
    assert after == 42


def test_while_the_budget_is_full_nothing_needs_to_be_fetched(dog):
    """While the storage is unavailable nothing is fetched, however long; afterwards the time limit starts again."""
    dog.worker.steps.budget.reserve(10**9, 0)
    nothing = dict.fromkeys((ONE, TWO), (3, 9))
    assert dog.watch(1_000, lambda second: replace(healthy(second), fetches=nothing))[0] is None
    dog.worker.steps.budget.release(10**9, 0)
    assert dog.watch(100, lambda second: replace(healthy(second), fetches=nothing))[1] == 42


def test_heartbeats_without_an_answer_end_the_worker(dog):
    """A silent coordinator has reassigned the partitions, even if messages still arrive or the memory budget is full."""
    dog.worker.steps.budget.reserve(10**9, 0)
    problem, after = dog.watch(100, lambda second: replace(healthy(second), heartbeats=4))
    assert "The coordinator of the consumer group 'portalpulse' did not answer for 40 s." in problem
    assert after == 42


def test_a_new_assignment_starts_again(dog):
    """Tokens of an earlier assignment are not compared with those of the current one."""
    frozen = {ONE: (3, 7)}
    assert dog.watch(39, lambda second: replace(healthy(second), fetches=frozen))[0] is None
    assert dog.watch(39, lambda second: replace(healthy(second), fetches=frozen, assignment=2))[0] is None


def test_what_ended_the_consumers_own_tasks_ends_the_worker(dog):
    """An error that aiokafka keeps for a caller that Faust never makes ends the worker at once."""
    problem, after = dog.watch(100, lambda second: replace(healthy(second), error=ValueError("group")))
    assert problem == "The Kafka consumer gave up: ValueError('group')."
    assert after == 1


def test_a_worker_that_waits_for_its_storage_is_healthy(dog, monkeypatch):
    """A restart of the worker would not bring the storage back: it is healthy and not ready, however long."""
    dog.worker.state.joined = True
    dog.worker.state.last_progress -= 10_000
    assert not worker_health(dog.worker, 120).healthy
    monkeypatch.setattr(dog.worker.steps.retrying, "unavailable_since", SystemClock().now())
    health = worker_health(dog.worker, 120)
    assert (health.healthy, health.ready) == (True, False)
    assert "storage unreachable since" in health.reason
