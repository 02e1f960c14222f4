"""``python -m bench report``: how long reports take over a year of messages, asked of an exporter over HTTP.

ClickHouse generates the dossiers, and the product's own code counts them. Every report is asked for several times, in turns, and
each answer is the whole way: Kafka is asked what is counted, the storage for the figures, and the JSON has every unit. Once the
storage has the table of dossiers, a worker fills it, and reports with all groups of figures are timed, too.
"""

from __future__ import annotations

import datetime as dt
import statistics
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any, Final

import httpx
import typer
from rich.console import Console

from bench import figures, results
from bench.measure import Stack, machine, running_stack, worker, worker_settings
from bench.preload import TIMEOUT_SECONDS
from bench.probe import Probe, wait_for
from deploy.native.services.portalpulse_process import PortalPulseProcess
from domain.agencies import AgencyRegistry
from domain.errors import UnavailableError
from domain.periods import Period
from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.dossier_sql import FACTS
from sinks.clickhouse.migrate import migrate
from sinks.clickhouse.store import ClickHouseStore
from sinks.clickhouse.target import Target
from sinks.contract.tallies import Days, Span

YEAR: Final = 2024
_DATABASE, _TOPIC = "reports", "bench.reports"
#: Messages of one dossier: its statuses, and the days after its first at which they lie.
_STATUSES, _AFTER = (1, 2, 4, 4, 9, 10), (0, 0, 1, 3, 6, 7)
_STEP: Final = 3_000_000
_PROCEDURES: Final = 2_000
#: Days whose tallies are counted at once.
_DAYS_AT_ONCE: Final = 7
#: Dossiers that begin on the days of the year up to the last from which every message lies in it.
_INSERT: Final = """
INSERT INTO {database}.dossier_messages (agency, occurred_at, event_id, dossier_code, procedure_code, status, channel,
  service_level, due_at, named_by_code, topic, offset)
SELECT arrayElement({codes}, 1 + dossier % {agencies}) AS unit,
  toDateTime64('{begin}', 3, 'UTC') + toIntervalDay(intDiv(dossier, {agencies}) % {days} + {after}[number % 6 + 1])
    + toIntervalMillisecond(number % 6 * 3600000 + rand(1) % 3600000),
  generateUUIDv4(),
  concat(unit, '-', formatDateTime(toDate('{begin_day}') + toIntervalDay(intDiv(dossier, {agencies}) % {days}), '%y%m%d'), '-',
    leftPad(toString(intDiv(dossier, {agencies} * {days})), 7, '0')),
  concat('1.', leftPad(toString(cityHash64(dossier) % {procedures}), 6, '0')),
  {statuses}[number % 6 + 1] AS s, if(cityHash64(dossier, 1) % 3 = 0, 1, 2),
  if(cityHash64(dossier, 2) % 2 = 0, 'toan_trinh', 'mot_phan'),
  if(s = 1, toDateTime64(0, 3, 'UTC'), toDateTime64('{begin}', 3, 'UTC')
    + toIntervalDay(intDiv(dossier, {agencies}) % {days} + cityHash64(dossier, 3) % 12)), true, '{topic}', number
FROM (SELECT number, intDiv(number, 6) AS dossier FROM numbers({first}, {count}))
SETTINGS max_partitions_per_insert_block = 0, optimize_on_insert = 0
"""
#: What the keeper of the table of dossiers reads.
_INDEX: Final = (
    "INSERT INTO {database}.dossier_index (dossier_code, occurred_at, event_id, agency, procedure_code, due_at, facts, flags) "
    f"SELECT dossier_code, occurred_at, event_id, agency, procedure_code, due_at, {FACTS}, 3 FROM {{database}}.dossier_messages"
)
_NOTE: Final = (
    "INSERT INTO {database}.dossier_changes (dossier_code) SELECT DISTINCT dossier_code FROM {database}.dossier_messages"
)
_UNJUDGED: Final = (
    "SELECT uniqExact(dossier) FROM {database}.dossier_changes WHERE dossier NOT IN (SELECT dossier FROM {database}.dossiers)"
)
_KEPT_SECONDS: Final = 3_600.0
_LATER_UNITS: Final = "2026-01-01"
#: Reports from the roll-ups, by their name in the page.
ROLL_UPS: Final[Mapping[str, Mapping[str, str]]] = {
    "a day": {"day": f"{YEAR}-08-20"},
    "a month": {"month": f"{YEAR}-08"},
    "a quarter, compared": {"quarter": f"{YEAR}-Q3", "compare": "previous"},
    "the year": {"year": str(YEAR)},
    "the year, compared": {"year": str(YEAR), "compare": "last-year"},
    "the year, by later units": {"year": str(YEAR), "units": _LATER_UNITS},
}
#: Reports that need whole dossiers.
WHOLE_DOSSIERS: Final[Mapping[str, Mapping[str, str]]] = {
    "a month, every figure": {"month": f"{YEAR}-08", "figures": "all"},
    "the year, every figure": {"year": str(YEAR), "figures": "all"},
}


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def report(
        *,
        events: Annotated[int, typer.Option(min=6, help="Messages of the year.")] = 10_000_000,
        runs: Annotated[int, typer.Option(min=1, help="Times that each report is asked for.")] = 11,
    ) -> None:
        """Time reports over a year of messages: from the roll-ups, and with whole dossiers where their table exists."""
        console = Console()
        with running_stack() as stack:
            stack.kafka.create_topic(_TOPIC, partitions=4)
            _fill(stack, events - events % 6, console)
            asked = dict(ROLL_UPS)
            if _keep_dossiers(stack, console):
                asked |= WHOLE_DOSSIERS
            with _exporter(stack) as client:
                _require_all(client, events - events % 6)
                times = _timed(client, asked, runs, console)
        found = {"events": events - events % 6, "runs": runs, "reports": times}
        results.update({"report": {"machine": machine(), "taken_at": f"{dt.datetime.now(dt.UTC):%Y-%m-%dT%H:%MZ}", **found}})
        figures.write(console)


def _fill(stack: Stack, events: int, console: Console) -> None:
    """Dossiers of a year, and their tallies."""
    tables = ClickHouse(Target.parse(stack.server.url(_DATABASE), timeout=TIMEOUT_SECONDS))
    first, last = dt.date(YEAR, 1, 1), dt.date(YEAR, 12, 31)
    begin, _ = Period(first, last).instants()
    codes = [agency.code for agency in AgencyRegistry.packaged().expected(last)]
    days = (last - first).days + 1 - max(_AFTER)
    try:
        migrate(tables)
        for start in range(0, events, _STEP):
            statement = _INSERT.format(
                database=_DATABASE, codes=codes, agencies=len(codes), days=days, begin=f"{begin:%Y-%m-%d %H:%M:%S}",
                begin_day=first, after=list(_AFTER), statuses=list(_STATUSES), procedures=_PROCEDURES, topic=_TOPIC,
                first=start, count=min(_STEP, events - start),
            )  # fmt: skip
            stack.server.query(statement, timeout=TIMEOUT_SECONDS)
            console.print(f"  inserted {min(start + _STEP, events):,}", highlight=False)
        began = time.perf_counter()
        _count(ClickHouseStore(tables), first, last)
        console.print(f"  counted in {time.perf_counter() - began:,.0f} s", highlight=False)
    finally:
        tables.close()


def _count(store: ClickHouseStore, first: dt.date, last: dt.date) -> None:
    """Count every tally, as a worker does."""
    whole = [first + dt.timedelta(days=number) for number in range((last - first).days + 1)]
    for number in range(0, len(whole), _DAYS_AT_ONCE):
        some = tuple(whole[number : number + _DAYS_AT_ONCE])
        store.recount_minutes(Span(*Period(some[0], some[-1]).instants()))
        store.roll_up_days(Days(some))
        store.recount_procedures(Days(some))


def _keep_dossiers(stack: Stack, console: Console) -> bool:
    """Let a worker judge every dossier, where the storage has a table for them; whether it has."""
    probe = Probe(stack.server)
    try:
        if not sum(probe.numbers(f"EXISTS TABLE {_DATABASE}.dossiers")):
            return False
        for statement in (_INDEX, _NOTE):
            stack.server.query(statement.format(database=_DATABASE), timeout=TIMEOUT_SECONDS)
        child = worker(stack, worker_settings(stack, topic=_TOPIC, group=_DATABASE, database=_DATABASE)).process
        began = time.perf_counter()
        try:
            child.start()
            wait_for(
                lambda: sum(probe.numbers(_UNJUDGED.format(database=_DATABASE))) == 0,
                timeout=_KEPT_SECONDS,
                what="every dossier to be judged",
                children=[child],
                poll=2.0,
            )
        finally:
            child.stop()
        console.print(f"  judged in {time.perf_counter() - began:,.0f} s", highlight=False)
        return True
    finally:
        probe.close()


@contextmanager
def _exporter(stack: Stack) -> Iterator[httpx.Client]:
    """A client of an exporter over the tables.

    Raises:
        UnavailableError: the exporter does not start.
    """
    settings = worker_settings(stack, topic=_TOPIC, group=_DATABASE, database=_DATABASE)
    # Nothing else works meanwhile: an audit of a year would take its turns.
    quiet = {"PORTALPULSE_AUDIT__INTERVAL_SECONDS": "0", "PORTALPULSE_FINDINGS__INTERVAL_SECONDS": "0"}
    exporter = PortalPulseProcess("exporter", environment=worker(stack, settings | quiet).environment, log_dir=stack.logs)
    try:
        exporter.launch()
        exporter.await_ready()
        with httpx.Client(base_url=exporter.url, timeout=TIMEOUT_SECONDS, trust_env=False) as client:
            yield client
    finally:
        exporter.process.stop()


def _ask(client: httpx.Client, parameters: Mapping[str, str]) -> dict[str, Any]:
    """One report.

    Raises:
        UnavailableError: it is refused, or not final.
    """
    answer = client.get("/api/v1/report", params=dict(parameters))
    found: dict[str, Any] = answer.json()
    if answer.status_code != httpx.codes.OK or not found["completeness"]["final"]:
        raise UnavailableError(f"The report {dict(parameters)} is not the one to be timed: {answer.text[:300]}")
    return found


def _require_all(client: httpx.Client, events: int) -> None:
    """Check that the report of the year holds every message and dossier.

    Raises:
        UnavailableError: it does not.
    """
    nation = _ask(client, ROLL_UPS["the year"])["rows"][-1]["counts"]
    if (nation["events"], nation["submitted"], nation["settled"]) != (events, events // 6, events // 6):
        raise UnavailableError(f"The report of the year has other figures than {events:,} messages give: {nation}")


def _timed(
    client: httpx.Client, asked: Mapping[str, Mapping[str, str]], runs: int, console: Console
) -> dict[str, dict[str, float]]:
    """Milliseconds of each report: median, least and most of several, asked for in turns."""
    seconds: dict[str, list[float]] = {name: [] for name in asked}
    for _ in range(runs):
        for name, parameters in asked.items():
            began = time.perf_counter()
            _ask(client, parameters)
            seconds[name].append(time.perf_counter() - began)
    found = {
        name: {
            "median_ms": round(1000 * statistics.median(times), 1),
            "least_ms": round(1000 * min(times), 1),
            "most_ms": round(1000 * max(times), 1),
        }
        for name, times in seconds.items()
    }
    for name, each in found.items():
        console.print(f"{name}: {each}", highlight=False)
    return found
