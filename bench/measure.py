"""What every benchmark needs: a Kafka and a ClickHouse of its own, filled topics, workers, senders, and their resource usage."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.corpus import Corpus, Filled, fill
from bench.environment import child_environment
from bench.folder import temporary_folder
from deploy.native.processes import ChildProcess
from deploy.native.services.clickhouse_server import ClickHouseServer
from deploy.native.services.kafka import KafkaNode
from deploy.native.services.portalpulse_process import PortalPulseProcess

PARTITIONS = 4
STOP_SECONDS = 20.0


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

    def working_directory(self) -> Path:
        """The working directory of every process; created on first use."""
        folder = self.folder / "work"
        folder.mkdir(exist_ok=True)
        return folder

    def fill_topic(self, topic: str, corpus: Corpus, *, partitions: int = PARTITIONS) -> Filled:
        """Create the topic and send the corpus."""
        self.kafka.create_topic(topic, partitions=partitions)
        return fill(self.kafka.bootstrap, topic, corpus)

    def drop_database(self, database: str) -> None:
        """Drop it at once, so that its merges do not disturb the next measurement."""
        self.server.query(f"DROP DATABASE IF EXISTS {database} SYNC")


@contextmanager
def running_stack(*, heap: str = "1g", keep_logs: Path | None = None) -> Iterator[Stack]:
    """Start both services; at the end stop them and remove their folder.

    Args:
        heap: Kafka's -Xmx.
        keep_logs: the logs are copied there at the end.

    Raises:
        ConfigurationError: a service is not installed.
        UnavailableError: a service does not start.
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
    }


def worker(stack: Stack, settings: Mapping[str, str], *, name: str = "portalpulse") -> PortalPulseProcess:
    """One ``portalpulse worker`` with its usual options; not yet started."""
    environment = child_environment(**settings)
    return PortalPulseProcess(
        "worker", environment=environment, log_dir=stack.logs, name=name, directory=stack.working_directory()
    )


@contextmanager
def paced_sender(*, bootstrap: str, topic: str, rate: float, seconds: float, notes: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that sends at a steady rate and logs to ``notes`` how much it had sent when; killed at the end of the block."""
    options = ("--bootstrap", bootstrap, "--topic", topic, "--rate", str(rate), "--seconds", str(seconds))
    with (
        notes.open("wb") as output,  # a pipe that is not read would block the sender
        subprocess.Popen([sys.executable, "-m", "bench.paced_sender", *options], stdout=output) as sender,
    ):
        try:
            yield sender
        finally:
            sender.kill()


@contextmanager
def running(child: ChildProcess) -> Iterator[ChildProcess]:
    """Start the program; it is stopped at the end of the block, also after an error."""
    try:
        child.start()
        yield child
    finally:
        child.stop()


def python_child(
    stack: Stack, name: str, arguments: Sequence[str], *, environment: Mapping[str, str], python: str = sys.executable
) -> ChildProcess:
    """A Python program with the logs and the working directory of the benchmark; not yet started."""
    return ChildProcess(
        name,
        [python, *arguments],
        log=stack.logs / f"{name}.log",
        environment=child_environment(**environment),
        directory=stack.working_directory(),
    )


@dataclass(frozen=True, slots=True)
class Usage:
    """Processor time (seconds) and resident memory (bytes) of some processes and their children."""

    cpu_seconds: float
    memory_bytes: int


def usage(children: Sequence[ChildProcess]) -> Usage:
    """The usage so far of the children that still run."""
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


# --- the machine ----------------------------------------------------------------------------------------------------------


def machine() -> dict[str, object]:
    """The machine on which the figures were taken."""
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
