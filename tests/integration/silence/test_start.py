"""Starts until partitions are assigned, on real parts, with brokers that are slow, silent, dead or refuse."""

from __future__ import annotations

import socket
import subprocess
import sys
from contextlib import contextmanager

import pytest

from deploy.native.ports import LOOPBACK, free_port
from deploy.native.processes import wait_until
from tests.proxies import Proxy

#: librdkafka's test cluster with a round trip of 300 ms.
FAR_BROKER = """
import sys
from confluent_kafka import Producer
far = {"test.mock.num.brokers": 1, "test.mock.broker.rtt": 300, "bootstrap.servers": "localhost:1", "log_level": 3}
producer = Producer(far)
broker = next(iter(producer.list_topics(sys.argv[1], timeout=30).brokers.values()))
print(f"{broker.host}:{broker.port}", flush=True)
sys.stdin.read()
"""


@contextmanager
def silent_address():
    """An address that accepts connections and never answers."""
    with socket.create_server((LOOPBACK, 0)) as listener:
        yield f"{LOOPBACK}:{listener.getsockname()[1]}"


@pytest.mark.long
def test_a_broker_far_away(site):
    """A worker whose broker answers after 300 ms starts, although parts of aiokafka are created late."""
    with subprocess.Popen(
        [sys.executable, "-c", FAR_BROKER, site.topic], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as broker:
        worker = site.worker(
            PORTALPULSE_KAFKA__BOOTSTRAP=broker.stdout.readline().strip(), PORTALPULSE_WATCHDOG__ASSIGNMENT_SECONDS="60"
        )
        assert worker.gauge("portalpulse_worker_assigned_partitions") == 4
        broker.stdin.close()


@pytest.mark.long
def test_a_slow_way_to_the_brokers(site):
    """A worker starts with a real broker that answers every request late, in the preflight and when joining."""
    site.through("proxy").kafka.proxy.delay = 0.3
    worker = site.worker(PORTALPULSE_WATCHDOG__ASSIGNMENT_SECONDS="60")
    site.send(4)
    wait_until(lambda: worker.gauge("portalpulse_worker_acknowledged_events_total") == 4, timeout=150, what="the events")


@pytest.mark.chaos
def test_a_slow_way_with_tls_and_password(site):
    """A worker waits for a slow first broker, although handshake and login take several round trips each."""
    site.through("tls")
    proxy = Proxy(free_port(), site.kafka.tls)
    proxy.delay = 0.3
    try:
        site.worker(PORTALPULSE_KAFKA__BOOTSTRAP=f"{LOOPBACK}:{proxy.port}", PORTALPULSE_WATCHDOG__ASSIGNMENT_SECONDS="60")
    finally:
        proxy.close()


@pytest.mark.parametrize("listener", ["plain", pytest.param("tls", marks=pytest.mark.chaos)])
def test_silent_and_dead_addresses_beside_a_living_one(site, listener):
    """Silent or refusing addresses at the head of the list delay a start by less than the limit of the watchdog."""
    site.through(listener)
    with silent_address() as first, silent_address() as second:
        addresses = f"{first},{second},{LOOPBACK}:1,{site.environment['PORTALPULSE_KAFKA__BOOTSTRAP']}"
        worker = site.worker(PORTALPULSE_KAFKA__BOOTSTRAP=addresses)
        site.send(4)
        wait_until(lambda: worker.gauge("portalpulse_worker_acknowledged_events_total") == 4, timeout=150, what="the events")
        assert "Unclosed" not in worker.log()


@pytest.mark.long
def test_only_silent_and_dead_addresses(site):
    """When no address answers, the message says which one accepts connections."""
    with silent_address() as silent:
        said = site.launch(PORTALPULSE_KAFKA__BOOTSTRAP=f"{LOOPBACK}:1,{silent}").await_end()
    assert f"Kafka at {silent} takes connections and does not answer (PLAINTEXT)." in said


def test_only_dead_addresses(site):
    """When no process listens at any address, all addresses are named."""
    said = site.launch(PORTALPULSE_KAFKA__BOOTSTRAP=f"{LOOPBACK}:1,{LOOPBACK}:2").await_end()
    assert f"No Kafka broker answers at {LOOPBACK}:1, {LOOPBACK}:2." in said


@pytest.mark.chaos
def test_a_broker_that_falls_silent_between_two_requests(site):
    """A broker that answers metadata but not fetches is reported as hanging, and no consumer stays open."""
    site.through("proxy").kafka.proxy.muted |= {1}
    process = site.launch()
    said = process.await_end()
    assert "answers some requests, but not others within 20 s" in said
    assert "Unclosed" not in process.log()


def test_a_name_that_no_topic_can_have(site):
    """A refusal is reported with its remedy, not as a broker that is not ready."""
    said = site.launch(PORTALPULSE_KAFKA__TOPIC="a/b").await_end()
    assert "refuses: INVALID_TOPIC_EXCEPTION (a/b). Correct the name of the topic (PORTALPULSE_KAFKA__TOPIC)." in said
