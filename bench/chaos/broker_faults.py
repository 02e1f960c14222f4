"""Kafka faults: all brokers killed during a write, one of three brokers lost, a partition added, the topic recreated."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from typing import Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import NewPartitions

from bench.chaos.environment import PARTITIONS, Environment
from bench.chaos.fault import THREE_BROKERS, Fault, Needs, RecoveryFrom
from bench.chaos.segments import Segment, newest_segment, torn_batch
from deploy.native.processes import wait_until
from deploy.native.services.kafka_admin import admin_client
from domain.errors import UnavailableError

_ADMIN_SECONDS: Final = 30.0
#: A worker notices a new partition or a new topic within the metadata age of its settings; this is well above.
_NOTICED_SECONDS: Final = 60.0
_BURST: Final = 1_000


@dataclass(frozen=True)
class TornSegment(Fault):
    """Kill -9 of every broker, as in a power cut; the newest segments end in half a record batch.

    At start the brokers must truncate exactly that half batch: every acknowledged message lies before it. The recovery time
    starts when the brokers are started.
    """

    name: str = "torn-segment"
    recovery_from: RecoveryFrom = "inject"

    def inject(self, env: Environment, source: random.Random) -> None:
        """Kill, tear, start, and check that the torn bytes are gone."""
        env.kafka.kill()
        torn: list[tuple[Segment, bytes]] = []
        for node in env.nodes:
            for folder in sorted(node.topic_folders.glob(f"{env.topic}-*")):
                if not folder.name.removeprefix(f"{env.topic}-").isdigit():  # of a topic that is being deleted
                    continue
                try:
                    segment = newest_segment(folder)
                except ValueError:  # the partition is empty, or a new segment has just begun
                    continue
                torn.append((segment, torn_batch(segment)))
                with segment.path.open("r+b") as log:
                    log.truncate(segment.size)  # the kill itself may have torn a batch: keep the whole ones only
                    log.seek(segment.size)
                    log.write(torn[-1][1])
        if not torn:
            raise UnavailableError("No segment of the topic was found.")
        time.sleep(source.uniform(0.0, 5.0))
        env.mark_injected()
        env.kafka.start()
        for segment, half in torn:
            with segment.path.open("rb") as log:
                log.seek(segment.size)
                if log.read(len(half)) == half:
                    raise UnavailableError(f"The broker kept half a batch at the end of {segment.path}.")
        env.report(f"{self.name}: {len(torn)} segments were torn and truncated by the brokers")

    def heal(self, env: Environment) -> None:
        """Start the brokers that do not run."""
        start_brokers(env)


@dataclass(frozen=True)
class LostBroker(Fault):
    """Kill -9 of one broker of three; the tallies must catch up before it is restarted."""

    name: str = "one-broker-of-three-lost"
    needs: Needs = THREE_BROKERS
    recovery_from: RecoveryFrom = "inject"

    def inject(self, env: Environment, source: random.Random) -> None:
        """Any broker: it leads partitions, and may be the group coordinator or the controller."""
        node = source.choice(env.nodes)
        env.report(f"{self.name}: killing {node.process.name}")
        env.mark_injected()
        node.kill()
        time.sleep(env.limits.live_seconds)  # messages that were read before the kill keep the tallies live until then
        env.await_live()
        env.mark_recovered()

    def heal(self, env: Environment) -> None:
        """Restart it and wait until every replica is in sync, because the next fault may kill another broker."""
        start_brokers(env)
        admin = admin_client(env.kafka.bootstrap)

        def in_sync() -> bool:
            try:
                partitions = admin.list_topics(env.topic, timeout=5.0).topics[env.topic].partitions.values()
            except KafkaException:
                return False
            return all(len(partition.isrs) == len(env.nodes) for partition in partitions)

        wait_until(in_sync, timeout=env.limit(_NOTICED_SECONDS), what="every replica to be in sync")


@dataclass(frozen=True)
class AddedPartition(Fault):
    """The topic gets one more partition; a worker must read it without a restart. Recovered: its first event is stored."""

    name: str = "added-partition"
    recovery_from: RecoveryFrom = "inject"

    def inject(self, env: Environment, source: random.Random) -> None:  # noqa: ARG002 - nothing is random here
        """Wait until an event of the new partition is stored."""
        admin = admin_client(env.kafka.bootstrap)
        number = len(admin.list_topics(env.topic, timeout=10.0).topics[env.topic].partitions)
        env.mark_injected()
        admin.create_partitions([NewPartitions(env.topic, number + 1)])[env.topic].result(_ADMIN_SECONDS)
        wait_until(
            lambda: sum(env.probe.numbers(f"SELECT count() FROM {env.database}.dossier_messages WHERE partition = {number}")),
            timeout=env.limit(_NOTICED_SECONDS),
            what=f"an event of the new partition {number} to be stored",
        )


@dataclass(frozen=True)
class RecreatedTopic(Fault):
    """The topic is deleted and recreated under the same name while a worker reads it: its offsets refer to other messages.

    The worker must end and say so. Its message names the remedy, a new group; ``heal`` applies it.
    """

    name: str = "recreated-topic"

    def inject(self, env: Environment, source: random.Random) -> None:  # noqa: ARG002 - nothing is random here
        """Wait until every sent event is tallied, because the deletion removes it from Kafka."""
        env.await_exact()
        env.mark_injected()
        recreate_topic(env)
        for worker in env.workers:
            message = worker.await_end(frozenset({1, 2}), timeout=env.limit(_NOTICED_SECONDS))
            if "deleted and created again" not in message:
                raise UnavailableError(f"{worker.name} ended without saying that the topic was recreated: {message!r}.")
            env.report(f"{self.name}: noticed after {time.monotonic() - env.injected_at:.1f} s")

    def heal(self, env: Environment) -> None:
        """Read the new topic with a new group and send a burst."""
        tallied = env.tallied()
        env.change_group()
        env.traffic.resume()
        env.traffic.burst(_BURST)
        wait_until(
            lambda: env.tallied() >= tallied + _BURST // 2,
            timeout=env.limit(_NOTICED_SECONDS),
            what="new events to be tallied",
        )


def recreate_topic(env: Environment) -> None:
    """Delete the topic and create it again as soon as the brokers allow it; the traffic must be paused."""
    admin = admin_client(env.kafka.bootstrap)
    admin.delete_topics([env.topic])[env.topic].result(_ADMIN_SECONDS)

    def gone() -> bool:
        return env.topic not in admin.list_topics(timeout=5.0).topics

    wait_until(gone, timeout=_ADMIN_SECONDS, what="the topic to be deleted")
    env.kafka.create_topic(env.topic, partitions=PARTITIONS)


def start_brokers(env: Environment) -> None:
    """Start every Kafka node that does not run and wait until all of them answer."""
    if not all(node.process.running for node in env.nodes):
        env.kafka.start()


FAULTS: tuple[Fault, ...] = (TornSegment(), LostBroker(), AddedPartition(), RecreatedTopic())
