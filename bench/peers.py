"""The comparison: this pipeline and its peers on the same messages, in the same run, on the same machine, in turns."""

from __future__ import annotations

import datetime as dt
import shlex
import statistics
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from confluent_kafka import KafkaException
from rich.console import Console

from bench import figures, results
from bench.comparison import Check, Timing, check_redelivery, time_run
from bench.contenders.contract import Contender, RunContext
from bench.contenders.registry import CONTENDERS, Entry
from bench.corpus import Corpus, Filled
from bench.environment import peers_python
from bench.measure import PARTITIONS, Stack, machine, running_stack
from bench.probe import Probe
from domain.errors import ConfigurationError, PortalPulseError


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""

    @app.command()
    def peers(
        *,
        events: Annotated[int, typer.Option(min=20_000, help="Messages for the fast contenders.")] = 4_000_000,
        runs: Annotated[int, typer.Option(min=1, help="Runs of each contender.")] = 3,
        only: Annotated[str, typer.Option(help="Names, separated by commas.")] = "",
        slow_events: Annotated[
            int, typer.Option("--slow-events", help="A second limit for the slow contenders; 0 = the built-in one.")
        ] = 0,
        minutes: Annotated[int, typer.Option(min=1, help="Minutes that the events are spread over.")] = 10,
        check_every_run: Annotated[
            bool, typer.Option("--check-every-run", help="Force a redelivery in every run, not only in the last.")
        ] = False,
        deadline: Annotated[float, typer.Option(help="Seconds that a timed run may take.")] = 240.0,
        output: Annotated[Path, typer.Option("--results", help="Where the figures go.")] = results.RESULTS,
        logs: Annotated[Path | None, typer.Option(help="Keep the logs of all processes in this folder.")] = None,
    ) -> None:
        """Compare throughput and exactness after a redelivery with stock Faust, quixstreams, bytewax, aiokafka and ClickHouse.

        Example: python -m bench peers --events 1000000 --runs 1 --only portalpulse,clickhouse-kafka-engine
        """
        chosen = _chosen(only)
        peers_python()
        console = Console()
        console.width = max(console.width, 150)
        began = time.monotonic()
        with running_stack(keep_logs=logs) as stack:
            measured = [Measured(entry, _events(entry, events, slow_events)) for entry in chosen]
            _fill(stack, measured, minutes=minutes, console=console)
            for number in range(runs):  # in turns, so that a slow phase of the machine affects all of them
                for contender in measured:
                    with console.status(f"run {number + 1} of {runs}: {contender.entry.title}"):
                        check = check_every_run or number == runs - 1
                        message = _run(stack, contender, number, deadline=deadline, check=check)
                    console.print(f"  {contender.entry.title:26} {message}", highlight=False, soft_wrap=True)
        results.update(_document(measured, console=console, output=output), output)
        console.print(f"written to {output} after {time.monotonic() - began:.0f} s")
        if output == results.RESULTS:
            figures.write(console)


def _chosen(only: str) -> list[Entry]:
    names = [name.strip() for name in only.split(",") if name.strip()]
    unknown = set(names) - {entry.name for entry in CONTENDERS}
    if unknown:
        raise ConfigurationError(
            f"There is no contender {', '.join(sorted(unknown))}.",
            remedy=f"Choose from {', '.join(dict.fromkeys(entry.name for entry in CONTENDERS))}.",
        )
    return [entry for entry in CONTENDERS if not names or entry.name in names]


class Measured:
    """All runs of one contender."""

    def __init__(self, entry: Entry, events: int) -> None:
        self.entry = entry
        self.events = events
        self.filled: Filled | None = None
        self.timings: list[Timing] = []
        self.checks: list[Check] = []
        self.failures: list[str] = []

    def as_json(self) -> dict[str, Any]:
        """One element of ``runs`` in results.json."""
        return {
            "name": self.entry.name,
            "workers": self.entry.workers,
            "how": self.entry.how,
            "events": self.events,
            "events_per_second": [round(timing.rate) for timing in self.timings],
            "events_per_second_since_start": [round(timing.rate_since_start) for timing in self.timings],
            "seconds_since_start": [round(timing.seconds_since_start, 2) for timing in self.timings],
            "events_at_first_sight": [timing.at_first_sample for timing in self.timings],
            "cpu_seconds": [round(timing.own.cpu_seconds, 2) for timing in self.timings],
            "clickhouse_cpu_seconds": [round(timing.server_cpu_seconds, 2) for timing in self.timings],
            "memory_bytes": [timing.own.memory_bytes for timing in self.timings],
            "exact_after_redelivery": all(check.exact for check in self.checks) if self.checks else None,
            "redelivered": [check.redelivered for check in self.checks],
            "excess_after_redelivery": [check.excess for check in self.checks],
            "wrong_tallies_after_redelivery": [check.wrong_tallies for check in self.checks],
            "excess_before_redelivery": [check.excess_before for check in self.checks],
            "failures": self.failures,
        }


def _events(entry: Entry, events: int, slow_events: int) -> int:
    """The messages for one contender."""
    limit = min(entry.max_events, slow_events) if slow_events and entry.is_slow else entry.max_events
    return min(events, limit)


def _fill(stack: Stack, measured: list[Measured], *, minutes: int, console: Console) -> None:
    """One topic for each number of messages."""
    until = dt.datetime.now(dt.UTC).replace(second=0, microsecond=0)
    topics: dict[int, Filled] = {}
    for contender in measured:
        size = contender.events
        if size not in topics:
            with console.status(f"sending {size:,} messages"):
                filled = topics[size] = stack.fill_topic(f"bench.dossier-events.{size}", Corpus(size, minutes, until))
            console.print(f"{size:,} messages of {filled.message_bytes:.0f} bytes in {PARTITIONS} partitions of {filled.topic}")
        contender.filled = topics[size]


def _run(stack: Stack, measured: Measured, number: int, *, deadline: float, check: bool) -> str:
    """One run of one contender; a failure becomes a line of the table. Returns a text for the console."""
    entry, filled = measured.entry, measured.filled
    assert filled is not None
    name = f"{entry.name}_{entry.workers}_{number}".replace("-", "_")
    context = RunContext(stack=stack, topic=filled.topic, group=f"bench-{name}", database=f"bench_{name}")
    probe = Probe(stack.server)
    contender = entry.create(context)
    message = ""
    try:
        contender.prepare()
        timing = time_run(contender, filled, probe, deadline=deadline)
        measured.timings.append(timing)
        message = f"{timing.rate:>9,.0f} events/s, {timing.seconds_since_start:5.1f} s since start"
        if check:
            found = check_redelivery(contender, filled, probe)
            measured.checks.append(found)
            message += f", after {found.redelivered:,} redelivered: " + ("exact" if found.exact else f"{found.excess:+,} events")
    except (PortalPulseError, KafkaException, httpx.HTTPError) as error:
        measured.failures.append(f"run {number + 1}: {error}")
        message += f" FAILED: {error}"
    finally:
        _clean(contender, stack, context, probe)
    return message


def _clean(contender: Contender, stack: Stack, context: RunContext, probe: Probe) -> None:
    """Remove everything that would disturb the next run; an error here stops the benchmark."""
    contender.stop()
    probe.close()
    stack.drop_database(context.database)


def _document(measured: list[Measured], *, console: Console, output: Path) -> dict[str, Any]:
    """The new content of results.json; contenders that did not run keep their old figures."""
    new = [found.as_json() for found in measured]
    taken = {(found["name"], found["workers"]) for found in new}
    old_runs = [old for old in results.read(output).get("runs", []) if "redelivered" in old]  # of this form
    kept = [old for old in old_runs if (old["name"], old["workers"]) not in taken]
    order = [(entry.name, entry.workers) for entry in CONTENDERS]
    console.print(figures.console_table(new))
    return {
        "machine": machine(),
        "taken_at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "command": shlex.join(["python", "-m", "bench", *sys.argv[1:]]),
        "message_bytes": round(statistics.mean(found.filled.message_bytes for found in measured if found.filled)),
        "partitions": PARTITIONS,
        "runs": sorted(kept + new, key=lambda run: order.index((run["name"], run["workers"]))),
    }
