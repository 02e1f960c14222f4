"""An Apache Kafka node (KRaft: broker and controller in one) from the jars, as a supervised child; alone it is the cluster.

The folder is formatted once and keeps its cluster id; a restart finds its topics again, on the same ports while the
object lives and on new ones otherwise. Readiness is asked from the broker, never guessed from its log.

Java runs in the node's folder and reads short plain names only: a properties file knows no commas, backslashes or letters beyond
ISO-8859-1 within a path.
"""

from __future__ import annotations

import base64
import uuid
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka.admin import AdminClient

from deploy.native.ports import LOOPBACK, free_ports
from deploy.native.processes import ChildProcess, wait_until
from deploy.native.programs import java_home, kafka_libraries
from deploy.native.service import Broker
from deploy.native.services.kafka_admin import admin_client, answers, ensure_topic
from deploy.native.services.kafka_misplaced import bring_home
from domain.errors import UnavailableError

FORMAT_SECONDS = 60.0
#: Names within a node's folder, which is Java's working directory.
PROPERTIES = "server.properties"
LOGS = "logs"

_LOG4J = Path(__file__).with_name("kafka_distribution") / "log4j2.xml"

#: Why each line differs from Kafka's default: one node, one machine, and messages that carry dates of the past.
_PROPERTIES = """\
process.roles=broker,controller
node.id={number}
controller.quorum.voters={voters}
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller_port}
advertised.listeners=PLAINTEXT://{host}:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={logs}
num.partitions=4
auto.create.topics.enable=false
# one node holds the only copy; of three every one, and two must have a message before it is acknowledged
default.replication.factor={copies}
min.insync.replicas={in_sync}
offsets.topic.replication.factor={copies}
transaction.state.log.replication.factor={copies}
transaction.state.log.min.isr={in_sync}
share.coordinator.state.topic.replication.factor={copies}
share.coordinator.state.topic.min.isr={in_sync}
# fewer internal partitions: the first consumer group of a fresh node waits for all of them
offsets.topic.num.partitions=4
transaction.state.log.num.partitions=4
group.initial.rebalance.delay.ms=0
# by size, not by time: replayed events are old, their messages must not be
log.retention.ms=-1
log.retention.bytes=8589934592
# a killed node may come back after this long; with the default of 9 s it waits for its own shadow
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
# the default of 128 MiB has ended a node with a small heap
log.cleaner.dedupe.buffer.size=16777216
"""


def new_cluster_id() -> str:
    """An id for a new cluster, in the form that Kafka's tools take; it may begin with a hyphen."""
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")


@dataclass(frozen=True, slots=True)
class Membership:
    """A node's place in a cluster: its number and ports, the others' controllers as number -> port, the cluster's id."""

    number: int
    port: int
    controller_port: int
    controllers: dict[int, int]
    cluster_id: str

    @property
    def copies(self) -> int:
        """Copies kept of everything: one on each node, three at most."""
        return min(3, len(self.controllers))


class KafkaNode(Broker):
    """One Kafka node on loopback ports below ``data_dir``; ``bootstrap`` is its address as host:port."""

    start_seconds = 90.0

    def __init__(
        self,
        *,
        data_dir: Path,
        log_dir: Path,
        heap: str = "512m",
        libraries: Path | None = None,
        home: Path | None = None,
        membership: Membership | None = None,
    ) -> None:
        """Find Java and the jars.

        Args:
            data_dir: the node's own folder.
            log_dir: where kafka.log goes.
            heap: Java's -Xmx.
            libraries: folder of the jars; None = where deploy/setup.sh puts them.
            home: Java's home; None = look for it.
            membership: the node's place in a cluster; None = a cluster of its own.

        Raises:
            ConfigurationError: Java or the jars are missing.
        """
        self._java = (home or java_home()) / "bin" / "java"
        self._libraries = libraries or kafka_libraries()
        self._folder = data_dir.resolve()
        self._log_dir = log_dir.resolve()
        self._heap = heap
        if membership is None:
            port, controller_port = free_ports(2)
            membership = Membership(1, port, controller_port, {1: controller_port}, self._own_cluster_id())
        self._membership = membership
        self._admin: AdminClient | None = None
        alone = len(membership.controllers) == 1
        self.process = ChildProcess(
            "Kafka" if alone else f"Kafka {membership.number}",
            [*self._jvm(heap), "kafka.Kafka", PROPERTIES],
            log=self._log_dir / ("kafka.log" if alone else f"kafka-{membership.number}.log"),
            directory=self._folder,
        )

    @property
    def bootstrap(self) -> str:
        """The broker's address, the same over restarts of this object."""
        return f"{LOOPBACK}:{self._membership.port}"

    @property
    def topic_folders(self) -> Path:
        """Where the segments of every partition lie, in a folder ``<topic>-<partition>`` each."""
        return self._folder / LOGS

    @property
    def cluster_id(self) -> str:
        """The id that the folder is formatted with."""
        return self._membership.cluster_id

    def _own_cluster_id(self) -> str:
        """The id of a node by itself, kept in its folder; made on first use."""
        path = self._folder / "cluster-id"
        if not path.exists():
            self._folder.mkdir(parents=True, exist_ok=True)
            path.write_text(new_cluster_id(), encoding="ascii")
        return path.read_text(encoding="ascii")

    def launch(self) -> None:
        """Format the folder if it is new and start the node; returns before it answers.

        Raises:
            ConfigurationError: an earlier version put the folder's messages elsewhere.
            UnavailableError: the folder cannot be formatted.
        """
        bring_home(self._folder, cluster_id=self.cluster_id)
        self._configure()
        self._format()
        self.process.start()

    def await_ready(self, *, timeout: float | None = None) -> None:
        """Wait until the broker answers.

        Raises:
            UnavailableError: it ended or did not answer in time; with the end of its log.
        """
        admin = self._admin = self._admin or admin_client(self.bootstrap)
        wait_until(
            lambda: answers(admin),
            timeout=timeout or self.start_seconds,
            what="Kafka to answer",
            children=[self.process],
        )

    def create_topic(self, name: str, *, partitions: int = 4) -> None:
        """Create a topic unless it is there, and wait for its leaders."""
        ensure_topic(self.bootstrap, name, partitions=partitions, children=[self.process])

    @property
    def _properties(self) -> Path:
        return self._folder / PROPERTIES

    def _jvm(self, heap: str) -> list[str]:
        return [
            str(self._java),
            f"-Xmx{heap}",
            "-XX:+ExitOnOutOfMemoryError",
            "-Djava.awt.headless=true",
            f"-Dlog4j2.configurationFile={_LOG4J.as_uri()}",
            "-cp",
            f"{self._libraries}/*",
        ]

    def _configure(self) -> None:
        """Write the settings anew: the ports differ from the last time this folder was used."""
        self._folder.mkdir(parents=True, exist_ok=True)
        mine = self._membership
        text = _PROPERTIES.format(
            host=LOOPBACK,
            number=mine.number,
            port=mine.port,
            controller_port=mine.controller_port,
            voters=",".join(f"{number}@{LOOPBACK}:{port}" for number, port in mine.controllers.items()),
            copies=mine.copies,
            in_sync=max(1, mine.copies - 1),
            logs=LOGS,
        )
        self._properties.write_text(text, encoding="ascii")

    def _format(self) -> None:
        if (self.topic_folders / "meta.properties").exists():
            return
        # A single-threaded, interpreted-first JVM: formatting is all start-up.
        java, *options = self._jvm("128m")
        command = [java, "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", *options, "kafka.tools.StorageTool", "format"]
        format_ = ChildProcess(
            "Kafka's storage tool",
            # One argument: the id may begin with a hyphen.
            [*command, "--ignore-formatted", f"--cluster-id={self.cluster_id}", "-c", PROPERTIES],
            log=self._log_dir / "kafka-format.log",
            directory=self._folder,
        )
        format_.start()
        try:
            wait_until(lambda: not format_.running, timeout=FORMAT_SECONDS, what="Kafka's folder to be formatted")
        finally:
            format_.kill()
        if format_.exit_code != 0:
            raise UnavailableError(
                f"Kafka's folder {self._folder} cannot be formatted:\n{format_.log_tail()}\n",
                remedy="Use an empty --data folder with at least 1 GB free.",
            )
