"""``python -m bench sizes``: what recounts, roll-ups and reports cost while one size grows and the others are constant.

ClickHouse generates the rows in the working hours (08:00 to 16:00) of a year that ends now, plus one minute of live events. Every
operation is the product's own code against a ClickHouse server. Partitions are varied end to end.
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
from bench.contenders.contract import RunContext
from bench.contenders.portalpulse import PortalPulse
from bench.corpus import Corpus
from bench.measure import Stack, machine, running_stack
from bench.preload import TIMEOUT_SECONDS, preload
from bench.probe import Probe
from domain.periods import VIETNAM, civil_day
from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.migrate import migrate
from sinks.clickhouse.reader import ClickHouseReader
from sinks.clickhouse.store import ClickHouseStore
from sinks.clickhouse.target import Target
from sinks.contract.tallies import Days, Span

#: The constant sizes while another one grows.
BASE = {"agencies": 85, "procedures": 2_000, "rows": 1_000_000}
LIVE_ROWS = 5_000
_TIMES = 5
_YEAR = dt.timedelta(days=365)


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
    clickhouse = ClickHouse(Target.parse(stack.server.url(database), timeout=TIMEOUT_SECONDS))
    try:
        migrate(clickhouse)
        store, reader = ClickHouseStore(clickhouse), ClickHouseReader(clickhouse)
        now = dt.datetime.now(dt.UTC).replace(second=0, microsecond=0)
        with console.status(f"preloading {sizes['rows']:,} rows"):
            preload_year(stack, database, store, sizes, now)
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


def preload_year(
    stack: Stack,
    database: str,
    store: ClickHouseStore,
    sizes: dict[str, int],
    now: dt.datetime,
    *,
    code: str = "concat('A', leftPad(toString({number}), 5, '0'))",
) -> None:
    """Events of a year and of the last minute, with all their tallies. ``code``: of the agency ``{number}``, in SQL."""
    midnight = dt.datetime.combine(now.astimezone(VIETNAM).date() - _YEAR, dt.time(), VIETNAM).astimezone(dt.UTC)
    year = (
        f"toDateTime64('{midnight:%Y-%m-%d %H:%M:%S}', 3, 'UTC') + toIntervalDay(rand64(4) % 365)"
        " + toIntervalMillisecond(28800000 + rand64(5) % 28800000)"
    )
    last_minute = (
        f"toDateTime64('{now - dt.timedelta(minutes=1):%Y-%m-%d %H:%M:%S}', 3, 'UTC') + toIntervalMillisecond(rand64(4) % 60000)"
    )
    for rows, occurred_at in ((sizes["rows"], year), (LIVE_ROWS, last_minute)):
        preload(
            stack.server,
            database,
            rows=rows,
            agency=code.format(number=f"number % {sizes['agencies']}"),
            occurred_at=occurred_at,
            procedure=f"rand(1) % {sizes['procedures']}",
            topic="sizes",
        )
    for start in range(0, 366, 30):
        days = tuple(civil_day(midnight + dt.timedelta(days=number, hours=1)) for number in range(start, min(start + 30, 366)))
        begin = midnight + dt.timedelta(days=start)
        store.recount_minutes(Span(begin, begin + dt.timedelta(days=len(days)), None))
        store.roll_up_days(Days(days, None))
        store.recount_procedures(Days(days, None))


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
    context = RunContext(stack=stack, topic=topic, group=f"sizes-{partitions}", database=f"sizes_partitions_{partitions}")
    contender, probe = PortalPulse(context, workers=1), Probe(stack.server)
    try:
        contender.prepare()
        timing = time_run(contender, filled, probe, deadline=240)
        exact = probe.buckets(contender.tallies) == filled.buckets
        return {"partitions": partitions, "events": events, "events_per_second": round(timing.rate), "exact": exact}
    finally:
        contender.stop()
        probe.close()
        stack.drop_database(context.database)
