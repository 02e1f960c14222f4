"""``python -m bench latency``: from send to visible at a steady rate, and the resource usage of the worker.

The sender logs how many events it had sent at each time; this process polls the worker's ``/api/v1/progress`` for how many are in
the minute tallies. The k-th event became visible when that number reached k, so its latency is the distance between the two
curves at height k. It is overestimated by up to one sample interval (25 ms) and never underestimated.
"""

from __future__ import annotations

import datetime as dt
import time
from pathlib import Path
from typing import Annotated, Any

import httpx
import numpy as np
import typer
from rich.console import Console

from bench import figures, results
from bench.measure import Stack, machine, paced_sender, running, running_stack, usage, worker, worker_settings
from deploy.native.processes import ChildProcess

TOPIC = "dvc.dossier-events.v1"
SAMPLE_SECONDS = 0.025
WARM_UP_SECONDS = 10.0


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def latency(
        *,
        rate: Annotated[list[int], typer.Option(help="Events a second; may be given several times.")] = [5_000, 20_000],  # noqa: B006
        seconds: Annotated[float, typer.Option(help="Length of each run.")] = 600.0,
    ) -> None:
        """Pace events through one worker and report p50, p95, p99 from send to visible, processor and memory."""
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
    name = f"latency_{rate}"
    topic = f"{TOPIC}.{rate}"
    stack.kafka.create_topic(topic, partitions=4)
    service = worker(stack, worker_settings(stack, topic=topic, group=name, database=name))
    child = service.process
    try:
        with running(child), httpx.Client(base_url=service.url, timeout=10, trust_env=False) as client:
            service.await_ready()
            return _measure(stack, child, client, topic=topic, rate=rate, seconds=seconds)
    finally:
        stack.drop_database(name)


def _measure(stack: Stack, child: ChildProcess, client: httpx.Client, *, topic: str, rate: int, seconds: float) -> dict[str, Any]:
    """Sample while a sender sends."""
    samples: list[tuple[float, int]] = []
    memory: list[int] = []
    notes = stack.folder / f"{topic}.txt"
    sending = paced_sender(bootstrap=stack.kafka.bootstrap, topic=topic, rate=rate, seconds=seconds, notes=notes)
    with sending as sender:
        before = usage([child])
        began = time.monotonic()
        ends_at = None
        while ends_at is None or time.monotonic() < ends_at:
            child.check()
            # Timed after the answer: the events were visible before.
            visible = client.get("/api/v1/progress").json()["tallied_minutes"]
            samples.append((time.monotonic(), visible))
            if len(samples) % 40 == 0:
                memory.append(usage([child]).memory_bytes)
            if ends_at is None and sender.poll() is not None:
                ends_at = time.monotonic() + 5
            time.sleep(SAMPLE_SECONDS)
        spent = usage([child]).cpu_seconds - before.cpu_seconds
        elapsed = time.monotonic() - began
    return _summary(rate, seconds, notes, samples) | {
        "worker_cores": round(spent / elapsed, 3),
        "memory_mb_start": round(np.median(memory[: max(1, len(memory) // 10)]) / 1e6),
        "memory_mb_end": round(np.median(memory[-max(1, len(memory) // 10) :]) / 1e6),
        "memory_mb_most": round(max(memory) / 1e6),
        "taken_at": dt.datetime.now(dt.UTC).isoformat(timespec="minutes"),
    }


def _summary(rate: int, seconds: float, notes: Path, samples: list[tuple[float, int]]) -> dict[str, Any]:
    """Percentiles over every event after the warm-up, in milliseconds."""
    sent_at, sent = np.loadtxt(notes, unpack=True)
    sampled_at, visible = np.array(samples).T
    total = int(sent[-1])
    if int(visible[-1]) != total:
        raise SystemExit(f"{total} events were sent and {int(visible[-1])} are visible")
    first = int(np.interp(sent_at[0] + WARM_UP_SECONDS, sent_at, sent))
    events = np.arange(first + 1, total + 1)
    # An event was sent before the log entry that counts it, and is visible at the first sample that counts it.
    send = sent_at[np.searchsorted(sent, events)]
    see = sampled_at[np.searchsorted(visible, events)]
    p50, p95, p99 = (round(float(value) * 1000) for value in np.percentile(see - send, (50, 95, 99)))
    return {
        "rate": rate,
        "achieved": round(total / (sent_at[-1] - sent_at[0])),
        "seconds": seconds,
        "events": total,
        "p50_ms": p50,
        "p95_ms": p95,
        "p99_ms": p99,
        "most_ms": round(float((see - send).max()) * 1000),
    }
