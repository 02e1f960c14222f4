"""Worker processes on the session's real Kafka and ClickHouse server, each test with its own topic, group and database."""

from __future__ import annotations

import math
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import OffsetSpec

from bench.february import send_month
from deploy.native.services.kafka_admin import admin_client
from deploy.native.services.portalpulse_process import PortalPulseProcess
from producers.sending.worker_processes import Broker

#: Messages of a month, and the most and fewest messages a second that are sent of it while something is done beside them.
_EVENTS, _SLOWLY, _SLOWEST = 12_000, 250.0, 2.0


class Chain:
    """A topic, a database and the workers between them. ``topic``: one that exists; None: a new one."""

    def __init__(self, kafka, server, log_dir, commands, *, topic=None):
        name = uuid.uuid4().hex[:12]
        self.topic, self.database, self.group = topic or f"events-{name}", f"test_{name}", f"group-{name}"
        self.kafka, self.server, self._log_dir, self._commands = kafka, server, log_dir, commands
        self._admin = admin_client(kafka.bootstrap)
        if topic is None:
            kafka.create_topic(self.topic, partitions=4)
        self.environment = {
            "PATH": "/usr/bin:/bin",
            "PORTALPULSE_KAFKA__BOOTSTRAP": kafka.bootstrap,
            "PORTALPULSE_KAFKA__TOPIC": self.topic,
            "PORTALPULSE_KAFKA__GROUP": self.group,
            "PORTALPULSE_KAFKA__SESSION_TIMEOUT_SECONDS": "6",
            "PORTALPULSE_DOSSIERS__INTERVAL_SECONDS": "2",  # reports wait for a round of judging
        } | self.storage()
        self.workers = []

    def storage(self):
        """The settings of the storage."""
        return {"PORTALPULSE_CLICKHOUSE__URL": self.server.url(self.database)}

    def launch(self, **settings):
        """A further, started worker. It may end before it is ready. ``settings``: more variables."""
        name = f"worker {len(self.workers)}"
        worker = PortalPulseProcess("worker", environment=self.environment | settings, log_dir=self._log_dir, name=name)
        self.workers.append(worker)
        worker.launch()
        return worker

    def worker(self, **settings):
        """A further worker that is ready."""
        worker = self.launch(**settings)
        worker.await_ready(timeout=150)
        return worker

    def command(self, *arguments, **changes):
        """Run a command beside the workers; returns its status, output and errors. ``changes``: of the environment."""
        return self._commands(*arguments, environment=self.environment | changes)

    def offsets(self):
        """What the group has committed, None where it has not, and the end of the log: for each partition."""
        partitions = [TopicPartition(self.topic, number) for number in range(4)]
        of_group = ConsumerGroupTopicPartitions(self.group, partitions)
        committed = self._admin.list_consumer_group_offsets([of_group])[self.group].result(60).topic_partitions
        ends = self._admin.list_offsets({part: OffsetSpec.latest() for part in partitions})
        of = {part.partition: part.offset for part in committed if part.offset >= 0}
        return [(of.get(part.partition), ends[part].result(60).offset) for part in partitions]

    def acknowledged(self):
        """Whether every message in the log is acknowledged."""
        return all(committed == end or (committed is None and end == 0) for committed, end in self.offsets())

    def number(self, sql):
        """The single number that a query on this chain's database returns."""
        return int(self.server.query(sql.format(db=self.database)).strip() or 0)

    def tallied(self):
        """Events in the minute tallies."""
        return self.number("SELECT sum(events) FROM {db}.agency_minute FINAL")

    def rolled_up(self):
        """Events in the day tallies."""
        return self.number("SELECT sum(events) FROM {db}.agency_day FINAL")

    def stored(self):
        """Distinct events stored."""
        return self.number("SELECT count() FROM {db}.dossier_messages FINAL")

    def settled_rows(self):
        """Settled dossiers in the table of dossiers."""
        return self.number("SELECT countIf(settled_unit != '' AND settled_full) FROM {db}.dossiers FINAL")

    def dead_letters(self):
        """Dead-lettered messages."""
        return self.number("SELECT count() FROM {db}.dead_letters FINAL")

    @contextmanager
    def month(self, *, seed):
        """February 2025 flows slowly while the block runs, then as fast as Kafka takes it; ``.result()`` waits for it.

        The rate falls in proportion to what is left, so that messages are left when the block ends, however slow the machine is.
        """
        over, began = threading.Event(), time.monotonic()

        def rate():
            left = math.exp(-_SLOWLY * (time.monotonic() - began) / _EVENTS)
            return 1e5 if over.is_set() else max(_SLOWLY * left, _SLOWEST)

        broker = Broker((self.kafka.bootstrap,), self.topic)
        with ThreadPoolExecutor(1) as threads:
            sending = threads.submit(send_month, events=_EVENTS, seed=seed, broker=broker, rate=rate)
            try:
                yield sending
                assert not sending.done(), "everything was sent before the block ended"
            finally:
                over.set()

    def close(self):
        """Stop the workers and drop the database."""
        for worker in self.workers:
            worker.process.stop()
        if self.server.process.running:
            self.server.query(f"DROP DATABASE IF EXISTS {self.database}")


@pytest.fixture
def chain(kafka, clickhouse_server, tmp_path, commands):
    """A fresh chain; its workers are stopped at the end."""
    chain = Chain(kafka, clickhouse_server, tmp_path, commands)
    yield chain
    chain.close()
