"""SIGTERM ends every process within twenty seconds, whatever it waits for; a second SIGTERM ends it at once."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress

import psutil
import pytest

from deploy.native.ports import LOOPBACK
from deploy.native.processes import wait_until

LIMIT = 20
#: Between the end at once and the one that the limit of 18 s forces.
AT_ONCE = 12


def _storage(site, proxy, **more):
    return {"PORTALPULSE_CLICKHOUSE__URL": f"http://default:@{LOOPBACK}:{proxy.port}/{site.database}"} | more


@pytest.mark.long
def test_an_idle_worker(site):
    """An idle worker stops cleanly."""
    worker = site.worker()
    assert worker.terminate() < AT_ONCE
    assert worker.process.exit_code == 0


@pytest.mark.parametrize("command", [pytest.param("worker", marks=pytest.mark.long), "exporter"])
def test_while_the_storage_hangs_at_the_start(site, storage_proxy, command):
    """A process that waits for the storage at its start has nothing to clean up and ends at once."""
    storage_proxy.silent.set()
    process = site.launch(command, **_storage(site, storage_proxy))
    wait_until(lambda: storage_proxy._open, timeout=90, what="it to ask the storage")
    assert process.terminate() < AT_ONCE
    assert process.process.exit_code == 128 + 15


@pytest.mark.long
def test_while_the_broker_hangs_at_the_start(site):
    """A worker ends at once in its preflight while the broker accepts connections and does not answer."""
    site.through("proxy")
    site.kafka.proxy.muted |= {3, 18}  # metadata, versions
    process = site.launch()
    wait_until(site.kafka.proxy.muted_requests, timeout=150, what="it to ask the broker", children=[process.process])
    assert process.terminate() < AT_ONCE


@pytest.mark.parametrize("command", ["worker", pytest.param("exporter", marks=pytest.mark.long)])
def test_while_the_storage_hangs(site, storage_proxy, command):
    """A storage that never answers does not delay the stop, even if calls may take ten minutes."""
    process = site.start(command, **_storage(site, storage_proxy, PORTALPULSE_CLICKHOUSE__TIMEOUT_SECONDS="600"))
    storage_proxy.silent.set()
    if command == "worker":
        site.send(100)
        wait_until(lambda: process.gauge("portalpulse_worker_unstored_events") > 0, timeout=90, what="it to hang in an insert")
    else:
        assert not process.readiness()[0]  # a thread hangs in this question
    assert process.terminate() < LIMIT
    assert process.process.exit_code == 0


@pytest.mark.chaos
def test_under_load(site):
    """A worker in the middle of its work stops cleanly."""
    site.send(20_000)
    worker = site.worker(PORTALPULSE_INGEST__BATCH_ROWS="100", PORTALPULSE_INGEST__MAX_UNSTORED_ROWS="1000")
    assert worker.terminate() < LIMIT
    assert worker.process.exit_code == 0


@pytest.mark.chaos
def test_while_the_broker_hangs(site):
    """A consumer thread that waits ninety seconds for the coordinator does not delay the stop."""
    worker = site.through("proxy").worker(PORTALPULSE_WATCHDOG__STALL_SECONDS="120")
    site.kafka.proxy.silent.set()
    try:
        assert worker.terminate() < LIMIT
    finally:
        site.kafka.proxy.silent.clear()


def test_twice_means_now(site):
    """While the clean stop hangs, a second signal ends the process at once."""
    worker = site.through("proxy").worker(PORTALPULSE_WATCHDOG__STALL_SECONDS="120")
    site.kafka.proxy.silent.set()
    try:
        assert worker.terminate(signals=2) < AT_ONCE
        assert worker.process.exit_code == 128 + 15
    finally:
        site.kafka.proxy.silent.clear()


@pytest.mark.chaos
def test_while_the_broker_is_gone(site):
    """A worker without its broker stops cleanly."""
    worker = site.worker(PORTALPULSE_WATCHDOG__STALL_SECONDS="120")
    site.kafka.kill()
    try:
        assert worker.terminate() < LIMIT
    finally:
        site.kafka.restart()


@pytest.mark.chaos
def test_a_producer_whose_broker_hangs(site):
    """A sender gives up unacknowledged messages in time and reports them as failed."""
    producer = site.launch("produce", "--scenario", "live", "--rate", "200", "--shape", "steady")
    site.await_messages(100)
    site.kafka.process.suspend()
    try:
        told = producer.log().count("sent=")
        wait_until(lambda: producer.log().count("sent=") > told, timeout=90, what="some messages to be under way")
        assert producer.terminate() < LIMIT
        assert producer.process.exit_code == 1
    finally:
        site.kafka.process.resume()


@pytest.mark.chaos
def test_embedded(site):
    """A worker that owns an embedded ClickHouse stops cleanly, too."""
    embedded = f"chdb:{site._folder / 'clickhouse'}"
    worker = site.start("worker", "--all-in-one", PORTALPULSE_CLICKHOUSE__URL=embedded)
    site.send(10)
    wait_until(lambda: worker.gauge("portalpulse_worker_acknowledged_events_total") == 10, timeout=90, what="events counted")
    assert worker.terminate() < LIMIT
    assert worker.process.exit_code == 0


@contextmanager
def _up(folder):
    command = [sys.executable, "-m", "pipeline.cli", "up", "--data", str(folder / "stack")]
    with subprocess.Popen(command, env={"PATH": "/usr/bin:/bin"}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as up:
        try:
            yield up
        finally:
            up.kill()


def _brokers(up):
    """The broker of a stack; not the programs that prepare its folder and start it."""
    children = [child for child in psutil.Process(up.pid).children() if _alive(child) and child.name() == "java"]
    return [child for child in children if "kafka.Kafka" in child.cmdline()]


def _alive(process):
    """Whether a process has not ended; its entry stays until its new parent asks for its status."""
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


@pytest.mark.parametrize(("signals", "limit"), [pytest.param(1, LIMIT, marks=pytest.mark.long), (2, AT_ONCE)])
def test_the_stack_while_it_starts(tmp_path, signals, limit):
    """`portalpulse up` can be stopped while it starts, at once with a second signal, and leaves no process behind."""
    with _up(tmp_path) as up:
        wait_until(lambda: _brokers(up), timeout=90, what="the broker to be started")
        parts = psutil.Process(up.pid).children(recursive=True)
        if signals == 2:  # else the clean stop could be over before the second signal
            for broker in _brokers(up):
                broker.suspend()
        began = time.monotonic()
        for _ in range(signals):
            up.send_signal(signal.SIGTERM)
            time.sleep(0.2)  # two at once would be one: a pending signal is not a queue
        assert up.wait(timeout=90) == (0 if signals == 1 else 128 + 15), up.stderr.read()
        assert time.monotonic() - began < limit
    wait_until(lambda: not any(map(_alive, parts)), timeout=90, what="every part to be gone")
