"""A Kafka-compatible broker in the memory of a child process, for a machine without Java.

It is librdkafka's test cluster. It keeps only the newest 5 MB of each partition, loses everything when it stops, has always four
partitions a topic, and creates topics on request of a producer. Callers must show ``WARNING`` to the user.

    python -m deploy.native.services.mock_kafka ADDRESS_FILE          the child; it writes host:port into the file and stays
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from confluent_kafka import KafkaException, Producer

from deploy.native.processes import ChildProcess, wait_until
from deploy.native.programs import PROJECT
from deploy.native.service import Broker
from deploy.native.services.kafka_admin import admin_client, answers
from domain.errors import ConfigurationError

WARNING = "Events are kept in memory only (no Kafka on this machine): they are lost when the stack stops."
#: Fixed in the test cluster.
PARTITIONS = 4


class MemoryBroker(Broker):
    """The in-memory broker as a service of the local stack."""

    def __init__(self, *, data_dir: Path, log_dir: Path) -> None:
        self._address_file = data_dir.resolve() / "address"
        self.process = ChildProcess(
            "The in-memory broker",
            [sys.executable, "-m", "deploy.native.services.mock_kafka", self._address_file],
            log=log_dir.resolve() / "kafka.log",
            directory=PROJECT,
        )
        self._bootstrap: str | None = None

    @property
    def bootstrap(self) -> str:
        """The address of the broker as host:port, known once it is ready."""
        if self._bootstrap is None:
            raise ConfigurationError("The in-memory broker has no address before it is ready.")
        return self._bootstrap

    def launch(self) -> None:
        """Start the broker; returns before it answers."""
        self._address_file.parent.mkdir(parents=True, exist_ok=True)
        self._address_file.unlink(missing_ok=True)
        self.process.start()

    def await_ready(self, *, timeout: float | None = None) -> None:
        """Wait until the broker answers.

        Raises:
            UnavailableError: the broker ended or did not answer in time.
        """
        what = "the in-memory broker to answer"
        self._bootstrap = wait_until(
            self._read_address, timeout=timeout or self.start_seconds, what=what, children=[self.process]
        )
        admin = admin_client(self._bootstrap)
        wait_until(lambda: answers(admin), timeout=timeout or self.start_seconds, what=what, children=[self.process])

    def create_topic(self, name: str, *, partitions: int = PARTITIONS) -> None:
        """Create a topic by requesting its metadata; a topic always has four partitions.

        Raises:
            ConfigurationError: another number of partitions was requested.
        """
        if partitions != PARTITIONS:
            raise ConfigurationError(
                f"The in-memory broker has {PARTITIONS} partitions a topic, not {partitions}.",
                remedy=f"Set PORTALPULSE_KAFKA__PARTITIONS={PARTITIONS}, or use the real Kafka (no --memory-broker; needs Java).",
            )
        admin = admin_client(self.bootstrap)

        def exists() -> bool:
            try:
                topic = admin.list_topics(name, timeout=2.0).topics[name]
            except KafkaException:
                return False
            return topic.error is None and len(topic.partitions) == PARTITIONS

        wait_until(exists, timeout=30.0, what=f"topic {name}", children=[self.process])

    def _read_address(self) -> str:
        try:
            return self._address_file.read_text(encoding="ascii")
        except FileNotFoundError:
            return ""


def main(address_file: Path) -> None:
    """Run the broker in this process until it is killed."""
    # The address is not used: the second setting starts a test cluster in this process.
    owner = Producer({"bootstrap.servers": "localhost:1", "test.mock.num.brokers": 1, "log_level": 3})
    broker = next(iter(owner.list_topics(timeout=10.0).brokers.values()))
    scratch = address_file.with_suffix(".new")
    scratch.write_text(f"{broker.host}:{broker.port}", encoding="ascii")
    scratch.replace(address_file)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    main(Path(sys.argv[1]))
