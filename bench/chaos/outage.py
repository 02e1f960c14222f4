"""What must hold while the storage is away: nothing is acknowledged, memory is bounded, workers stay and say since when."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import Final

import httpx
import psutil

from bench.chaos.workers import Worker
from bench.chaos.world import World
from deploy.native.processes import wait_until
from domain.errors import UnavailableError
from pipeline.settings import ClickHouseSettings, IngestSettings, KafkaSettings

#: What was acknowledged before the storage went is committed this soon (seconds): Faust commits every half second.
SETTLE_SECONDS: Final = 2.0
#: A worker says that its storage is away this long after a call has failed (seconds).
SAY_SECONDS: Final = 15.0
#: Resident memory of a worker may grow by this much above what it may hold unstored (bytes): batches being decoded and sent.
SLACK_BYTES: Final = 400 << 20


@dataclass(frozen=True, slots=True)
class Observed:
    """What was seen while the storage was away.

    ``committed``: messages, the same from soon after the strike to the end. ``behind``: messages that waited in Kafka at the end.
    ``unstored``: most messages that a worker held. ``grown_bytes``: by how much the largest worker grew. ``said``: by /readyz.
    """

    seconds: float
    committed: int
    behind: int
    unstored: int
    grown_bytes: int
    said: str


def endure(world: World, seconds: float, *, settle: float = SETTLE_SECONDS, says: bool = True) -> Observed:
    """Watch the workers for so long while their storage stores nothing.

    Args:
        world: ``World.strike`` has noted when the storage went.
        seconds: from the strike to the end.
        settle: from the strike until nothing more may be acknowledged; longer than usual when recounts still work.
        says: whether /readyz must say it; a call that hangs is not known to have failed before its time is over.

    Raises:
        UnavailableError: something did not hold.
    """
    resident = {worker.name: memory(worker) for worker in world.workers}
    time.sleep(max(0.0, world.struck + settle - time.monotonic()))
    committed, deadline = world.offsets.committed(), world.struck + seconds
    unstored = grown = 0
    while True:
        for worker in world.workers:
            worker.process.check()
            grown = max(grown, memory(worker) - resident[worker.name])
            unstored = max(unstored, int(metric(worker, "portalpulse_worker_unstored_events")))
        if time.monotonic() >= deadline:
            break
        time.sleep(0.2)
    said = ""
    for worker in world.workers if says else ():
        what = f"{worker.name} to say that its storage is away"
        said = wait_until(lambda worker=worker: away(worker), timeout=world.limit(SAY_SECONDS), what=what)  # type: ignore[misc]
        _must(healthy(worker), f"{worker.name} calls itself unhealthy while it waits; it would be restarted for nothing.")
    now = world.offsets.committed()
    _must(now == committed, f"Offsets were committed while nothing could be stored: {committed} became {now}.")
    _must(
        all(metric(worker, "portalpulse_worker_assigned_partitions") > 0 for worker in world.workers),
        "A worker lost its partitions while it waited for its storage.",
    )
    settings = world.settings()
    limit = int(settings.get("PORTALPULSE_INGEST__MAX_UNSTORED_BYTES", IngestSettings().max_unstored_bytes))
    _must(grown <= limit + SLACK_BYTES, f"A worker grew by {grown >> 20} MiB, it may hold {limit >> 20} MiB.")
    behind = sum(end - now.get(number, 0) for number, end in world.offsets.ends().items())
    return Observed(time.monotonic() - world.struck, sum(now.values()), behind, unstored, grown, said)


def timeout_of(world: World) -> float:
    """How long a worker of this world waits for an answer of its storage (seconds)."""
    return float(world.settings().get("PORTALPULSE_CLICKHOUSE__TIMEOUT_SECONDS", ClickHouseSettings().timeout_seconds))


def most_unstored(world: World, *, message_bytes: int) -> int:
    """Messages that a worker may hold: fetching pauses above the limit, and one fetch of each partition may exceed it."""
    settings = world.settings()
    limit = int(settings.get("PORTALPULSE_INGEST__MAX_UNSTORED_ROWS", IngestSettings().max_unstored_rows))
    fetch = int(settings.get("PORTALPULSE_KAFKA__FETCH_BYTES", KafkaSettings().fetch_bytes))
    return limit + len(world.offsets.ends()) * fetch // message_bytes


def memory(worker: Worker) -> int:
    """Resident memory of a worker (bytes)."""
    worker.process.check()
    assert worker.process.pid is not None
    return int(psutil.Process(worker.process.pid).memory_info().rss)


def metric(worker: Worker, name: str, **labels: str) -> float:
    """A number that a worker publishes, summed over the labels not given.

    Raises:
        UnavailableError: it publishes nothing of that name.
    """
    text = httpx.get(f"{worker.url}/metrics", timeout=10, trust_env=False).text
    found = [
        float(value)
        for shown, value in re.findall(rf"^{name}(\{{.*\}})? (\S+)$", text, re.MULTILINE)
        if all(f'{label}="{wanted}"' in shown for label, wanted in labels.items())
    ]
    if not found:
        raise UnavailableError(f"{worker.name} publishes no {name}.")
    return sum(found)


def away(worker: Worker) -> str:
    """What /readyz says when it says that the storage is away; else nothing."""
    said = worker.ready()[1]
    return said if "storage unreachable since" in said else ""


def healthy(worker: Worker) -> bool:
    """Whether /healthz says yes."""
    return httpx.get(f"{worker.url}/healthz", timeout=10, trust_env=False).status_code == httpx.codes.OK


def _must(holds: object, otherwise: str) -> None:
    if not holds:
        raise UnavailableError(otherwise)
