"""``python -m bench soak``: many events at full speed; exact at the end, and as fast in the last quarter as in the first."""

from __future__ import annotations

import datetime as dt
import time
from typing import Annotated, Any

import typer
from rich.console import Console

from bench import figures, results
from bench.corpus import Corpus, Filled
from bench.measure import Stack, machine, running, running_stack, usage, worker, worker_settings
from bench.probe import Probe, wait_for
from deploy.native.processes import ChildProcess

TOPIC = "dvc.dossier-events.v1"


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def soak(
        *,
        events: Annotated[int, typer.Option(help="Messages.")] = 20_000_000,
        minutes: Annotated[int, typer.Option(help="Minutes that the events are spread over.")] = 200,
    ) -> None:
        """Tally many events at full speed and compare the rates of the quarters."""
        console = Console()
        with running_stack() as stack:
            until = dt.datetime.now(dt.UTC).replace(second=0, microsecond=0)
            with console.status(f"sending {events:,} messages"):
                filled = stack.fill_topic(TOPIC, Corpus(events, minutes, until))
            child = worker(stack, worker_settings(stack, topic=TOPIC, group="soak", database="soak")).process
            with running(child):
                found = _count(stack, child, filled)
        console.print(found)
        results.update({"soak": {"machine": machine(), **found}})
        figures.write(console)
        if not found["exact"]:
            raise typer.Exit(1)


def _count(stack: Stack, child: ChildProcess, filled: Filled) -> dict[str, Any]:
    """Sample until everything is tallied."""
    events, probe = filled.events, Probe(stack.server)
    stored = "SELECT count() FROM soak.dossier_messages"
    samples: list[tuple[float, int]] = []
    memory = 0

    def sample() -> bool:
        nonlocal memory
        numbers = probe.numbers(stored)
        samples.append((time.monotonic(), numbers[0] if numbers else 0))
        memory = max(memory, usage([child]).memory_bytes)
        return samples[-1][1] >= events

    wait_for(sample, timeout=1_800, what="every event to be stored", children=[child], poll=0.1)
    counted = "SELECT sum(events) FROM soak.agency_minute FINAL"
    wait_for(lambda: probe.numbers(counted) == [events], timeout=300, what="every event to be tallied", children=[child])
    end = time.monotonic()
    tallies = probe.buckets("SELECT agency, toUnixTimestamp(minute), events FROM soak.agency_minute FINAL")
    first = next(at for at, number in samples if number)
    quarters = []
    for quarter in range(4):
        bounds = (max(1, events * end // 4) for end in (quarter, quarter + 1))
        low, high = (next(at for at, number in samples if number >= bound) for bound in bounds)
        quarters.append(round(events / 4 / (high - low)))
    return {
        "events": events,
        "exact": tallies == filled.buckets,
        "events_per_second": round(events / (end - first)),
        "quarters": quarters,
        "last_to_first": round(quarters[3] / quarters[0], 3),
        "memory_mb_most": round(memory / 1e6),
        "worker_cpu_seconds": round(usage([child]).cpu_seconds, 1),
    }
