"""Messages that another program in the consumer group reads are never counted, so it is named and the worker ends."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
from confluent_kafka import Consumer, KafkaError

from deploy.native.processes import wait_until

NEWER = {"group.protocol": "consumer"}
#: The brokers' longest session timeout is shorter than librdkafka's own.
CLASSIC = {"session.timeout.ms": 10_000}
SAME_ASSIGNOR = CLASSIC | {"partition.assignment.strategy": "roundrobin"}


def _polled(consumer, on_error=lambda _: None):
    """Let the client work for a moment, as joining goes on meanwhile; an error is handed out once, as a message."""
    message = consumer.poll(0.2)
    if message is not None and message.error():
        on_error(message.error())
    return True


@contextmanager
def another_program(site, on_error=lambda _: None, **options):
    """A consumer of the worker's topic in the worker's group; ``on_error`` is called with what the client reports."""
    usual = {"bootstrap.servers": site.kafka.bootstrap, "group.id": site.group, "client.id": "billing", "error_cb": on_error}
    consumer = Consumer(usual | options)
    consumer.subscribe([site.topic])
    try:
        _polled(consumer, on_error)
        yield consumer
    finally:
        consumer.close()


def _has_partitions(consumer):
    return _polled(consumer) and bool(consumer.assignment())


def _is_refused(consumer, errors):
    """Whether the brokers answered that the group does not take the consumer."""
    _polled(consumer, errors.append)
    assert not consumer.assignment()
    return any(error.code() in (KafkaError.INCONSISTENT_GROUP_PROTOCOL, KafkaError._FATAL) for error in errors)


def _members(site):
    return site.kafka.admin.describe_consumer_groups([site.group])[site.group].result(60).members


def _named(site, said):
    return f"The consumer group '{site.group}' is used by another program: 'billing' on 127.0.0.1." in said and (
        "PORTALPULSE_KAFKA__GROUP" in said
    )


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(CLASSIC, id="range", marks=pytest.mark.long),
        pytest.param(SAME_ASSIGNOR, id="roundrobin"),
        pytest.param(NEWER, id="newer protocol", marks=pytest.mark.long),
    ],
)
def test_a_group_that_another_program_uses(site, options):
    """At the start another program in the group is named with the remedy, for every protocol and assignor."""
    with another_program(site, **options) as other:
        wait_until(lambda: _has_partitions(other), timeout=150, what="the other program to have partitions")
        assert _named(site, site.launch().await_end())


@pytest.mark.long
def test_a_group_that_another_program_has_left(site):
    """A worker joins a group that a program of the newer protocol used before."""
    with another_program(site, **NEWER) as other:
        wait_until(lambda: _has_partitions(other), timeout=150, what="the other program to have partitions")
    worker = site.worker()
    assert worker.gauge("portalpulse_worker_assigned_partitions") == 2


@pytest.mark.parametrize(
    "options", [pytest.param(SAME_ASSIGNOR, id="roundrobin"), pytest.param(NEWER, id="newer protocol", marks=pytest.mark.long)]
)
def test_another_program_that_comes_later(site, options):
    """Another program cannot join the group of a worker; a worker whose group it took over meanwhile names it and ends."""
    worker = site.worker()
    errors = []
    with another_program(site, errors.append, **options) as other:
        wait_until(lambda: _is_refused(other, errors), timeout=150, what="the group to refuse it")
    assert worker.gauge("portalpulse_worker_assigned_partitions") == 2
    worker.process.suspend()
    wait_until(lambda: not _members(site), timeout=150, what="the group to give the worker up")
    with another_program(site, **options) as other:
        wait_until(lambda: _has_partitions(other), timeout=150, what="the other program to have partitions")
        worker.process.resume()
        wait_until(lambda: _polled(other) and not worker.process.running, timeout=90, what="the worker to notice it")
        assert _named(site, worker.said())
