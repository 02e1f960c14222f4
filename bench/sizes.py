"""``python -m bench sizes``: what recounts, roll-ups and reports cost while one size grows and the others stand still.

The rows are made by ClickHouse itself and lie in the working hours (08:00 to 16:00) of a year that ends now; on top come a minute
of live events. Every operation is the product's own code against a ClickHouse server. Partitions are varied end to end.
"""

from __future__ import annotations

import datetime as dt
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from rich.console import Console

from bench import figures, results
from bench.comparison import time_run
from bench.contenders.contract import Place
from bench.contenders.portalpulse import PortalPulse
from bench.corpus import Corpus
from bench.measure import Probe, Stack, machine, running_stack
from domain.periods import VIETNAM, civil_day
from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.migrate import migrate
from sinks.clickhouse.reader import ClickHouseReader
from sinks.clickhouse.store import ClickHouseStore
from sinks.clickhouse.target import Target
from sinks.contract.tallies import Days, Span

#: What stands still while another size grows.
BASE = {"agencies": 85, "procedures": 2_000, "rows": 1_000_000}
LIVE_ROWS = 5_000
_TIMES = 5
_STEP = 5_000_000
_YEAR = dt.timedelta(days=365)
#: Preloading is no part of the measurement, but a hundred million rows take a while.
_PRELOAD_SECONDS = 900.0
_INSERT = """
INSERT INTO {db}.dossier_events (agency, occurred_at, event_id, dossier_code, procedure_code, status, channel, service_level,
  legacy_level, returned_by, portal_id, topic, partition, offset)
SELECT concat('A', leftPad(toString(number % {agencies}), 5, '0')), {at},
  generateUUIDv4(), concat('000.00.10.H01-250101-', leftPad(toString(number % 9999), 4, '0')),
  concat('1.', leftPad(toString(rand(1) % {procedures}), 6, '0')), arrayElement([1, 2, 4, 9, 10], 1 + rand(2) % 5),
  1 + rand(3) % 3, 'toan_trinh', 0, '', '', 'sizes', 0, number
FROM numbers({first}, {count})
SETTINGS max_partitions_per_insert_block = 0, optimize_on_insert = 0
"""


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def sizes(
        *,
        agencies: Annotated[list[int], typer.Option(help="Numbers of agencies.")] = [10, 100, 1_000, 10_000],  # noqa: B006
        procedures: Annotated[list[int], typer.Option(help="Numbers of procedures.")] = [100, 10_000, 100_000],  # noqa: B006
        rows: Annotated[list[int], typer.Option(help="Numbers of stored events.")] = [1_000_000, 10_000_000, 100_000_000],  # noqa: B006
        partitions: Annotated[list[int], typer.Option(help="Numbers of Kafka partitions.")] = [1, 4, 16, 64],  # noqa: B006
        events: Annotated[int, typer.Option(help="Messages of each run over partitions.")] = 1_000_000,
    ) -> None:
        """Cost against size: agencies, procedures, stored events, partitions."""
        console = Console()
        found: dict[str, Any] = {"base": BASE | {"live_rows": LIVE_ROWS}, "storage": [], "partitions": []}
        with running_stack() as stack:
            for size, values in (("agencies", agencies), ("procedures", procedures), ("rows", rows)):
                for value in values:
                    found["storage"].append({"varied": size, **_measure_storage(stack, BASE | {size: value}, console)})
                    console.print(found["storage"][-1])
            for number in partitions:
                found["partitions"].append(_measure_partitions(stack, number, events))
                console.print(found["partitions"][-1])
        results.update({"sizes": {"machine": machine(), "taken_at": f"{dt.datetime.now(dt.UTC):%Y-%m-%dT%H:%MZ}", **found}})
        figures.write(console)


@dataclass(frozen=True, slots=True)
class _Operation:
    """One thing to time."""

    name: str
    run: Callable[[], object]


def _measure_storage(stack: Stack, sizes: dict[str, int], console: Console) -> dict[str, Any]:
    """Median milliseconds of every operation on tables of these sizes."""
    database = "sizes_" + "_".join(str(value) for value in sizes.values())
    clickhouse = ClickHouse(Target.parse(stack.server.url(database), timeout=_PRELOAD_SECONDS))
    try:
        migrate(clickhouse)
        store, reader = ClickHouseStore(clickhouse), ClickHouseReader(clickhouse)
        now = dt.datetime.now(dt.UTC).replace(second=0, microsecond=0)
        with console.status(f"preloading {sizes['rows']:,} rows"):
            _preload(stack, database, store, sizes, now)
        minute = Span(now - dt.timedelta(minutes=1), now, None)
        day = Days((civil_day(minute.start),), None)
        today = civil_day(now)
        operations = (
            _Operation("recount_minute", lambda: store.recount_minutes(minute)),
            _Operation("roll_up_day", lambda: store.roll_up_days(day)),
            _Operation("recount_procedures_of_day", lambda: store.recount_procedures(day)),
            _Operation("read_hour", lambda: reader.counts_between(now - dt.timedelta(hours=1), now)),
            _Operation("report_of_day", lambda: reader.counts_of_days(today, today)),
            _Operation("report_of_year", lambda: reader.counts_of_days(today - _YEAR, today)),
            _Operation("last_events", lambda: reader.last_events(now)),
        )
        return {**sizes, "milliseconds": {operation.name: _median(operation.run) for operation in operations}}
    finally:
        clickhouse.close()
        stack.drop_database(database)


def _preload(stack: Stack, database: str, store: ClickHouseStore, sizes: dict[str, int], now: dt.datetime) -> None:
    """Events of a year and of the last minute, with all their tallies."""
    midnight = dt.datetime.combine(now.astimezone(VIETNAM).date() - _YEAR, dt.time(), VIETNAM).astimezone(dt.UTC)
    year = (
        f"toDateTime64('{midnight:%Y-%m-%d %H:%M:%S}', 3, 'UTC') + toIntervalDay(rand64(4) % 365)"
        " + toIntervalMillisecond(28800000 + rand64(5) % 28800000)"
    )
    lately = (
        f"toDateTime64('{now - dt.timedelta(minutes=1):%Y-%m-%d %H:%M:%S}', 3, 'UTC') + toIntervalMillisecond(rand64(4) % 60000)"
    )
    for first in range(0, sizes["rows"], _STEP):
        count = min(_STEP, sizes["rows"] - first)
        stack.server.query(_INSERT.format(db=database, at=year, first=first, count=count, **_of(sizes)), timeout=_PRELOAD_SECONDS)
    stack.server.query(_INSERT.format(db=database, at=lately, first=0, count=LIVE_ROWS, **_of(sizes)), timeout=_PRELOAD_SECONDS)
    for start in range(0, 366, 30):
        days = tuple(civil_day(midnight + dt.timedelta(days=number, hours=1)) for number in range(start, min(start + 30, 366)))
        begin = midnight + dt.timedelta(days=start)
        store.recount_minutes(Span(begin, begin + dt.timedelta(days=len(days)), None))
        store.roll_up_days(Days(days, None))
        store.recount_procedures(Days(days, None))


def _of(sizes: dict[str, int]) -> dict[str, int]:
    return {"agencies": sizes["agencies"], "procedures": sizes["procedures"]}


def _median(run: Callable[[], object]) -> float:
    run()
    times = []
    for _ in range(_TIMES):
        began = time.perf_counter()
        run()
        times.append(time.perf_counter() - began)
    return round(statistics.median(times) * 1000, 1)


def _measure_partitions(stack: Stack, partitions: int, events: int) -> dict[str, Any]:
    """Events a second of one worker."""
    topic = f"sizes.partitions.{partitions}"
    corpus = Corpus(events, 10, dt.datetime.now(dt.UTC).replace(second=0, microsecond=0))
    filled = stack.fill_topic(topic, corpus, partitions=partitions)
    place = Place(stack=stack, topic=topic, group=f"sizes-{partitions}", database=f"sizes_partitions_{partitions}")
    contender, probe = PortalPulse(place, workers=1), Probe(stack.server)
    try:
        contender.prepare()
        timing = time_run(contender, filled, probe, deadline=240)
        exact = probe.buckets(contender.tallies) == filled.buckets
        return {"partitions": partitions, "events": events, "events_per_second": round(timing.rate), "exact": exact}
    finally:
        contender.stop()
        probe.close()
        stack.drop_database(place.database)
