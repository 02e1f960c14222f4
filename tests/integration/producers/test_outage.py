"""What senders log while their brokers are unavailable: one line of ours and none of the libraries."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

import pytest

from deploy.native.ports import LOOPBACK
from deploy.native.processes import wait_until
from tests.factories import a_message

#: librdkafka's test cluster: brokers that begin within a second, and end with their process.
CLUSTER = """
import sys
from confluent_kafka import Producer
producer = Producer({"test.mock.num.brokers": 1, "bootstrap.servers": "localhost:1", "log_level": 0})
broker = next(iter(producer.list_topics("events", timeout=60).brokers.values()))
print(broker.port, flush=True)
sys.stdin.read()
"""


@pytest.mark.long
@pytest.mark.parametrize("processes", ["1", "2"])
def test_brokers_that_end_while_a_replay_sends(tmp_path, processes):
    """Each process logs one line, no matter how many batches it retries, and the libraries log none."""
    file, log = tmp_path / "events.ndjson", tmp_path / "log"
    file.write_bytes(b"".join(a_message() + b"\n" for _ in range(20_000)))
    environment = {"PATH": "/usr/bin:/bin", "PORTALPULSE_DATA_DIR": str(tmp_path / "none")}
    with subprocess.Popen([sys.executable, "-c", CLUSTER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as cluster:
        bootstrap = f"{LOOPBACK}:{cluster.stdout.readline().strip()}"
        sending = ("replay", str(file), "--rate", "500", "--processes", processes, "--bootstrap", bootstrap, "--topic", "events")
        with log.open("w") as written:
            replay = subprocess.Popen(
                [sys.executable, "-m", "pipeline.cli", *sending], env=environment, stderr=written, stdout=written
            )
        try:
            wait_until(lambda: "sending" in log.read_text(), timeout=150, what="the replay to send")
            cluster.kill()
            wait_until(lambda: said(log)["brokers_do_not_accept"] == int(processes), timeout=150, what="the line of each process")
            before = said(log)["sending"]  # a line every few seconds: meanwhile batches are tried again many times
            wait_until(lambda: said(log)["sending"] > before, timeout=150, what="the replay to go on")
        finally:
            replay.kill()
            replay.wait()
            cluster.kill()
    lines = said(log)
    assert lines["brokers_do_not_accept"] == int(processes), log.read_text()
    assert lines["aiokafka"] == lines["batch_repeated"] == 0, log.read_text()


def said(log):
    """For each of these words, the number of lines that contain it."""
    lines = log.read_text().splitlines()
    return Counter(
        {word: sum(word in line for line in lines) for word in ("brokers_do_not_accept", "batch_repeated", "sending", "aiokafka")}
    )
