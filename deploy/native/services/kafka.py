"""An Apache Kafka node (KRaft: broker and controller in one) from the jars, as a child process; one node is a cluster by itself.

The folder is formatted once and keeps its cluster id and its topics over restarts. Ports stay the same as long as the object
exists. The broker itself is asked whether it is ready, not its log.

Java runs in the node's folder and reads relative ASCII names only: in a properties file a path cannot contain commas, backslashes
or characters beyond ISO-8859-1.
"""

from __future__ import annotations

import base64
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka.admin import AdminClient

from deploy.native.ports import LOOPBACK, free_ports
from deploy.native.processes import ChildProcess, wait_until
from deploy.native.programs import java_home, kafka_libraries
from deploy.native.service import Broker
from deploy.native.services.kafka_admin import admin_client, answers, ensure_topic
from deploy.native.services.kafka_misplaced import restore_messages
from domain.errors import UnavailableError

FORMAT_SECONDS = 60.0
#: Names within a node's folder, which is Java's working directory.
PROPERTIES = "server.properties"
LOGS = "logs"

_LOG4J = Path(__file__).with_name("kafka_distribution") / "log4j2.xml"

#: Differences from Kafka's defaults: few nodes, one machine, and messages with old timestamps.
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
# one node has the only copy; with three, each has a copy, and two must have a message before it is acknowledged
default.replication.factor={copies}
min.insync.replicas={in_sync}
offsets.topic.replication.factor={copies}
transaction.state.log.replication.factor={copies}
transaction.state.log.min.isr={in_sync}
share.coordinator.state.topic.replication.factor={copies}
share.coordinator.state.topic.min.isr={in_sync}
# fewer internal partitions: the first consumer group of a new node waits for all of them
offsets.topic.num.partitions=4
transaction.state.log.num.partitions=4
group.initial.rebalance.delay.ms=0
# by size, not by time: replayed events have old timestamps
log.retention.ms=-1
log.retention.bytes=8589934592
# a killed node can register again after this long; the default is 9 s
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
# the default of 128 MiB has crashed a node with a small heap
log.cleaner.dedupe.buffer.size=16777216
"""


def new_cluster_id() -> str:
    """An id for a new cluster, in the form of Kafka's tools; it may begin with a hyphen."""
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")


@dataclass(frozen=True, slots=True)
class Membership:
    """A node's place in a cluster: its number and ports, the controllers of other nodes (number -> port), the cluster's id."""

    number: int
    port: int
    controller_port: int
    controllers: dict[int, int]
    cluster_id: str

    @property
    def copies(self) -> int:
        """The replication factor: one copy on each node, three at most."""
        return min(3, len(self.controllers))


class KafkaNode(Broker):
    """A Kafka node on loopback ports with its files below ``data_dir``; ``bootstrap`` is its address as host:port."""

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
        """The folder of the partitions; each has its segments in ``<topic>-<partition>``."""
        return self._folder / LOGS

    @property
    def cluster_id(self) -> str:
        """The id with which the folder is formatted."""
        return self._membership.cluster_id

    def _own_cluster_id(self) -> str:
        """The cluster id of a single node, kept in its folder; created on first use."""
        path = self._folder / "cluster-id"
        if not path.exists():
            self._folder.mkdir(parents=True, exist_ok=True)
            path.write_text(new_cluster_id(), encoding="ascii")
        return path.read_text(encoding="ascii")

    def launch(self) -> None:
        """Format the folder if it is new and start the node; returns before it answers.

        Raises:
            ConfigurationError: an earlier version put the messages into several other folders.
            UnavailableError: the folder cannot be formatted.
        """
        restore_messages(self._folder, cluster_id=self.cluster_id)
        self._configure()
        self._format()
        self.process.start()

    def await_ready(self, *, timeout: float | None = None) -> None:
        """Wait until the broker answers.

        Raises:
            UnavailableError: the broker ended or did not answer in time; the message has the end of its log.
        """
        admin = self._admin = self._admin or admin_client(self.bootstrap)
        wait_until(
            lambda: answers(admin),
            timeout=timeout or self.start_seconds,
            what="Kafka to answer",
            children=[self.process],
        )

    def create_topic(self, name: str, *, partitions: int = 4) -> None:
        """Create a topic unless it exists, and wait until every partition has a leader."""
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
        """Write the settings at every start, because the ports differ from the last use of this folder."""
        self._folder.mkdir(parents=True, exist_ok=True)
        membership = self._membership
        text = _PROPERTIES.format(
            host=LOOPBACK,
            number=membership.number,
            port=membership.port,
            controller_port=membership.controller_port,
            voters=",".join(f"{number}@{LOOPBACK}:{port}" for number, port in membership.controllers.items()),
            copies=membership.copies,
            in_sync=max(1, membership.copies - 1),
            logs=LOGS,
        )
        self._properties.write_text(text, encoding="ascii")

    @property
    def _format_options(self) -> Sequence[str]:
        """Further arguments of the storage tool."""
        return ()

    def _format(self) -> None:
        if (self.topic_folders / "meta.properties").exists():
            return
        # Options for a short-lived JVM: formatting is mostly start-up.
        java, *options = self._jvm("128m")
        command = [java, "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", *options, "kafka.tools.StorageTool", "format"]
        tool = ChildProcess(
            "Kafka's storage tool",
            # One argument: the id may begin with a hyphen.
            [*command, "--ignore-formatted", f"--cluster-id={self.cluster_id}", "-c", PROPERTIES, *self._format_options],
            log=self._log_dir / "kafka-format.log",
            directory=self._folder,
        )
        tool.start()
        try:
            wait_until(lambda: not tool.running, timeout=FORMAT_SECONDS, what="Kafka's folder to be formatted")
        finally:
            tool.kill()
        if tool.exit_code != 0:
            raise UnavailableError(
                f"Kafka's folder {self._folder} cannot be formatted:\n{tool.log_tail()}\n",
                remedy="Use an empty --data folder with at least 1 GB free.",
            )
