"""Administrative calls to a broker: an admin client, whether the broker answers, and topics."""

from __future__ import annotations

from collections.abc import Sequence

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from deploy.native.processes import ChildProcess, wait_until
from domain.errors import ConfigurationError, UnavailableError
from pipeline.kafka.security import SILENT_LIBRDKAFKA


def admin_client(bootstrap: str) -> AdminClient:
    """An admin client that reconnects quickly and does not print connection errors."""
    return AdminClient(
        {
            "bootstrap.servers": bootstrap,
            "socket.timeout.ms": 5_000,
            "reconnect.backoff.ms": 50,
            "reconnect.backoff.max.ms": 250,
            **SILENT_LIBRDKAFKA,
        }
    )


def answers(admin: AdminClient) -> bool:
    """Whether a broker answers a request for its topics."""
    try:
        return bool(admin.list_topics(timeout=1.0).brokers)
    except KafkaException:
        return False


def ensure_topic(
    bootstrap: str,
    topic: str,
    *,
    partitions: int,
    replication: int = 1,
    timeout: float = 30.0,
    children: Sequence[ChildProcess] = (),
) -> None:
    """Create ``topic`` unless it exists, and wait until every partition has a leader.

    ``children``: the processes of the brokers, if they were started here; an error names their logs.

    Raises:
        UnavailableError: the broker does not answer in time or refuses.
        ConfigurationError: the topic exists with another number of partitions.
    """
    admin = admin_client(bootstrap)

    def leaders() -> int | None:
        """The number of partitions once all of them have a leader; None before."""
        try:
            found = admin.list_topics(timeout=2.0).topics.get(topic)
        except KafkaException:
            return None
        if found is None or found.error is not None or not found.partitions:
            return None
        return len(found.partitions) if all(partition.leader >= 0 for partition in found.partitions.values()) else None

    existing = leaders()
    if existing is None:
        try:
            wanted = NewTopic(topic, num_partitions=partitions, replication_factor=replication)
            admin.create_topics([wanted], request_timeout=timeout)[topic].result(timeout)  # a busy broker may know no controller
        except KafkaException as error:
            if error.args[0].name() != "TOPIC_ALREADY_EXISTS":
                raise UnavailableError(
                    f"Topic {topic} cannot be created at {bootstrap}: {error.args[0].str()}.",
                    remedy="Check that the broker runs and allows the creation of topics.",
                ) from error
        existing = wait_until(leaders, timeout=timeout, what=f"topic {topic} to have leaders", children=children)
    if existing != partitions:
        raise ConfigurationError(
            f"Topic {topic} has {existing} partitions, not {partitions}.",
            remedy=f"Set PORTALPULSE_KAFKA__PARTITIONS={existing} or use a fresh --data folder.",
        )
