"""A Kafka cluster of several nodes on this machine: three copies of each message, acknowledged once two nodes have it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from deploy.native.ports import free_ports
from deploy.native.processes import stop_all, wait_until
from deploy.native.services.kafka import KafkaNode, Membership, new_cluster_id
from deploy.native.services.kafka_admin import admin_client, ensure_topic


class KafkaCluster:
    """``nodes``: each is broker and controller; ``bootstrap``: all their addresses, separated by commas."""

    def __init__(self, *, data_dir: Path, log_dir: Path, nodes: int = 3, heap: str = "256m") -> None:
        """Find Java and the jars.

        Args:
            data_dir: every node gets a folder below it.
            log_dir: where kafka-1.log and so on go.
            nodes: how many; an odd number, because the controllers vote.
            heap: each node's -Xmx.

        Raises:
            ConfigurationError: Java or the jars are missing.
        """
        ports = free_ports(2 * nodes)
        controllers = {number: ports[nodes + number - 1] for number in range(1, nodes + 1)}
        cluster = new_cluster_id()
        self.nodes = [
            KafkaNode(
                data_dir=data_dir / f"node-{number}",
                log_dir=log_dir,
                heap=heap,
                membership=Membership(number, ports[number - 1], controllers[number], controllers, cluster),
            )
            for number in controllers
        ]

    @property
    def bootstrap(self) -> str:
        """Every broker's address, the same over restarts of this object."""
        return ",".join(node.bootstrap for node in self.nodes)

    def start(self) -> None:
        """Start every node that does not run and wait until all of them are in the cluster.

        Raises:
            UnavailableError: one cannot be started or does not answer in time.
        """
        waiting = [node for node in self.nodes if not node.process.running]
        with ThreadPoolExecutor(len(self.nodes)) as threads:  # formatting takes seconds each
            list(threads.map(KafkaNode.launch, waiting))
        for node in waiting:
            node.await_ready()
        admin = admin_client(self.bootstrap)
        wait_until(
            lambda: len(admin.list_topics(timeout=10.0).brokers) == len(self.nodes),
            timeout=60,
            what="every node to be in the cluster",
            children=[node.process for node in self.nodes],
        )

    def stop(self) -> None:
        """Stop all nodes cleanly and at the same time; nodes that do not run are skipped."""
        stop_all([node.process for node in self.nodes], grace=KafkaNode.stop_seconds)

    def kill(self) -> None:
        """Kill -9 of every node, as in a power cut."""
        for node in self.nodes:
            node.kill()

    def create_topic(self, name: str, *, partitions: int = 4) -> None:
        """Create a topic with a copy on each of three nodes unless it exists, and wait for its leaders."""
        ensure_topic(self.bootstrap, name, partitions=partitions, replication=min(3, len(self.nodes)))
