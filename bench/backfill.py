"""``python -m bench backfill``: events in random order over a year, against the same number in the order of time.

With ``--onto`` the tables already hold that many rows over the same year, and live events go on at 1,000 a second beside the
backfill, so that their freshness is seen too.
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
from bench.measure import Probe, Stack, machine, paced_sender, running, running_stack, wait_for, worker, worker_settings

TOPIC = "dvc.dossier-events.v1"
YEAR_MINUTES = 365 * 24 * 60
#: Rows of the preloaded tables are made by ClickHouse itself, this many in one statement.
_STEP = 5_000_000
_PRELOAD = """
INSERT INTO {db}.dossier_events (agency, occurred_at, event_id, dossier_code, procedure_code, status, channel, service_level,
  legacy_level, returned_by, portal_id, topic, partition, offset)
SELECT arrayElement({codes}, 1 + number % {agencies}),
  toDateTime64({end}, 3, 'UTC') - toIntervalMillisecond(rand64(1) % {span}),
  generateUUIDv4(), concat('000.00.10.H01-250101-', leftPad(toString(number % 9999), 4, '0')),
  concat('1.', leftPad(toString(number % 300), 6, '0')), arrayElement([1, 2, 4, 9, 10], 1 + rand(2) % 5), 1 + rand(3) % 3,
  'toan_trinh', 0, '', '', 'preloaded', 0, number
FROM numbers({first}, {count})
SETTINGS max_partitions_per_insert_block = 0, optimize_on_insert = 0
"""


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
        every = list(self.corpus.messages())
        random.Random(self.corpus.seed).shuffle(every)
        yield from every


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def backfill(
        *,
        events: Annotated[int, typer.Option(help="Messages of each kind.")] = 1_000_000,
        runs: Annotated[int, typer.Option(help="Runs of each kind, taking turns.")] = 3,
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
    child = worker(stack, worker_settings(stack, topic=topic, group=database, database=database))
    probe = Probe(stack.server)
    try:
        child.start()
        stored = f"SELECT count() FROM {database}.dossier_events"
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
    """Backfill onto full tables while live events go on; notes rate, live freshness and exactness by month."""
    database = "onto"
    settings = worker_settings(stack, topic=topic, group=database, database=database)
    probe = Probe(stack.server)
    child = worker(stack, settings)
    # The tables: let a worker on an empty topic make them, then fill them by SQL.
    stack.kafka.create_topic(f"{TOPIC}.empty", partitions=1)
    first = worker(stack, settings | {"PORTALPULSE_KAFKA__TOPIC": f"{TOPIC}.empty"}, name="migrating")
    with running(first):
        wait_for(
            lambda: sum(probe.numbers(f"SELECT count() FROM {database}.schema_migrations")) >= 5,
            timeout=120,
            what="the tables",
            children=[first],
        )
    codes = [f"H{number:02d}" for number in (1, 5, 12, 13, 14, 17, 19, 20, 21, 24, 26, 29)]
    for start in range(0, onto, _STEP):
        stack.server.query(
            _PRELOAD.format(
                db=database,
                codes=codes,
                agencies=len(codes),
                end=f"'{until:%Y-%m-%d %H:%M:%S}'",
                span=YEAR_MINUTES * 60_000,
                first=start,
                count=min(_STEP, onto - start),
            ),
            timeout=600,
        )
        console.print(f"  preloaded {min(start + _STEP, onto):,}")
    live = paced_sender(
        bootstrap=stack.kafka.bootstrap, topic=topic, rate=1_000, seconds=3_600, notes=stack.folder / f"{database}.txt"
    )
    with live, running(child):
        stored = f"SELECT count() FROM {database}.dossier_events WHERE topic != 'preloaded'"
        wait_for(lambda: sum(probe.numbers(stored)) > 0, timeout=120, what="the first event", children=[child])
        began, seen = time.monotonic(), sum(probe.numbers(stored))
        fresh: list[float] = []
        behind = (
            f"SELECT toUnixTimestamp64Milli(now64(3)) - toUnixTimestamp64Milli(max(last_event_at)) FROM {database}.agency_minute"
        )
        backfilled = (
            f"SELECT count() FROM {database}.dossier_events WHERE topic != 'preloaded' AND occurred_at < "
            f"toDateTime64('{until:%Y-%m-%d %H:%M:%S}', 3, 'UTC')"
        )

        def look() -> bool:
            fresh.extend(number / 1000 for number in probe.numbers(behind))
            return sum(probe.numbers(backfilled)) >= events

        wait_for(look, timeout=1_800, what="the backfill to be stored", children=[child], poll=0.25)
        found["stored_events_per_second"] = round((events - seen) / (time.monotonic() - began))
        drift = (
            f"SELECT count() FROM (SELECT agency, toStartOfMinute(occurred_at) AS minute, count() AS events "
            f"FROM {database}.dossier_events FINAL WHERE (agency, toStartOfMinute(occurred_at)) IN "
            f"(SELECT agency, toStartOfMinute(occurred_at) FROM {database}.dossier_events WHERE topic != 'preloaded' "
            f"AND occurred_at < toDateTime64('{until:%Y-%m-%d %H:%M:%S}', 3, 'UTC')) GROUP BY agency, minute "
            "SETTINGS do_not_merge_across_partitions_select_final = 1) AS truth LEFT JOIN "
            f"(SELECT agency, minute, events FROM {database}.agency_minute FINAL) AS tally USING (agency, minute) "
            "WHERE truth.events != tally.events"
        )
        wait_for(
            lambda: (look() or True) and probe.rows(drift) == [["0"]], timeout=1_800, what="no drift", children=[child], poll=1.0
        )
        found["tallied_seconds"] = round(time.monotonic() - began, 1)
        fresh.sort()
        found["live_age_p50_s"] = round(fresh[len(fresh) // 2], 2)
        found["live_age_p99_s"] = round(fresh[int(len(fresh) * 0.99)], 2)
        found["drifting_minutes"] = 0
