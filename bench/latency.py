"""``python -m bench latency``: from send to the first and to the exact figure at a steady rate, and the processors that it takes.

``portalpulse load`` sends realistic dossiers and measures; docs/load.md says how. Rate 0 measures what an idle worker costs.
"""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Final

import numpy as np
import typer
from rich.console import Console

from bench import figures, results
from bench.environment import child_environment
from bench.measure import PARTITIONS, Stack, machine, running, running_stack, usage, worker, worker_settings
from deploy.native.processes import ChildProcess
from domain.errors import UnavailableError

TOPIC: Final = "dvc.dossier-events.v1"
#: Connections, plans and caches are as in a long run after this (seconds).
WARM_UP_SECONDS: Final = 15.0
_MEMORY_SECONDS: Final = 1.0
_MOST_WAITING_SECONDS: Final = 120.0


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def latency(
        *,
        rate: Annotated[list[int], typer.Option(help="Messages a second; may be given several times.")] = [  # noqa: B006
            0,
            50,
            200,
            5_000,
            20_000,
        ],
        seconds: Annotated[float, typer.Option(help="Length of each run.")] = 300.0,
    ) -> None:
        """Pace realistic dossiers through one worker: p50, p95, p99 of the first and the exact figure, processors and memory."""
        console = Console()
        found = []
        with running_stack() as stack:
            for each in rate:
                found.append(measure(stack, rate=each, seconds=seconds))
                console.print(found[-1])
        known = {run["rate"]: run for run in results.read().get("latency", {}).get("runs", [])}
        known |= {run["rate"]: run for run in found}
        results.update({"latency": {"machine": machine(), "runs": [known[each] for each in sorted(known)]}})
        figures.write(console)


def measure(stack: Stack, *, rate: int, seconds: float) -> dict[str, Any]:
    """One rate on a fresh topic, group and database."""
    name, topic = f"latency_{rate}", f"{TOPIC}.{rate}"
    stack.kafka.create_topic(topic, partitions=PARTITIONS)
    service = worker(stack, worker_settings(stack, topic=topic, group=name, database=name))
    child = service.process
    try:
        with running(child):
            service.await_ready()
            _send(stack, service.url, topic=topic, rate=rate, seconds=WARM_UP_SECONDS)
            before, began = (usage([child]), usage([stack.server.process])), time.monotonic()
            with _memory_of(child) as memory:
                sent = _send(stack, service.url, topic=topic, rate=rate, seconds=seconds)
            after, elapsed = (usage([child]), usage([stack.server.process])), time.monotonic() - began
    finally:
        stack.drop_database(name)
    cores = [round((end.cpu_seconds - start.cpu_seconds) / elapsed, 3) for start, end in zip(before, after, strict=True)]
    return {
        "rate": rate,
        "seconds": seconds,
        "taken_at": dt.datetime.now(dt.UTC).isoformat(timespec="minutes"),
        "first": _milliseconds(sent.get("latency_seconds")),
        "exact": _milliseconds(sent.get("exact_latency_seconds")),
        "events": sent.get("distinct", 0),
        "achieved": round(sent.get("rate", 0)),
        "worker_cores": cores[0],
        "server_cores": cores[1],
        "memory_mb_start": round(np.median(memory[: max(1, len(memory) // 10)])),
        "memory_mb_end": round(np.median(memory[-max(1, len(memory) // 10) :])),
        "memory_mb_most": round(max(memory)),
    }


def _send(stack: Stack, url: str, *, topic: str, rate: int, seconds: float) -> dict[str, Any]:
    """The report of a load; with rate 0 nothing is sent.

    Raises:
        UnavailableError: not everything was sent or became visible.
    """
    if not rate:
        time.sleep(seconds)
        return {}
    command = [sys.executable, "-m", "pipeline.cli", "load", "--profile", "realistic", "--json", "--http", url]
    command += ["--bootstrap", stack.kafka.bootstrap, "--topic", topic, "--rate", str(rate), "--duration", str(seconds)]
    ended = subprocess.run(
        command,
        env=child_environment(),
        cwd=stack.working_directory(),
        capture_output=True,
        text=True,
        timeout=seconds + _MOST_WAITING_SECONDS,
        check=False,
    )
    if ended.returncode:
        raise UnavailableError(f"The load ended with status {ended.returncode}: {ended.stderr.strip()[-300:]}")
    report: dict[str, Any] = json.loads(ended.stdout)
    if report["latency_seconds"]["unseen"] or report["exact_latency_seconds"]["unseen"]:
        raise UnavailableError(f"Not every event became visible and exact: {report}")
    return report


def _milliseconds(lag: dict[str, Any] | None) -> dict[str, int] | None:
    return None if lag is None else {name: round(lag[name] * 1000) for name in ("p50", "p95", "p99", "max")}


@contextmanager
def _memory_of(child: ChildProcess) -> Iterator[list[float]]:
    """Samples of a process's resident memory (MB), until the block ends."""
    samples, stop = [usage([child]).memory_bytes / 1e6], threading.Event()

    def sample() -> None:
        while not stop.wait(_MEMORY_SECONDS):
            samples.append(usage([child]).memory_bytes / 1e6)

    thread = threading.Thread(target=sample, name="memory", daemon=True)
    thread.start()
    try:
        yield samples
    finally:
        stop.set()
        thread.join()
