"""What must hold while the storage is unavailable: nothing is acknowledged, memory is bounded, workers stay and report it."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import Final

import httpx
import psutil

from bench.chaos.environment import Environment
from bench.chaos.workers import Worker
from deploy.native.processes import wait_until
from domain.errors import UnavailableError
from pipeline.settings import ClickHouseSettings, IngestSettings, KafkaSettings

#: Offsets acknowledged before the outage are committed within this time (seconds): Faust commits every half second.
COMMIT_SECONDS: Final = 2.0
#: A worker reports that its storage is unavailable within this time after a call has failed (seconds).
REPORT_SECONDS: Final = 15.0
#: Resident memory of a worker may grow by this much above its limit for unstored messages (bytes): batches in progress.
SLACK_BYTES: Final = 400 << 20
#: Until workers have committed, retried or ended (seconds).
_WAIT_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Observation:
    """What was observed during an outage.

    ``committed``: messages, constant from soon after the start to the end. ``behind``: messages waiting in Kafka at the end.
    ``unstored``: most messages that a worker held. ``grown_bytes``: growth of the largest worker. ``reason``: of /readyz.
    """

    seconds: float
    committed: int
    behind: int
    unstored: int
    grown_bytes: int
    reason: str


def run_for(env: Environment, seconds: float, *, commit_seconds: float = COMMIT_SECONDS, reported: bool = True) -> Observation:
    """Observe the workers for some seconds while their storage stores nothing.

    Args:
        env: ``Environment.mark_injected`` has noted the start of the outage.
        seconds: from the start of the outage to the end.
        commit_seconds: from the start until offsets must no longer change; longer than usual when recounts still work.
        reported: whether /readyz must report it; a call that hangs has not failed before its timeout.

    Raises:
        UnavailableError: something did not hold.
    """
    resident = {worker.name: memory(worker) for worker in env.workers}
    time.sleep(max(0.0, env.injected_at + commit_seconds - time.monotonic()))
    committed, deadline = env.offsets.committed(), env.injected_at + seconds
    unstored = grown = 0
    while True:
        for worker in env.workers:
            worker.process.check()
            grown = max(grown, memory(worker) - resident[worker.name])
            unstored = max(unstored, int(metric(worker, "portalpulse_worker_unstored_events")))
        if time.monotonic() >= deadline:
            break
        time.sleep(0.2)
    reason = ""
    for worker in env.workers if reported else ():
        what = f"{worker.name} to report that its storage is unavailable"
        reason = wait_until(
            lambda worker=worker: storage_problem(worker),  # type: ignore[misc]
            timeout=env.limit(REPORT_SECONDS),
            what=what,
        )
        _require(worker.healthy(), f"{worker.name} reports itself unhealthy while it waits: a restart would not help.")
    now = env.offsets.committed()
    _require(now == committed, f"Offsets were committed while nothing could be stored: {committed} became {now}.")
    _require(
        all(metric(worker, "portalpulse_worker_assigned_partitions") > 0 for worker in env.workers),
        "A worker lost its partitions while it waited for its storage.",
    )
    settings = env.settings()
    limit = int(settings.get("PORTALPULSE_INGEST__MAX_UNSTORED_BYTES", IngestSettings().max_unstored_bytes))
    _require(grown <= limit + SLACK_BYTES, f"A worker grew by {grown >> 20} MiB, its limit is {limit >> 20} MiB.")
    behind = sum(end - now.get(number, 0) for number, end in env.offsets.ends().items())
    return Observation(time.monotonic() - env.injected_at, sum(now.values()), behind, unstored, grown, reason)


def report_outage(env: Environment, name: str, observed: Observation) -> None:
    """Report what was observed."""
    grown = observed.grown_bytes / 2**20
    env.report(
        f"{name}: unavailable for {observed.seconds:.1f} s, committed {observed.committed:,} throughout,"
        f" {observed.behind:,} behind, held {observed.unstored:,} unstored, grew by {grown:.0f} MiB;"
        f" reason: {observed.reason or '-'}"
    )


def await_commit(env: Environment) -> None:
    """Wait until some offset is committed; before that, an unchanged offset proves nothing."""
    wait_until(lambda: sum(env.offsets.committed().values()), timeout=env.limit(_WAIT_SECONDS), what="a committed offset")


def await_retries(env: Environment, operation: str) -> None:
    """Wait until every worker has retried this operation twice more."""

    def retries(worker: Worker) -> float:
        return metric(worker, "portalpulse_worker_store_seconds_count", operation=operation, outcome="retryable")

    for worker, before in [(worker, retries(worker)) for worker in env.workers]:
        wait_until(
            lambda worker=worker, before=before: retries(worker) >= before + 2,  # type: ignore[misc]
            timeout=env.limit(_WAIT_SECONDS),
            what=f"{worker.name} to retry {operation}",
        )


def await_worker_ends(env: Environment, text: str, *, status: int = 1) -> None:
    """Wait until every worker ends by itself, with this status and a message that contains ``text``."""
    for worker in env.workers:
        message = worker.await_end(frozenset({status}), timeout=env.limit(_WAIT_SECONDS) + timeout_of(env))
        if text not in message:
            raise UnavailableError(f"{worker.name} ended without saying {text}: {message!r}.")
        env.report(message)


def start_server(env: Environment) -> None:
    """Start ClickHouse unless it runs."""
    if not env.server.process.running:
        env.server.start()


def timeout_of(env: Environment) -> float:
    """How long a worker waits for an answer of its storage (seconds)."""
    return float(env.settings().get("PORTALPULSE_CLICKHOUSE__TIMEOUT_SECONDS", ClickHouseSettings().timeout_seconds))


def max_unstored(env: Environment, *, message_bytes: int) -> int:
    """Messages that a worker may hold: fetching pauses above the limit, and one fetch of each partition may exceed it."""
    settings = env.settings()
    limit = int(settings.get("PORTALPULSE_INGEST__MAX_UNSTORED_ROWS", IngestSettings().max_unstored_rows))
    fetch = int(settings.get("PORTALPULSE_KAFKA__FETCH_BYTES", KafkaSettings().fetch_bytes))
    return limit + len(env.offsets.ends()) * fetch // message_bytes


def memory(worker: Worker) -> int:
    """Resident memory of a worker (bytes)."""
    worker.process.check()
    assert worker.process.pid is not None
    return int(psutil.Process(worker.process.pid).memory_info().rss)


def metric(worker: Worker, name: str, **labels: str) -> float:
    """A metric of a worker, summed over the labels that are not given.

    Raises:
        UnavailableError: it has no metric of that name.
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


def storage_problem(worker: Worker) -> str:
    """The reason of /readyz when it names the storage and since when it is unavailable; else an empty text."""
    reason = worker.readiness()[1]
    return reason if re.search(r"\bstorage\b.* since \d", reason) else ""


def _require(condition: object, problem: str) -> None:
    if not condition:
        raise UnavailableError(problem)
