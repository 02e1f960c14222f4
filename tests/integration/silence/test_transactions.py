"""Senders that use transactions: committed messages count, aborted ones do not, and neither looks like a stall."""

from __future__ import annotations

import time

import pytest
from confluent_kafka import Producer

from deploy.native.processes import wait_until
from tests.factories import a_message

STALL = 6


def _producer(site, name):
    producer = Producer({"bootstrap.servers": site.kafka.bootstrap, "transactional.id": f"{name}-{site.topic}"})
    producer.init_transactions(30)
    return producer


def _begin(producer, site, count):
    producer.begin_transaction()
    for number in range(count):
        producer.produce(site.topic, a_message(), partition=number % 2)
    producer.flush(30)


def _stored(site):
    return int(site.server.query(f"SELECT count() FROM {site.database}.dossier_messages FINAL WHERE topic = '{site.topic}'"))


def _lag(worker):
    return worker.gauge("portalpulse_worker_consumer_lag_events")


@pytest.mark.chaos
def test_aborted_messages_are_not_counted(site):
    """Of interleaved transactions only the committed ones are counted, and the lag returns to 0."""
    worker = site.worker()
    one, other = _producer(site, "one"), _producer(site, "other")
    for _ in range(3):
        _begin(one, site, 20)
        _begin(other, site, 10)
        site.send(5)
        one.abort_transaction(30)
        other.commit_transaction(30)
    wait_until(lambda: _stored(site) == 3 * (10 + 5), timeout=90, what="the committed messages to be stored")
    wait_until(lambda: _lag(worker) == 0, timeout=90, what="nothing to wait")
    began = time.monotonic()
    while time.monotonic() - began < STALL + 4:  # each partition ends in the end of a transaction, which is not a message
        assert worker.process.running, worker.log()
        assert worker.healthy()
        time.sleep(0.5)
    assert _stored(site) == 3 * (10 + 5)
    assert _lag(worker) == 0


@pytest.mark.chaos
def test_an_open_transaction_waits_and_shows(site):
    """Messages of an open transaction show as lag, do not end a worker, and are counted after the commit."""
    worker = site.worker()
    producer = _producer(site, "slow")
    _begin(producer, site, 10)
    site.send(4)  # behind it, on either partition
    wait_until(lambda: _lag(worker) >= 10, timeout=90, what="the messages to be seen to wait")
    began = time.monotonic()
    while time.monotonic() - began < STALL + 4:
        assert worker.process.running, worker.log()
        assert worker.healthy()
        time.sleep(0.5)
    assert _stored(site) <= 4
    producer.commit_transaction(30)
    wait_until(lambda: _stored(site) == 14, timeout=90, what="all to be stored")
    wait_until(lambda: _lag(worker) == 0, timeout=90, what="nothing to wait")
