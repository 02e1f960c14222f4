"""What every benchmark needs: Kafka and ClickHouse of its own, filled topics, workers, counts, and a group's offsets.

Measuring means asking ClickHouse from this process, as a reader of the figures would; nothing is taken from a contender's word.
"""

from __future__ import annotations

import http.client
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from bench.corpus import Buckets, Corpus, Filled, fill
from bench.environment import child_environment
from bench.folder import temporary_folder
from deploy.native.ports import LOOPBACK
from deploy.native.processes import ChildProcess
from deploy.native.services.clickhouse_server import ClickHouseServer
from deploy.native.services.kafka import KafkaNode
from deploy.native.services.kafka_admin import admin_client
from domain.errors import UnavailableError

PARTITIONS = 4
#: Seconds between two looks at the counts.
POLL_SECONDS = 0.02
#: A count that has not changed for so many seconds, with no message left to read, is final.
STABLE_SECONDS = 3.0
#: Clients keep a dead member of a group alive for up to a minute.
GROUP_SECONDS = 90.0
STOP_SECONDS = 20.0
_ANSWER_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Stack:
    """Kafka and ClickHouse of one benchmark, in a temporary folder."""

    folder: Path
    kafka: KafkaNode
    server: ClickHouseServer

    @property
    def logs(self) -> Path:
        """Where every process writes its log."""
        return self.folder / "logs"

    def fill_topic(self, topic: str, corpus: Corpus, *, partitions: int = PARTITIONS) -> Filled:
        """Create the topic and send the corpus."""
        self.kafka.create_topic(topic, partitions=partitions)
        return fill(self.kafka.bootstrap, topic, corpus)

    def drop_database(self, database: str) -> None:
        """Drop it at once, so that its merges do not disturb what follows."""
        self.server.query(f"DROP DATABASE IF EXISTS {database} SYNC")


@contextmanager
def running_stack(*, heap: str = "1g", keep_logs: Path | None = None) -> Iterator[Stack]:
    """Start both parts; at the end stop them and remove their folder.

    Args:
        heap: Kafka's -Xmx.
        keep_logs: the logs are copied there at the end.

    Raises:
        ConfigurationError: a part is not installed.
        UnavailableError: a part does not start.
    """
    with temporary_folder("portalpulse-bench-") as folder:
        kafka = KafkaNode(data_dir=folder / "kafka", log_dir=folder / "logs", heap=heap)
        server = ClickHouseServer(data_dir=folder / "clickhouse", log_dir=folder / "logs")
        try:
            kafka.start()
            server.start()
            yield Stack(folder, kafka, server)
        finally:
            server.stop()
            kafka.stop()
            if keep_logs is not None:
                shutil.copytree(folder / "logs", keep_logs, dirs_exist_ok=True)


# --- workers ----------------------------------------------------------------------------------------------------------------


def worker_settings(stack: Stack, *, topic: str, group: str, database: str) -> dict[str, str]:
    """The settings of ``portalpulse worker`` for this stack."""
    return {
        "PORTALPULSE_KAFKA__BOOTSTRAP": stack.kafka.bootstrap,
        "PORTALPULSE_KAFKA__TOPIC": topic,
        "PORTALPULSE_KAFKA__GROUP": group,
        "PORTALPULSE_CLICKHOUSE__URL": stack.server.url(database),
        "PORTALPULSE_HTTP__PORT": "0",
    }


def worker(stack: Stack, settings: Mapping[str, str], *, name: str = "portalpulse") -> ChildProcess:
    """One ``portalpulse worker``, as anybody would start it; not yet started."""
    return python_child(stack, name, ("-m", "pipeline.cli", "worker"), environment=settings)


@contextmanager
def paced_sender(*, bootstrap: str, topic: str, rate: float, seconds: float, notes: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that sends at a steady rate and writes to ``notes`` how much when; it does not outlive the block."""
    options = ("--bootstrap", bootstrap, "--topic", topic, "--rate", str(rate), "--seconds", str(seconds))
    with (
        notes.open("wb") as output,  # a pipe that nobody reads would stop the sender
        subprocess.Popen([sys.executable, "-m", "bench.paced_sender", *options], stdout=output) as sender,
    ):
        try:
            yield sender
        finally:
            sender.kill()


@contextmanager
def running(child: ChildProcess) -> Iterator[ChildProcess]:
    """The program, started; it is stopped at the end of the block, whatever happens in it."""
    try:
        child.start()
        yield child
    finally:
        child.stop()


def python_child(
    stack: Stack, name: str, arguments: Sequence[str], *, environment: Mapping[str, str], python: str = sys.executable
) -> ChildProcess:
    """A Python program with the logs and the working folder of the benchmark; not yet started."""
    folder = stack.folder / "work"
    folder.mkdir(exist_ok=True)
    return ChildProcess(
        name,
        [python, *arguments],
        log=stack.logs / f"{name}.log",
        environment=child_environment(**environment),
        directory=folder,
    )


@dataclass(frozen=True, slots=True)
class Usage:
    """Processor time (seconds) and resident memory (bytes) of some processes and their children."""

    cpu_seconds: float
    memory_bytes: int


def usage(children: Sequence[ChildProcess]) -> Usage:
    """What the children that still run have used so far."""
    seconds, memory = 0.0, 0
    for child in children:
        if child.pid is None:
            continue
        try:
            parent = psutil.Process(child.pid)
            for process in (parent, *parent.children(recursive=True)):
                times = process.cpu_times()
                seconds += times.user + times.system
                memory += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return Usage(seconds, memory)


# --- counts ---------------------------------------------------------------------------------------------------------------


class Probe:
    """Asks ClickHouse for numbers over one kept connection: a look every 20 ms must not be a load of its own."""

    def __init__(self, server: ClickHouseServer) -> None:
        self._port = server.http_port
        self._connection: http.client.HTTPConnection | None = None

    def rows(self, sql: str) -> list[list[str]] | None:
        """The answer's rows, or None while a table is not there yet or the server does not answer."""
        try:
            if self._connection is None:
                self._connection = http.client.HTTPConnection(LOOPBACK, self._port, timeout=_ANSWER_SECONDS)
            self._connection.request("POST", "/", body=sql.encode())
            answer = self._connection.getresponse()
            text = answer.read().decode()
        except (OSError, http.client.HTTPException):
            self.close()
            return None
        if answer.status != http.client.OK:
            return None
        return [line.split("\t") for line in text.splitlines()]

    def numbers(self, sql: str) -> list[int]:
        """The numbers of the first row; zeros while there is none."""
        rows = self.rows(sql)
        return [int(value) for value in rows[0]] if rows else []

    def buckets(self, sql: str) -> Buckets:
        """Tallies by (agency, minute) from a query of these two and a count."""
        found: Buckets = Buckets()
        for agency, minute, events in self.rows(sql) or []:
            found[agency, int(minute)] += int(events)
        return found

    def close(self) -> None:
        """Drop the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def wait_for(
    done: Callable[[], bool], *, timeout: float, what: str, children: Sequence[ChildProcess] = (), poll: float = POLL_SECONDS
) -> None:
    """Ask again and again until ``done``.

    Raises:
        UnavailableError: the time is over, or a child has ended.
    """
    deadline = time.monotonic() + timeout
    while not done():
        for child in children:
            child.check()
        if time.monotonic() > deadline:
            raise UnavailableError(f"Waited {timeout:.0f} s in vain for {what}.")
        time.sleep(poll)


# --- a consumer group's offsets -------------------------------------------------------------------------------------------


class Group:
    """The committed offsets of one consumer group in one topic."""

    def __init__(self, bootstrap: str, *, group: str, topic: str) -> None:
        self._admin: AdminClient = admin_client(bootstrap)
        # The admin client's request for committed offsets ends the process when a coordinator is lost; this one never joins.
        self._asking = Consumer({"bootstrap.servers": bootstrap, "group.id": group, "enable.auto.commit": False, "log_level": 0})
        self._group = group
        self._topic = topic

    def ends(self) -> dict[int, int]:
        """Partition -> the offset after its last message."""
        partitions = self._admin.list_topics(self._topic, timeout=10).topics[self._topic].partitions
        asked = self._admin.list_offsets({TopicPartition(self._topic, number): OffsetSpec.latest() for number in partitions})
        return {where.partition: future.result(10).offset for where, future in asked.items()}

    def committed(self) -> dict[int, int]:
        """Partition -> the committed offset; a partition without one is missing."""
        try:
            partitions = self._admin.list_topics(self._topic, timeout=10).topics[self._topic].partitions
            found = self._asking.committed([TopicPartition(self._topic, number) for number in partitions], timeout=10)
        except KafkaException:
            return {}
        return {part.partition: part.offset for part in found if part.offset >= 0}

    def lag(self) -> int:
        """Messages not yet committed."""
        committed = self.committed()
        return sum(end - committed.get(number, 0) for number, end in self.ends().items())

    def rewind(self, messages: int, *, timeout: float = GROUP_SECONDS) -> int:
        """Set every partition back by up to ``messages``; returns how many come again. The group must have no member.

        Raises:
            UnavailableError: a member is still in the group after ``timeout`` seconds.
        """
        ends, committed = self.ends(), self.committed()
        targets = {number: max(0, min(end, committed.get(number, 0)) - messages) for number, end in ends.items()}
        parts = [TopicPartition(self._topic, number, offset) for number, offset in targets.items()]
        deadline = time.monotonic() + timeout
        while True:
            asked = self._admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(self._group, parts)])
            try:
                refused = [part.error for part in asked[self._group].result(10).topic_partitions if part.error]
            except KafkaException as error:
                refused = [error.args[0]]
            if not refused:
                return sum(ends[number] - offset for number, offset in targets.items())
            if time.monotonic() > deadline:
                raise UnavailableError(f"The offsets of {self._group} cannot be set back: {refused[0]}.")
            time.sleep(0.5)


# --- the machine ----------------------------------------------------------------------------------------------------------


def readyz(url: str) -> tuple[bool, str]:
    """Whether a process says that it is ready, and its reason when it says that it is not; it may not answer at all."""
    try:
        answer = httpx.get(f"{url}/readyz", timeout=5, trust_env=False)
    except httpx.HTTPError:
        return False, ""
    return answer.status_code == httpx.codes.OK, str(answer.json()["reason"])


def machine() -> dict[str, object]:
    """What the figures were taken on."""
    model = platform.processor() or platform.machine()
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as lines:
            model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), model)
    except OSError:
        pass
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }
