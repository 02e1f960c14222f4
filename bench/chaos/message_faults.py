"""Message faults: clocks wrong by years, one message in a hundred malformed, all malformed, messages of ten megabytes."""

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
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import KafkaError, Producer
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from bench.chaos.environment import Environment
from bench.chaos.fault import ONE_WORKER, Fault, Needs
from bench.chaos.outage import await_worker_ends
from bench.environment import child_environment
from deploy.native.processes import wait_until
from deploy.native.services.kafka_admin import admin_client
from domain.errors import DeadLetterLimitError, UnavailableError
from domain.periods import VIETNAM
from pipeline.decode.kept_message import kept_message
from pipeline.settings import DeadLetterSettings
from producers.portals.faults import malformed

_WAIT_SECONDS: Final = 120.0
_PREFIX: Final = "PORTALPULSE_DEAD_LETTERS__"


@dataclass(frozen=True)
class WrongClocks(Fault):
    """Portals whose clocks are wrong by years, behind or ahead, or show the beginning of 1970.

    Events of the past count in the minutes they name. Events of the future, and of days on which the agency did not exist, are
    dead-lettered.
    """

    name: str = "clocks-wrong-by-years"
    each: int = 300

    def inject(self, env: Environment, source: random.Random) -> None:
        """Among the usual traffic."""
        now = dt.datetime.now(VIETNAM)
        env.traffic.pause()
        env.traffic.send_at(now - dt.timedelta(days=source.uniform(400, 3_000)) for _ in range(self.each))
        env.traffic.resume()
        ahead = [invalid_event(now + dt.timedelta(days=source.uniform(30, 4_000))) for _ in range(self.each)]
        reset = [invalid_event(dt.datetime.fromtimestamp(source.randrange(86_400), VIETNAM)) for _ in range(self.each)]
        send_rejected(env, {"in_the_future": ahead, "agency_not_in_force": reset})


@dataclass(frozen=True)
class SomePoison(Fault):
    """One message in a hundred is malformed, in every known way; it does not affect the others."""

    name: str = "one-percent-poison"
    events: int = 20_000

    def inject(self, env: Environment, source: random.Random) -> None:
        """Within a burst of events."""
        env.traffic.burst(self.events)
        rejected: dict[str, list[bytes | None]] = {}
        for message in malformed(source.getrandbits(31), self.events // 100):
            rejected.setdefault(message.reason.value, []).append(message.value)
        send_rejected(env, rejected)


@dataclass(frozen=True)
class OnlyPoison(Fault):
    """Every message is malformed, as after a bad release of a portal: workers stop at the limit; once accepted, none is lost."""

    name: str = "all-poison"
    needs: Needs = ONE_WORKER

    def inject(self, env: Environment, source: random.Random) -> None:
        """More than the limit in a row; every worker must end, also after each restart, without dead-lettering more."""
        env.await_exact()
        limit = int(env.settings().get(f"{_PREFIX}MAX_CONSECUTIVE", DeadLetterSettings().max_consecutive))
        dead_letters = dead_letters_by_reason(env)
        before, malformed_messages = sum(dead_letters.values()), [b'{"cut":%d' % source.getrandbits(40) for _ in range(2 * limit)]
        env.mark_injected()
        partition = source.choice(sorted(env.offsets.ends()))
        send(env, malformed_messages, partition=partition)
        for _ in range(2):
            await_worker_ends(env, f"in a row were rejected, the limit is {limit}", status=DeadLetterLimitError.exit_code)
            kept = sum(dead_letters_by_reason(env).values()) - before
            if kept >= limit:
                raise UnavailableError(f"The workers dead-lettered {kept} messages before they stopped, the limit is {limit}.")
            for worker in env.workers:
                worker.launch()
        await_worker_ends(env, f"in a row were rejected, the limit is {limit}", status=DeadLetterLimitError.exit_code)
        accept(env, partition)
        for worker in env.workers:
            worker.launch()
        await_dead_letters(env, dead_letters + Counter({"not_json": len(malformed_messages)}))

    def heal(self, env: Environment) -> None:
        """Resume the traffic. Accepted messages stay accepted, also for groups that read the topic later."""
        env.traffic.resume()


@dataclass(frozen=True)
class HugeMessages(Fault):
    """Messages of ten megabytes, larger than a whole fetch: events with a huge extra field, and random bytes."""

    name: str = "ten-megabyte-messages"
    each: int = 4
    megabytes: int = 10

    def inject(self, env: Environment, source: random.Random) -> None:
        """Raise the topic's size limit first; each message must be dead-lettered with every byte."""
        set_message_limit(env, (self.megabytes + 1) << 20)
        size = self.megabytes << 20
        now = dt.datetime.now(VIETNAM)
        events = [invalid_event(now, note="x" * size) for _ in range(self.each)]
        garbage = [source.randbytes(size) for _ in range(self.each)]
        env.traffic.burst(2_000)
        send_rejected(env, {"too_large": [*events, *garbage]}, largest=(self.megabytes + 1) << 20)

    def heal(self, env: Environment) -> None:
        """Restore the topic's size limit."""
        set_message_limit(env, None)


def invalid_event(at: dt.datetime, **more: str) -> bytes:
    """An event of this time that is not part of the counted traffic."""
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


def send_rejected(env: Environment, messages_by_reason: Mapping[str, Sequence[bytes | None]], *, largest: int = 1 << 20) -> None:
    """Send messages that must be rejected; wait until what is kept of each is a dead letter with its reason.

    Args:
        env: where to.
        messages_by_reason: reason -> messages.
        largest: size of the largest message (bytes).

    Raises:
        UnavailableError: one is missing, or differs from what was sent.
    """
    expected = dead_letters_by_reason(env) + Counter({reason: len(messages) for reason, messages in messages_by_reason.items()})
    every = [message for messages in messages_by_reason.values() for message in messages]
    send(env, every, largest=largest)
    await_dead_letters(env, expected)
    digests = {hashlib.md5(_kept(message), usedforsecurity=False).hexdigest().upper() for message in every}
    found = env.server.query(
        f"SELECT DISTINCT hex(MD5(value)) AS digest FROM {env.database}.dead_letters FINAL WHERE digest IN {tuple(digests)}"
    )
    if missing := digests - set(found.split()):
        raise UnavailableError(f"{len(missing)} of {len(digests)} messages were kept with other bytes.")


def _kept(message: bytes | None) -> bytes:
    """The value of the dead letter of a message."""
    kept = kept_message(message or b"")
    return (message or b"") if kept is None else kept


def send(env: Environment, messages: Sequence[bytes | None], *, largest: int = 1 << 20, partition: int = -1) -> None:
    """Send messages without a key to the topic, or to one partition of it, and wait until Kafka has them.

    Raises:
        UnavailableError: Kafka refuses one.
    """
    refused: list[str] = []

    def delivered(error: KafkaError | None, _message: object) -> None:
        if error is not None:
            refused.append(error.str())

    producer = Producer(
        {
            "bootstrap.servers": env.kafka.bootstrap,
            "message.max.bytes": largest + (1 << 16),
            "queue.buffering.max.kbytes": 1 << 20,
            "queue.buffering.max.messages": 1_000_000,
            "partitioner": "random",
            "sticky.partitioning.linger.ms": 0,
            "log_level": 0,
        }
    )
    for message in messages:
        producer.produce(env.topic, message, partition=partition, on_delivery=delivered)
        producer.poll(0)
    if remaining := producer.flush(env.limit(_WAIT_SECONDS)):
        refused.append(f"{remaining} without an answer")
    if refused:
        raise UnavailableError(f"Kafka did not take every message: {refused[0]}.")


def dead_letters_by_reason(env: Environment) -> Counter[str]:
    """Reason -> messages dead-lettered so far."""
    text = env.server.query(f"SELECT reason, count() FROM {env.database}.dead_letters FINAL GROUP BY reason")
    return Counter({reason: int(count) for reason, count in (line.split("\t") for line in text.splitlines())})


def accept(env: Environment, partition: int) -> None:
    """Accept the present messages of a partition with the command that an operator uses.

    Raises:
        UnavailableError: the command fails; with its error output.
    """
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.cli", "dead-letters", "accept", "--partition", str(partition)],
        env=child_environment(**env.settings()),
        capture_output=True,
        text=True,
        check=False,
        timeout=env.limit(_WAIT_SECONDS),
    )
    if done.returncode:
        raise UnavailableError(f"The malformed messages of partition {partition} could not be accepted: {done.stderr.strip()}")


def await_dead_letters(env: Environment, expected: Counter[str]) -> None:
    """Wait until exactly these numbers of messages are dead-lettered, by reason.

    Raises:
        UnavailableError: the numbers differ when the time is over.
    """
    found: Counter[str] = Counter()

    def complete() -> bool:
        nonlocal found
        found = dead_letters_by_reason(env)
        return found == expected

    try:
        wait_until(complete, timeout=env.limit(_WAIT_SECONDS), what="every malformed message to be dead-lettered")
    except UnavailableError as error:
        raise UnavailableError(f"{error.problem} Missing: {expected - found}, too many: {found - expected}.") from error


def set_message_limit(env: Environment, size: int | None) -> None:
    """Set the largest message that the topic accepts (bytes); None = the broker's default."""
    operation: Any = AlterConfigOpType.DELETE if size is None else AlterConfigOpType.SET
    entry = ConfigEntry("max.message.bytes", None if size is None else str(size), incremental_operation=operation)
    resource = ConfigResource(ResourceType.TOPIC, env.topic, incremental_configs=[entry])
    alter: Callable[..., Any] = admin_client(env.kafka.bootstrap).incremental_alter_configs
    for done in alter([resource]).values():
        done.result(30)


FAULTS: tuple[Fault, ...] = (WrongClocks(), SomePoison(), OnlyPoison(), HugeMessages())
