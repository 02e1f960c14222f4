"""``python -m bench rolling``: workers are restarted in turn, and added and taken away, while events flow; how old figures get.

Every figure of every tier is compared with the ledger at the end.
"""

from __future__ import annotations

import datetime as dt
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import psutil
import typer
from rich.console import Console

from bench import results
from bench.fleet import Fleet, Membership, Place, await_exact, await_fresh
from bench.freshness import Freshness, probe_agencies
from bench.measure import machine, running_stack, usage
from bench.steady_traffic import SteadyTraffic
from producers.sending.worker_processes import Broker

_TOPIC: Final = "dvc.dossier-events.v1"
#: Undisturbed traffic before the first step and after each one (seconds).
_CALM_SECONDS: Final = 5.0
#: For how long traffic is planned: a start of the workers, and each step (seconds).
_START_SECONDS, _STEP_SECONDS = 40.0, 60.0


@dataclass(frozen=True, slots=True)
class Step:
    """What was done, how long it took, and the highest age of an event from its begin until all were fresh again (seconds)."""

    name: str
    seconds: float
    fresh_after: float
    worst: float


@dataclass(slots=True)
class RollingResult:
    """What was measured. ``differences`` and ``ends`` must be empty.

    ``calm``: highest age before the first step; ``cores``: what each part took then.
    """

    calm: float = 0.0
    cores: dict[str, float] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    worst: float = 0.0
    messages: int = 0
    differences: list[str] = field(default_factory=list)
    ends: list[str] = field(default_factory=list)

    @property
    def exact(self) -> bool:
        """Whether every figure is the true one and no worker ended unexpectedly."""
        return not self.differences and not self.ends


def run(
    place: Place,
    *,
    partitions: int,
    rate: float,
    membership: Membership,
    workers: int,
    steps: Sequence[tuple[str, Callable[[Fleet], None]]],
    settings: dict[str, str] | None = None,
    say: Callable[[str], None] = lambda _: None,
    calm_seconds: float = _CALM_SECONDS,
) -> RollingResult:
    """Take the steps, one after the other, each when all events are fresh, while ``rate`` messages a second flow.

    Raises:
        UnavailableError: workers do not start, do not keep up with the rate, or do not catch up after a step.
    """
    agencies, outcome = probe_agencies(partitions), RollingResult()
    planned = _START_SECONDS + len(steps) * (_STEP_SECONDS + calm_seconds)
    traffic = SteadyTraffic(Broker((place.kafka.bootstrap,), place.topic), rate=rate, seconds=planned, without=agencies)
    say(f"{traffic.total:,} messages are planned")
    freshness = Freshness(place.kafka.bootstrap, place.topic, server=place.server, database=place.database, agencies=agencies)
    with Fleet(place, membership=membership, settings=settings) as fleet:
        fleet.scale(workers)
        with traffic, freshness:
            time.sleep(1.0)
            await_fresh(freshness, traffic)
            begin = time.monotonic()
            parts = {
                "workers": [worker.process for worker in fleet.workers],
                "ClickHouse": [place.server.process],
                "Kafka": [place.kafka.process],
            }
            before = {name: usage(processes).cpu_seconds for name, processes in parts.items()}
            time.sleep(calm_seconds)
            elapsed = time.monotonic() - begin
            outcome.cores = {
                name: round((usage(processes).cpu_seconds - before[name]) / elapsed, 2) for name, processes in parts.items()
            }
            outcome.calm = max(sample.worst for sample in freshness.between(begin, time.monotonic()))
            say(f"without a change events are at most {outcome.calm:.1f} s old; cores: {outcome.cores}")
            for name, take in steps:
                began = time.monotonic()
                take(fleet)
                done = time.monotonic()
                await_fresh(freshness, traffic)
                fresh = time.monotonic()
                worst = max(sample.worst for sample in freshness.between(began, fresh))
                outcome.steps.append(Step(name, done - began, fresh - began, worst))
                say(f"{name}: {done - began:.1f} s, fresh after {fresh - began:.1f} s, oldest event {worst:.1f} s")
                time.sleep(calm_seconds)
            outcome.worst = max(sample.worst for sample in freshness.between(begin, time.monotonic()))
            outcome.differences = await_exact(place, traffic, freshness)
            outcome.messages = traffic.sent
        outcome.ends = fleet.check()
    return outcome


def in_turn(workers: int) -> list[tuple[str, Callable[[Fleet], None]]]:
    """Steps that restart each worker."""
    return [(f"restart of worker {index + 1}", lambda fleet, index=index: fleet.restart(index)) for index in range(workers)]  # type: ignore[misc]


def sizes(*numbers: int) -> list[tuple[str, Callable[[Fleet], None]]]:
    """Steps that add and take away workers."""
    return [(f"{number} workers", lambda fleet, number=number: fleet.scale(number)) for number in numbers]  # type: ignore[misc]


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def rolling(
        *,
        rate: Annotated[float, typer.Option(help="Messages a second.")] = 5_000.0,
        workers: Annotated[int, typer.Option(help="Workers at the start.")] = 4,
        partitions: Annotated[int, typer.Option(help="Partitions of the topic.")] = 8,
        membership: Annotated[str, typer.Option(help="dynamic, static, leaving, surge or replaced.")] = "surge",
        scale: Annotated[str, typer.Option(help="Instead of restarts: numbers of workers, separated by commas.")] = "",
        logs: Annotated[Path | None, typer.Option(help="Copy the logs of every process there at the end.")] = None,
    ) -> None:
        """Restart workers in turn, or change their number, under traffic; status 0 when every figure is right.

        Example: python -m bench rolling --membership static
        """
        console = Console()
        steps = sizes(*map(int, scale.split(","))) if scale else in_turn(workers)
        before = os.getloadavg()[0]
        with running_stack(keep_logs=logs) as stack:
            stack.kafka.create_topic(_TOPIC, partitions=partitions)
            place = Place(stack.kafka, stack.server, _TOPIC, "rolling", "rolling", stack.folder)
            psutil.cpu_percent()
            outcome = run(
                place,
                partitions=partitions,
                rate=rate,
                membership=membership,  # type: ignore[arg-type]
                workers=workers,
                steps=steps,
                say=lambda text: console.print(text, highlight=False),
            )
            busy = psutil.cpu_percent()
        found: dict[str, Any] = {
            "taken_at": dt.datetime.now(dt.UTC).isoformat(timespec="minutes"),
            "machine": machine(),
            "load_before": round(before, 1),
            "busy_percent": round(busy),
            "membership": membership,
            "workers": workers,
            "rate": rate,
            "scale": scale,
            "messages": outcome.messages,
            "calm": round(outcome.calm, 1),
            "cores": outcome.cores,
            "steps": [
                [step.name, round(step.seconds, 1), round(step.fresh_after, 1), round(step.worst, 1)] for step in outcome.steps
            ],
            "worst": round(outcome.worst, 1),
            "p99": round(float(np.percentile([step.worst for step in outcome.steps], 99)), 1),
            "exact": outcome.exact,
        }
        console.print(found)
        for line in [*outcome.ends, *outcome.differences[:20]]:
            console.print(line, highlight=False)
        results.update({"rolling": {**results.read().get("rolling", {}), f"{membership} {scale or workers}": found}})
        sys.exit(0 if outcome.exact else 1)
