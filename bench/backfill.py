"""``python -m bench backfill``: events in random order over a year, compared with the same number in time order.

With ``--onto`` the tables already hold that many rows of the same year, and live events continue at 1,000 a second during the
backfill, so that their freshness is measured too.
"""

from __future__ import annotations

import datetime as dt
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from rich.console import Console

from bench import figures, results
from bench.corpus import Corpus
from bench.measure import Stack, machine, paced_sender, running, running_stack, worker, worker_settings
from bench.preload import preload
from bench.probe import Probe, wait_for
from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.migrate import migrate
from sinks.clickhouse.target import Target

TOPIC = "dvc.dossier-events.v1"
YEAR_MINUTES = 365 * 24 * 60
#: What preloaded rows have in the column ``topic``.
_PRELOADED = "preloaded"


@dataclass(frozen=True, slots=True)
class Shuffled:
    """A corpus in random order."""

    corpus: Corpus

    @property
    def events(self) -> int:
        """Number of messages."""
        return self.corpus.events

    def messages(self) -> Iterator[tuple[str, int, str, bytes]]:
        """The messages of the corpus, shuffled by its seed."""
        messages = list(self.corpus.messages())
        random.Random(self.corpus.seed).shuffle(messages)
        yield from messages


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def backfill(
        *,
        events: Annotated[int, typer.Option(help="Messages of each kind.")] = 1_000_000,
        runs: Annotated[int, typer.Option(help="Runs of each kind, in turns.")] = 3,
        onto: Annotated[int, typer.Option(help="Rows that the tables hold before the backfill.")] = 0,
    ) -> None:
        """Compare a backfill over a year with the same number of events in order."""
        console = Console()
        until = dt.datetime.now(dt.UTC).replace(second=0, microsecond=0) - dt.timedelta(minutes=30)
        kinds: dict[str, Corpus | Shuffled] = {
            "in_order": Corpus(events, 10, until),
            "scattered": Shuffled(Corpus(events, YEAR_MINUTES, until, seed=2)),
        }
        found: dict[str, Any] = {"events": events, "onto": onto, "in_order": [], "scattered": []}
        with running_stack(heap="1g") as stack:
            filled = {kind: stack.fill_topic(f"{TOPIC}.{kind}", corpus) for kind, corpus in kinds.items()}
            if onto:
                _measure_onto(stack, f"{TOPIC}.scattered", events=events, onto=onto, until=until, found=found, console=console)
            for number in range(runs if not onto else 0):
                for kind in kinds:
                    rate, exact = _measure(stack, f"{TOPIC}.{kind}", f"{kind}_{number}", filled[kind])
                    found[kind].append(round(rate))
                    console.print(f"{kind:10} {rate:>10,.0f} events/s  exact {exact}")
                    if not exact:
                        raise typer.Exit(1)
        console.print(found)
        results.update({f"backfill_onto_{onto}" if onto else "backfill": {"machine": machine(), **found}})
        figures.write(console)


def _measure(stack: Stack, topic: str, database: str, filled: Any) -> tuple[float, bool]:
    """Events a second until minutes and days are tallied, and whether every tally is right."""
    child = worker(stack, worker_settings(stack, topic=topic, group=database, database=database)).process
    probe = Probe(stack.server)
    try:
        child.start()
        stored = f"SELECT count() FROM {database}.dossier_messages"
        wait_for(lambda: sum(probe.numbers(stored)) > 0, timeout=120, what="the first event", children=[child])
        first, seen = time.monotonic(), sum(probe.numbers(stored))
        counted = (
            f"SELECT (SELECT sum(events) FROM {database}.agency_minute FINAL), "
            f"(SELECT sum(events) FROM {database}.agency_day FINAL)"
        )
        wait_for(
            lambda: probe.numbers(counted) == [filled.events] * 2, timeout=600, what="the tallies", children=[child], poll=0.1
        )
        rate = (filled.events - seen) / (time.monotonic() - first)
        tallies = probe.buckets(f"SELECT agency, toUnixTimestamp(minute), events FROM {database}.agency_minute FINAL")
        return rate, tallies == filled.buckets
    finally:
        child.stop()
        stack.drop_database(database)


def _measure_onto(
    stack: Stack, topic: str, *, events: int, onto: int, until: dt.datetime, found: dict[str, Any], console: Console
) -> None:
    """Backfill onto full tables while live events continue; records rate, live freshness and exactness."""
    database = "onto"
    settings = worker_settings(stack, topic=topic, group=database, database=database)
    probe = Probe(stack.server)
    child = worker(stack, settings).process
    tables = ClickHouse(Target.parse(stack.server.url(database), timeout=60.0))
    try:
        migrate(tables)
    finally:
        tables.close()
    codes = [f"H{number:02d}" for number in (1, 5, 12, 13, 14, 17, 19, 20, 21, 24, 26, 29)]
    end = f"toDateTime64('{until:%Y-%m-%d %H:%M:%S}', 3, 'UTC')"
    preload(
        stack.server,
        database,
        rows=onto,
        agency=f"arrayElement({codes}, 1 + number % {len(codes)})",
        occurred_at=f"{end} - toIntervalMillisecond(rand64(1) % {YEAR_MINUTES * 60_000})",
        procedure="number % 300",
        topic=_PRELOADED,
        on_step=lambda rows: console.print(f"  preloaded {rows:,}"),
    )
    live = paced_sender(
        bootstrap=stack.kafka.bootstrap, topic=topic, rate=1_000, seconds=3_600, notes=stack.folder / f"{database}.txt"
    )
    with live, running(child):
        stored = f"SELECT count() FROM {database}.dossier_messages WHERE topic != '{_PRELOADED}'"
        wait_for(lambda: sum(probe.numbers(stored)) > 0, timeout=120, what="the first event", children=[child])
        began, seen = time.monotonic(), sum(probe.numbers(stored))
        fresh: list[float] = []
        behind = (
            f"SELECT toUnixTimestamp64Milli(now64(3)) - toUnixTimestamp64Milli(max(last_event_at)) FROM {database}.agency_minute"
        )
        backfilled = f"SELECT count() FROM {database}.dossier_messages WHERE topic != '{_PRELOADED}' AND occurred_at < {end}"

        def sample() -> bool:
            fresh.extend(number / 1000 for number in probe.numbers(behind))
            return sum(probe.numbers(backfilled)) >= events

        wait_for(sample, timeout=1_800, what="the backfill to be stored", children=[child], poll=0.25)
        found["stored_events_per_second"] = round((events - seen) / (time.monotonic() - began))
        drift = (
            f"SELECT count() FROM (SELECT agency, toStartOfMinute(occurred_at) AS minute, count() AS events "
            f"FROM {database}.dossier_messages FINAL WHERE (agency, toStartOfMinute(occurred_at)) IN "
            f"(SELECT agency, toStartOfMinute(occurred_at) FROM {database}.dossier_messages WHERE topic != '{_PRELOADED}' "
            f"AND occurred_at < {end}) GROUP BY agency, minute "
            "SETTINGS do_not_merge_across_partitions_select_final = 1) AS truth LEFT JOIN "
            f"(SELECT agency, minute, events FROM {database}.agency_minute FINAL) AS tally USING (agency, minute) "
            "WHERE truth.events != tally.events"
        )

        def no_drift() -> bool:
            sample()
            return probe.rows(drift) == [["0"]]

        wait_for(no_drift, timeout=1_800, what="no drift", children=[child], poll=1.0)
        found["tallied_seconds"] = round(time.monotonic() - began, 1)
        fresh.sort()
        found["live_age_p50_s"] = round(fresh[len(fresh) // 2], 2)
        found["live_age_p99_s"] = round(fresh[int(len(fresh) * 0.99)], 2)
        found["drifting_minutes"] = 0
