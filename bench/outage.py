"""``python -m bench outage``: ClickHouse is unavailable for minutes under load; then the backlog is drained.

The normal rate is that of a new worker that reads the same topic from its beginning in the same run, without an outage. Both
measurements start with the first row that is stored; how long the worker took to notice the recovery is reported separately.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from bench import figures, results
from bench.consumer_group import ConsumerGroup
from bench.corpus import Buckets
from bench.measure import Stack, machine, paced_sender, running, running_stack, usage, worker, worker_settings
from bench.probe import Probe, wait_for
from deploy.native.processes import ChildProcess

TOPIC = "dvc.dossier-events.v1"
#: A backlog must be drained at this share of the normal rate at least.
ENOUGH = 0.8
#: Load before the outage, so that the worker is busy when it starts (seconds).
LEAD_SECONDS = 20
#: Offsets acknowledged before the outage are committed within this time (seconds).
COMMIT_SECONDS = 3
_TIMEOUT = 1_800.0


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def outage(
        *,
        minutes: Annotated[float, typer.Option(help="How long ClickHouse is unavailable.")] = 5.0,
        rate: Annotated[int, typer.Option(help="Messages a second meanwhile.")] = 25_000,
        runs: Annotated[int, typer.Option(help="Times that the same messages are drained without an outage.")] = 2,
    ) -> None:
        """Kill ClickHouse under load, restart it minutes later, and compare the draining with a run without an outage.

        Status 1 when a number is not exact, offsets were committed during the outage, or the draining was too slow.
        """
        console = Console()
        with running_stack() as stack:
            stack.kafka.create_topic(TOPIC, partitions=4)
            found, tallies = _outage(stack, minutes=minutes, rate=rate, console=console)
            normal = []
            for number in range(runs):
                speed, others = _baseline(stack, number, events=found["events"])
                found["exact"] = found["exact"] and others == tallies
                normal.append(round(speed))
                console.print(f"drained without an outage at {speed:,.0f} events/s")
        found["normal_events_per_second"] = normal
        found["share_of_normal"] = round(found["drained_events_per_second"] / max(normal), 3)
        console.print(_table(found))
        results.update({"outage": {"machine": machine(), **found}})
        figures.write(console)
        if not found["exact"] or found["committed_meanwhile"] or found["share_of_normal"] < ENOUGH:
            raise typer.Exit(1)


def _outage(stack: Stack, *, minutes: float, rate: int, console: Console) -> tuple[dict[str, Any], Buckets]:
    """The figures of the outage and the draining, and the tallies at the end."""
    database = "outage"
    settings = worker_settings(stack, topic=TOPIC, group=database, database=database)
    service = worker(stack, settings)
    child = service.process
    probe, offsets = Probe(stack.server), ConsumerGroup(stack.kafka.bootstrap, group=database, topic=TOPIC)
    seconds = LEAD_SECONDS + minutes * 60
    notes = stack.folder / "outage.txt"
    sending = paced_sender(bootstrap=stack.kafka.bootstrap, topic=TOPIC, rate=rate, seconds=seconds, notes=notes)
    with ExitStack() as cleanup:
        cleanup.callback(_drop, stack, database)
        cleanup.enter_context(running(child))
        wait_for(lambda: service.readiness()[0], timeout=90, what="the worker", children=[child], poll=0.2)
        began = time.monotonic()
        sender = cleanup.enter_context(sending)
        time.sleep(LEAD_SECONDS)
        memory_before = usage([child]).memory_bytes
        stack.server.kill()
        console.print(f"ClickHouse was killed; {minutes:g} minutes of load follow")
        time.sleep(COMMIT_SECONDS)
        committed, memory, reason = offsets.committed(), 0, ""
        while time.monotonic() < began + seconds:
            child.check()
            memory = max(memory, usage([child]).memory_bytes)
            reason = service.readiness()[1] or reason
            time.sleep(1.0)
        if sender.wait(timeout=120):
            raise typer.Exit(1)
        events = int(notes.read_bytes().split()[-1])
        meanwhile = sum(offsets.committed().values()) - sum(committed.values())
        backlog = offsets.lag()
        outage_seconds = time.monotonic() - began - LEAD_SECONDS
        stack.server.start()
        restarted = time.monotonic()
        rows = sum(probe.numbers(f"SELECT count() FROM {database}.dossier_messages"))
        wait_for(
            lambda: sum(probe.numbers(f"SELECT count() FROM {database}.dossier_messages")) > rows,
            timeout=120,
            what="the first row after the outage",
            children=[child],
        )
        first, seen = time.monotonic(), sum(probe.numbers(f"SELECT count() FROM {database}.dossier_messages FINAL"))
        _await_tallied(probe, database, events, child)
        drained = time.monotonic() - first
        tallies = _tallies(probe, database)
        return {
            "minutes": round(outage_seconds / 60, 2),
            "rate": rate,
            "events": events,
            "backlog": backlog,
            "committed_meanwhile": meanwhile,
            "said": reason,
            "memory_mb_before": round(memory_before / 1e6),
            "memory_mb_most": round(memory / 1e6),
            "resumed_after_seconds": round(first - restarted, 2),
            "drained_seconds": round(drained, 1),
            "drained_events_per_second": round((events - seen) / drained),
            "exact": sum(tallies.values()) == events,
        }, tallies


def _drop(stack: Stack, database: str) -> None:
    """Drop the database, unless the outage was interrupted and the server does not run."""
    if stack.server.process.running:
        stack.drop_database(database)


def _baseline(stack: Stack, number: int, *, events: int) -> tuple[float, Buckets]:
    """Events a second of a new worker over the whole topic, and its tallies."""
    database = f"normal_{number}"
    child = worker(stack, worker_settings(stack, topic=TOPIC, group=database, database=database), name=database).process
    probe = Probe(stack.server)
    try:
        child.start()
        stored = f"SELECT count() FROM {database}.dossier_messages"
        wait_for(lambda: sum(probe.numbers(stored)) > 0, timeout=120, what="the first row", children=[child])
        first, seen = time.monotonic(), sum(probe.numbers(stored))
        _await_tallied(probe, database, events, child)
        return (events - seen) / (time.monotonic() - first), _tallies(probe, database)
    finally:
        child.stop()
        stack.drop_database(database)


def _await_tallied(probe: Probe, database: str, events: int, child: ChildProcess) -> None:
    counted = (
        f"SELECT (SELECT sum(events) FROM {database}.agency_minute FINAL), (SELECT sum(events) FROM {database}.agency_day FINAL)"
    )
    wait_for(lambda: probe.numbers(counted) == [events] * 2, timeout=_TIMEOUT, what="every tally", children=[child], poll=0.1)


def _tallies(probe: Probe, database: str) -> Buckets:
    return probe.buckets(f"SELECT agency, toUnixTimestamp(minute), events FROM {database}.agency_minute FINAL")


def _table(found: dict[str, Any]) -> Table:
    """The figures as a table."""
    shown = Table(
        title=f"ClickHouse unavailable for {found['minutes']:g} minutes at {found['rate']:,} messages a second", show_header=False
    )
    for line in (
        ("sent", f"{found['events']:,}"),
        ("waiting in Kafka at the end of it", f"{found['backlog']:,}"),
        ("committed meanwhile", f"{found['committed_meanwhile']:,}"),
        ("reason of /readyz", found["said"]),
        ("memory of the worker before, at most", f"{found['memory_mb_before']} MB, {found['memory_mb_most']} MB"),
        ("first row after the restart", f"{found['resumed_after_seconds']:g} s"),
        ("drained", f"in {found['drained_seconds']:g} s, {found['drained_events_per_second']:,} events/s"),
        ("without an outage", ", ".join(f"{speed:,} events/s" for speed in found["normal_events_per_second"])),
        ("share of the faster of these", f"{found['share_of_normal']:.0%} (at least {ENOUGH:.0%})"),
        ("every tally exact", "yes" if found["exact"] else "no"),
    ):
        shown.add_row(*line)
    return shown
