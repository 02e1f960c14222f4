"""Messages that another program in the consumer group reads are never counted, so it is named and the worker ends."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
from confluent_kafka import Consumer

from deploy.native.processes import wait_until
from domain.errors import UnavailableError

NEWER = {"group.protocol": "consumer"}
#: The brokers' longest session timeout is shorter than librdkafka's own.
CLASSIC = {"session.timeout.ms": 10_000}
SAME_ASSIGNOR = CLASSIC | {"partition.assignment.strategy": "roundrobin"}


@contextmanager
def another_program(site, **options):
    """A consumer of the worker's topic in the worker's group, with partitions of its own."""
    consumer = Consumer({"bootstrap.servers": site.kafka.bootstrap, "group.id": site.group, "client.id": "billing", **options})
    consumer.subscribe([site.topic])
    try:
        consumer.poll(0.1)
        yield consumer
    finally:
        consumer.close()


def _polled(consumer):
    consumer.poll(0.2)  # a message, or that it does not know the topic yet: joining goes on meanwhile
    return True


def _has_partitions(consumer):
    return _polled(consumer) and bool(consumer.assignment())


def _members(site):
    return site.kafka.admin.describe_consumer_groups([site.group])[site.group].result(60).members


def _named(site, said):
    return f"The consumer group '{site.group}' is used by another program: 'billing' on 127.0.0.1." in said and (
        "PORTALPULSE_KAFKA__GROUP" in said
    )


@pytest.mark.parametrize("options", [CLASSIC, SAME_ASSIGNOR, NEWER], ids=["range", "roundrobin", "newer protocol"])
def test_a_group_that_another_program_uses(site, options):
    """At the start another program in the group is named with the remedy, for every protocol and assignor."""
    with another_program(site, **options) as other:
        wait_until(lambda: _has_partitions(other), timeout=150, what="the other program to have partitions")
        assert _named(site, site.launch().await_end())


def test_a_group_that_another_program_has_left(site):
    """A worker joins a group that a program of the newer protocol used before."""
    with another_program(site, **NEWER) as other:
        wait_until(lambda: _has_partitions(other), timeout=150, what="the other program to have partitions")
    worker = site.worker()
    assert worker.gauge("portalpulse_worker_assigned_partitions") == 2


@pytest.mark.parametrize("options", [SAME_ASSIGNOR, NEWER], ids=["roundrobin", "newer protocol"])
def test_another_program_that_comes_later(site, options):
    """Another program cannot join the group of a worker; a worker whose group it took over meanwhile names it and ends."""
    worker = site.worker()
    with another_program(site, **options) as refused, pytest.raises(UnavailableError, match="Timed out"):
        wait_until(lambda: _has_partitions(refused), timeout=90, what="the group to let it in")
    assert worker.gauge("portalpulse_worker_assigned_partitions") == 2
    worker.process.suspend()
    wait_until(lambda: not _members(site), timeout=150, what="the group to give the worker up")
    with another_program(site, **options) as other:
        wait_until(lambda: _has_partitions(other), timeout=150, what="the other program to have partitions")
        worker.process.resume()
        wait_until(lambda: _polled(other) and not worker.process.running, timeout=90, what="the worker to notice it")
        assert _named(site, worker.said())
