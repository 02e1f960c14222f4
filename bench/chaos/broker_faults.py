"""Faults of Kafka: killed in the middle of a write, one of three lost, a partition more, the topic made anew."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from typing import Final, Literal

from confluent_kafka import KafkaException
from confluent_kafka.admin import NewPartitions

from bench.chaos.fault import Fault, Needs
from bench.chaos.segments import Segment, newest_segment, torn_batch
from bench.chaos.world import PARTITIONS, World
from deploy.native.processes import wait_until
from deploy.native.services.kafka import admin_client
from domain.errors import UnavailableError

_ADMIN_SECONDS: Final = 30.0
#: A worker notices a new partition or a new topic within its settings' metadata age; this is well above.
_NOTICED_SECONDS: Final = 60.0
_BURST: Final = 1_000


@dataclass(frozen=True)
class TornSegment:
    """Kill -9 of every broker, as when the power of the room fails; the newest segments end in half a record batch.

    The brokers must cut that off when they start, and nothing else: what they acknowledged is whole before it. The time to
    recover begins when they are started.
    """

    name: str = "torn-segment"
    needs: Needs = field(default_factory=Needs)
    recovery_from: Literal["inject"] = "inject"

    def inject(self, world: World, source: random.Random) -> None:
        """Kill, tear, start, and look whether the torn bytes are gone."""
        world.kafka.kill()
        torn: list[tuple[Segment, bytes]] = []
        for node in world.nodes:
            for folder in sorted(node.topic_folders.glob(f"{world.topic}-*")):
                if not folder.name.removeprefix(f"{world.topic}-").isdigit():  # of a topic being deleted
                    continue
                try:
                    segment = newest_segment(folder)
                except ValueError:  # nothing was ever written there, or a new segment has just begun
                    continue
                torn.append((segment, torn_batch(segment)))
                with segment.path.open("r+b") as log:
                    log.truncate(segment.size)  # kafka may have been torn by the kill itself; keep every whole batch
                    log.seek(segment.size)
                    log.write(torn[-1][1])
        if not torn:
            raise UnavailableError("No segment of the topic was found.")
        time.sleep(source.uniform(0.0, 5.0))
        world.strike()
        world.kafka.start()
        for segment, half in torn:
            with segment.path.open("rb") as log:
                log.seek(segment.size)
                if log.read(len(half)) == half:
                    raise UnavailableError(f"The broker kept half a batch at the end of {segment.path}.")
        world.report(f"{self.name}: {len(torn)} segments were torn and mended")

    def heal(self, world: World) -> None:
        """Start what does not run."""
        start_brokers(world)


@dataclass(frozen=True)
class LostBroker:
    """Kill -9 of one broker of three; the tallies must catch up before it comes back."""

    name: str = "one-broker-of-three-lost"
    needs: Needs = field(default_factory=lambda: Needs(brokers=3))
    recovery_from: Literal["inject"] = "inject"

    def inject(self, world: World, source: random.Random) -> None:
        """Any of them: it leads partitions, may coordinate the group, and may be the controller."""
        node = source.choice(world.nodes)
        world.report(f"{self.name}: {node.process.name} is killed")
        world.strike()
        node.kill()
        time.sleep(world.limits.live_seconds)  # what was read before is live for another moment
        world.await_live()
        world.recover()

    def heal(self, world: World) -> None:
        """Start it again, and wait until every copy is in sync: the next fault may take another one."""
        start_brokers(world)
        admin = admin_client(world.kafka.bootstrap)

        def in_sync() -> bool:
            try:
                parts = admin.list_topics(world.topic, timeout=5.0).topics[world.topic].partitions.values()
            except KafkaException:
                return False
            return all(len(part.isrs) == len(world.nodes) for part in parts)

        wait_until(in_sync, timeout=world.limit(_NOTICED_SECONDS), what="every copy to be in sync")


@dataclass(frozen=True)
class AddedPartition:
    """The topic gets one partition more; a worker must read it without a restart. Recovered: its first event is stored."""

    name: str = "added-partition"
    needs: Needs = field(default_factory=Needs)
    recovery_from: Literal["inject"] = "inject"

    def inject(self, world: World, source: random.Random) -> None:  # noqa: ARG002 - nothing is left to chance
        """Wait until something of the new partition is stored."""
        admin = admin_client(world.kafka.bootstrap)
        number = len(admin.list_topics(world.topic, timeout=10.0).topics[world.topic].partitions)
        world.strike()
        admin.create_partitions([NewPartitions(world.topic, number + 1)])[world.topic].result(_ADMIN_SECONDS)
        wait_until(
            lambda: sum(world.probe.numbers(f"SELECT count() FROM {world.database}.dossier_events WHERE partition = {number}")),
            timeout=world.limit(_NOTICED_SECONDS),
            what=f"an event of the new partition {number} to be stored",
        )

    def heal(self, world: World) -> None:
        """A partition cannot be taken away."""


@dataclass(frozen=True)
class RecreatedTopic:
    """The topic is deleted and made again under the same name while a worker reads it: offsets mean other messages now.

    The worker must end and say so. The remedy that it names, another group, is followed.
    """

    name: str = "recreated-topic"
    needs: Needs = field(default_factory=Needs)
    recovery_from: Literal["heal"] = "heal"

    def inject(self, world: World, source: random.Random) -> None:  # noqa: ARG002 - nothing is left to chance
        """Everything sent so far is counted before, for it is gone from Kafka afterwards."""
        world.await_exact()
        world.strike()
        recreate_topic(world)
        for worker in world.workers:
            said = worker.await_end(frozenset({1, 2}), timeout=world.limit(_NOTICED_SECONDS))
            if "deleted and created again" not in said:
                raise UnavailableError(f"{worker.name} ended without saying that the topic was made anew: {said!r}.")
            world.report(f"{self.name}: noticed after {time.monotonic() - world.struck:.1f} s")

    def heal(self, world: World) -> None:
        """Another group begins at the beginning, and gets something to read."""
        tallied = world.tallied()
        world.regroup()
        world.traffic.resume()
        world.traffic.burst(_BURST)
        wait_until(
            lambda: world.tallied() >= tallied + _BURST // 2,
            timeout=world.limit(_NOTICED_SECONDS),
            what="new events to be tallied",
        )


def recreate_topic(world: World) -> None:
    """Delete the topic and make it again as soon as the brokers let us; the traffic must be paused."""
    admin = admin_client(world.kafka.bootstrap)
    admin.delete_topics([world.topic])[world.topic].result(_ADMIN_SECONDS)

    def gone() -> bool:
        return world.topic not in admin.list_topics(timeout=5.0).topics

    wait_until(gone, timeout=_ADMIN_SECONDS, what="the topic to be deleted")
    world.kafka.create_topic(world.topic, partitions=PARTITIONS)


def start_brokers(world: World) -> None:
    """Start every Kafka node that does not run and wait until all of them answer."""
    if not all(node.process.running for node in world.nodes):
        world.kafka.start()


FAULTS: tuple[Fault, ...] = (TornSegment(), LostBroker(), AddedPartition(), RecreatedTopic())
