"""Faults of messages: clocks wrong by years, one message in a hundred spoiled, all of them spoiled, messages of ten megabytes."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import random
import subprocess
import sys
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from confluent_kafka import KafkaError, Producer
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from bench.chaos.fault import Fault, Needs
from bench.chaos.storage_faults import must_end
from bench.chaos.world import World
from bench.environment import child_environment
from deploy.native.processes import wait_until
from deploy.native.services.kafka import admin_client
from domain.errors import DeadLetterLimitError, UnavailableError
from domain.periods import VIETNAM
from pipeline.settings import DeadLetterSettings
from producers.portals.faults import malformed

_SEEN_SECONDS: Final = 120.0
_PREFIX: Final = "PORTALPULSE_DEAD_LETTERS__"


@dataclass(frozen=True)
class WrongClocks:
    """Portals whose clocks are wrong by years, behind or ahead, or stand at the beginning of 1970.

    Events of the past count for the minutes they name; those of the future, and of days without the agency, are set aside.
    """

    name: str = "clocks-wrong-by-years"
    needs: Needs = field(default_factory=Needs)
    recovery_from: Literal["heal"] = "heal"
    each: int = 300

    def inject(self, world: World, source: random.Random) -> None:
        """Between the others' events."""
        now = dt.datetime.now(VIETNAM)
        world.traffic.pause()
        world.traffic.send_at(now - dt.timedelta(days=source.uniform(400, 3_000)) for _ in range(self.each))
        world.traffic.resume()
        ahead = [wrong(now + dt.timedelta(days=source.uniform(30, 4_000))) for _ in range(self.each)]
        reset = [wrong(dt.datetime.fromtimestamp(source.randrange(86_400), VIETNAM)) for _ in range(self.each)]
        set_aside(world, {"in_the_future": ahead, "agency_not_in_force": reset})

    def heal(self, world: World) -> None:
        """What was sent stays as it is."""


@dataclass(frozen=True)
class SomePoison:
    """One message in a hundred is no event, in every way that is known; the others count as if it were not there."""

    name: str = "one-percent-poison"
    needs: Needs = field(default_factory=Needs)
    recovery_from: Literal["heal"] = "heal"
    events: int = 20_000

    def inject(self, world: World, source: random.Random) -> None:
        """In a burst of events."""
        world.traffic.burst(self.events)
        spoiled: dict[str, list[bytes | None]] = {}
        for message in malformed(source.getrandbits(31), self.events // 100):
            spoiled.setdefault(message.reason.value, []).append(message.value)
        set_aside(world, spoiled)

    def heal(self, world: World) -> None:
        """What was sent stays as it is."""


@dataclass(frozen=True)
class OnlyPoison:
    """Every message is no event, as after a bad release of a portal: workers stop at the limit; accepted, nothing is lost."""

    name: str = "all-poison"
    needs: Needs = field(default_factory=Needs)
    recovery_from: Literal["heal"] = "heal"

    def inject(self, world: World, source: random.Random) -> None:
        """More than the limit in a row; every worker must end, again after each start, and no life sets more aside."""
        world.await_exact()
        limit = int(world.settings().get(f"{_PREFIX}MAX_CONSECUTIVE", DeadLetterSettings().max_consecutive))
        letters = letters_by_reason(world)
        before, poison = sum(letters.values()), [b'{"cut":%d' % source.getrandbits(40) for _ in range(2 * limit)]
        world.strike()
        partition = source.choice(sorted(world.offsets.ends()))
        send(world, poison, partition=partition)
        for _ in range(2):
            must_end(world, f"in a row were refused, the limit is {limit}", status=DeadLetterLimitError.exit_code)
            kept = sum(letters_by_reason(world).values()) - before
            if kept >= limit:
                raise UnavailableError(f"The workers set {kept} messages aside before they stopped, the limit is {limit}.")
            for worker in world.workers:
                worker.start()
        must_end(world, f"in a row were refused, the limit is {limit}", status=DeadLetterLimitError.exit_code)
        accept(world, partition)
        for worker in world.workers:
            worker.start()
        await_letters(world, letters + Counter({"not_json": len(poison)}))

    def heal(self, world: World) -> None:
        """What was accepted stays accepted, for groups that read the topic later, too."""
        world.traffic.resume()


@dataclass(frozen=True)
class HugeMessages:
    """Messages of ten megabytes, larger than a whole fetch: events with an endless extra field, and garbage."""

    name: str = "ten-megabyte-messages"
    needs: Needs = field(default_factory=Needs)
    recovery_from: Literal["heal"] = "heal"
    each: int = 4
    megabytes: int = 10

    def inject(self, world: World, source: random.Random) -> None:
        """The topic is allowed to take them first; each must be set aside with every byte."""
        limit_of_topic(world, (self.megabytes + 1) << 20)
        size = self.megabytes << 20
        now = dt.datetime.now(VIETNAM)
        whole = [wrong(now, note="x" * size) for _ in range(self.each)]
        garbage = [source.randbytes(size) for _ in range(self.each)]
        world.traffic.burst(2_000)
        set_aside(world, {"too_large": [*whole, *garbage]}, largest=(self.megabytes + 1) << 20)

    def heal(self, world: World) -> None:
        """The topic's own limit again; what is in it stays."""
        limit_of_topic(world, None)


def wrong(at: dt.datetime, **more: str) -> bytes:
    """An event of its own of this time, that the traffic knows nothing of."""
    return json.dumps(
        {
            "event_id": str(uuid.uuid4()),
            "dossier_code": f"G01.10-{at:%y%m%d}-0001",
            "agency_code": "G01",
            "procedure_code": "1.000001",
            "status": 9,
            "channel": 2,
            "service_level": "toan_trinh",
            "occurred_at": at.isoformat(timespec="milliseconds"),
            **more,
        }
    ).encode()


def set_aside(world: World, wanted: Mapping[str, Sequence[bytes | None]], *, largest: int = 1 << 20) -> None:
    """Send messages that are no events; wait until each is kept whole, with its reason.

    Args:
        world: where to.
        wanted: reason -> messages.
        largest: bytes that the sender must be able to send.

    Raises:
        UnavailableError: one is not kept, or not with every byte.
    """
    expected = letters_by_reason(world) + Counter({reason: len(messages) for reason, messages in wanted.items()})
    every = [message for messages in wanted.values() for message in messages]
    send(world, every, largest=largest)
    await_letters(world, expected)
    digests = {hashlib.md5(message or b"", usedforsecurity=False).hexdigest().upper() for message in every}
    found = world.server.query(
        f"SELECT DISTINCT hex(MD5(value)) AS digest FROM {world.database}.dead_letters FINAL WHERE digest IN {tuple(digests)}"
    )
    if missing := digests - set(found.split()):
        raise UnavailableError(f"{len(missing)} of {len(digests)} messages were set aside with other bytes.")


def send(world: World, messages: Sequence[bytes | None], *, largest: int = 1 << 20, partition: int = -1) -> None:
    """Send messages without a key to the topic, or to one partition of it, and wait until Kafka has them.

    Raises:
        UnavailableError: it refuses one.
    """
    refused: list[str] = []

    def delivered(error: KafkaError | None, _message: object) -> None:
        if error is not None:
            refused.append(error.str())

    producer = Producer(
        {
            "bootstrap.servers": world.kafka.bootstrap,
            "message.max.bytes": largest + (1 << 16),
            "queue.buffering.max.kbytes": 1 << 20,
            "queue.buffering.max.messages": 1_000_000,
            "partitioner": "random",
            "sticky.partitioning.linger.ms": 0,
            "log_level": 0,
        }
    )
    for message in messages:
        producer.produce(world.topic, message, partition=partition, on_delivery=delivered)
        producer.poll(0)
    if left := producer.flush(world.limit(_SEEN_SECONDS)):
        refused.append(f"{left} without an answer")
    if refused:
        raise UnavailableError(f"Kafka did not take every message: {refused[0]}.")


def letters_by_reason(world: World) -> Counter[str]:
    """Reason -> messages set aside so far."""
    text = world.server.query(f"SELECT reason, count() FROM {world.database}.dead_letters FINAL GROUP BY reason")
    return Counter({reason: int(count) for reason, count in (line.split("\t") for line in text.splitlines())})


def accept(world: World, partition: int) -> None:
    """Let the workers set aside what stands in a partition now, as an operator does.

    Raises:
        UnavailableError: the command fails; with its last words.
    """
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.cli", "dead-letters", "accept", "--partition", str(partition)],
        env=child_environment(**world.settings()),
        capture_output=True,
        text=True,
        check=False,
        timeout=world.limit(_SEEN_SECONDS),
    )
    if done.returncode:
        raise UnavailableError(f"The poison of partition {partition} could not be accepted: {done.stderr.strip()}")


def await_letters(world: World, expected: Counter[str]) -> None:
    """Wait until exactly so many messages are set aside, by reason.

    Raises:
        UnavailableError: there are others, or they do not come.
    """
    found: Counter[str] = Counter()

    def there() -> bool:
        nonlocal found
        found = letters_by_reason(world)
        return found == expected

    try:
        wait_until(there, timeout=world.limit(_SEEN_SECONDS), what="every spoiled message to be set aside")
    except UnavailableError as error:
        raise UnavailableError(f"{error.problem} Missing: {expected - found}, too many: {found - expected}.") from error


def limit_of_topic(world: World, size: int | None) -> None:
    """Set the largest message that the topic takes (bytes), or leave it to the broker."""
    operation: Any = AlterConfigOpType.DELETE if size is None else AlterConfigOpType.SET
    entry = ConfigEntry("max.message.bytes", None if size is None else str(size), incremental_operation=operation)
    resource = ConfigResource(ResourceType.TOPIC, world.topic, incremental_configs=[entry])
    ask: Callable[..., Any] = admin_client(world.kafka.bootstrap).incremental_alter_configs
    for done in ask([resource]).values():
        done.result(30)


FAULTS: tuple[Fault, ...] = (WrongClocks(), SomePoison(), OnlyPoison(), HugeMessages())
