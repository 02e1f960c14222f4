"""``python -m bench february``: February 2025 as portals really send it; every figure is compared with what they know to be true.

86 agencies, each fault in 5 % of the dossiers, the successors of March send the month again, all of it in any order through Kafka
and two workers into a ClickHouse server. ``make test`` does the same with fewer events.
"""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Final

import httpx
import typer
from rich.console import Console

from bench.consumer_group import ConsumerGroup
from bench.environment import child_environment
from bench.measure import PARTITIONS, Stack, running_stack, worker, worker_settings
from deploy.native.services.clickhouse_server import ClickHouseServer
from deploy.native.services.portalpulse_process import PortalPulseProcess
from domain.agencies import AgencyRegistry
from domain.errors import UnavailableError
from domain.indicators import INDICATORS
from domain.periods import FIRST_DAY, LAST_DAY
from producers.portals.dossier_faults import FaultShares
from producers.portals.ledger import FINDINGS
from producers.portals.produce import produce, scenario_messages, stream_of, to_broker
from producers.portals.simulate import ScenarioStream
from producers.portals.tier_truth import (
    TALLIED,
    TIERS,
    Tables,
    TierCounts,
    add_scenario,
    figure_differences,
    read_table,
    table_sql,
)
from producers.portals.truth import Place, Truth
from producers.portals.truth_comparison import finding_differences, report_differences, shortened
from producers.sending.progress import NullProgress
from producers.sending.worker_processes import Broker

SCENARIO: Final = "feb-2025"
_TOPIC: Final = "dvc.dossier-events.v1"
_DATABASE: Final = "february"
#: Figures that are still wrong when nothing is left to read and nothing has changed for this long are wrong (seconds).
_STABLE_SECONDS: Final = 30.0
_POLL_SECONDS: Final = 1.0
#: A search through all findings.
_FINDINGS_SECONDS: Final = 600.0
#: Least events a second, for the time limit.
_LEAST_RATE: Final = 1_000


@dataclass(frozen=True, slots=True)
class Month:
    """A month that was sent: its messages, and what they must count as."""

    messages: ScenarioStream
    truth: Truth
    tables: Tables

    @property
    def sent(self) -> int:
        """Messages, repeats included."""
        return self.messages.total


@dataclass(slots=True)
class Compared:
    """What was compared: name -> number of figures. ``differences`` are sentences; none: every figure is the true one."""

    figures: dict[str, int] = field(default_factory=dict)
    differences: list[str] = field(default_factory=list)

    def add(self, name: str, number: int, differences: Sequence[str]) -> None:
        """Add one kind of figures."""
        self.figures[name] = number
        self.differences += [f"{name}: {difference}" for difference in differences]


def send_month(*, events: int, seed: int, broker: Broker, rate: Callable[[], float] | None = None) -> Month:
    """Send realistic feeds of February 2025, at least ``events`` messages in any order; returns when Kafka has all of them.

    ``rate``: messages a second, asked for before each message; None: as fast as Kafka takes them.

    Raises:
        UnavailableError: Kafka did not take everything.
    """
    shares = FaultShares.realistic()
    messages = scenario_messages(SCENARIO, seed=seed, events=events, shares=shares, shuffled=True)
    stream = replace(stream_of(messages, seed=seed, rate=None), rate=rate)
    report = produce(stream, seed=seed, send=to_broker(broker), progress=NullProgress())
    if not report.complete:
        raise UnavailableError(f"Kafka took {report.result.acknowledged:,} of {report.sent:,} messages: {report.result.problem}")
    counts = TierCounts()
    add_scenario(counts, messages)
    return Month(messages, Truth.of(messages, seed=seed), counts.tables())


def table_differences(month: Month, server: ClickHouseServer, database: str, table: str) -> list[str]:
    """Every figure of a tally that is not the true one.

    Raises:
        UnavailableError: ClickHouse refuses the query.
    """
    found = read_table(table, server.query(table_sql(database, table), timeout=120.0))
    return figure_differences(month.tables[table], found)


def await_truth(
    month: Month,
    server: ClickHouseServer,
    database: str,
    *,
    lag: Callable[[], int],
    timeout: float,
    stable_seconds: float = _STABLE_SECONDS,
) -> float:
    """Wait until every tally is the true one, or until nothing changes any more; returns the seconds it took.

    Args:
        month: what was sent.
        server: where the tallies are.
        database: of them.
        lag: messages that are not acknowledged.
        timeout: longest wait (seconds).
        stable_seconds: how long nothing must change, with a lag of 0, before this gives up.

    Raises:
        UnavailableError: the workers still have messages to read after ``timeout`` seconds.
    """
    began = changed = time.monotonic()
    last = ""
    while True:
        now = time.monotonic()
        answer = "".join(sorted(server.query(table_sql(database, "agency_day"), timeout=120.0).splitlines()))
        found_all = answer != "" and not any(table_differences(month, server, database, table) for table in _cheapest_first())
        if found_all:
            return now - began
        if answer != last or lag() > 0:
            last, changed = answer, now
        if now - changed >= stable_seconds:
            return now - began
        if now - began >= timeout:
            raise UnavailableError(
                f"The workers had not read everything after {timeout:.0f} s; {lag():,} messages are left.",
                remedy="Their logs say what they did.",
            )
        time.sleep(_POLL_SECONDS)


def _cheapest_first() -> tuple[str, ...]:
    return ("agency_day", "agency_day_procedure", "agency_minute")


def compare(month: Month, server: ClickHouseServer, database: str, *, report: Callable[[Any, Any], Any]) -> Compared:
    """Compare every figure of every tally, and every indicator of every agency, block and the nation on every day.

    Args:
        month: what was sent.
        server: where the tallies are.
        database: of them.
        report: the rows of the report of a period, first and last day included.
    """
    compared = Compared()
    for table in TIERS:
        compared.add(table, len(month.tables[table]) * len(TALLIED), table_differences(month, server, database, table))
    registry = AgencyRegistry.packaged()
    days = sorted({day for _, day in month.truth.by_place})
    differences = [
        difference
        for day in days
        for difference in report_differences(month.truth, report(day, day), first=day, last=day, registry=registry)
    ]
    units = len(month.truth.by_place)
    compared.add("indicators of agencies and days", units * len(INDICATORS), differences)
    return compared


@contextmanager
def reports(environment: Mapping[str, str], *, log_dir: Path) -> Iterator[Callable[[Any, Any], Any]]:
    """The rows of the report of a period, as an exporter of these settings answers them.

    Raises:
        UnavailableError: the exporter does not start.
    """
    exporter = PortalPulseProcess("exporter", environment=environment, log_dir=log_dir)

    def rows(first: Any, last: Any) -> Any:
        answer = httpx.get(f"{exporter.url}/api/v1/report", params={"from": first, "to": last}, timeout=60, trust_env=False)
        return answer.raise_for_status().json()["rows"]

    try:
        exporter.launch()
        exporter.await_ready()
        yield rows
    finally:
        exporter.process.stop()


def found_by_command(environment: Mapping[str, str]) -> dict[Place, dict[str, int]]:
    """What ``portalpulse findings`` finds in all time: unit and day -> kind -> dossiers.

    Raises:
        UnavailableError: the command fails; with its error output.
    """
    command = [sys.executable, "-m", "pipeline.cli", "findings", "--from", str(FIRST_DAY), "--to", str(LAST_DAY)]
    done = subprocess.run(
        [*command, "--by-day", "--json"], env=environment, capture_output=True, text=True, timeout=_FINDINGS_SECONDS, check=False
    )
    if done.returncode:
        raise UnavailableError(f"The findings could not be read: {done.stderr.strip()}")
    listed: dict[Place, dict[str, int]] = {}
    for row in json.loads(done.stdout)["findings"]:
        listed.setdefault((row["agency"], dt.date.fromisoformat(row["day"])), {})[row["kind"]] = row["dossiers"]
    return listed


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def february(
        *,
        events: Annotated[int, typer.Option(help="At least so many messages.")] = 1_000_000,
        seed: Annotated[int, typer.Option(help="Same seed, same messages.")] = 1,
        workers: Annotated[int, typer.Option(help="How many workers.")] = 2,
    ) -> None:
        """February 2025 with realistic feeds: every figure per agency and day against the portals' ledger; status 0 when equal.

        Example: python -m bench february --events 1000000
        """
        console = Console()
        with running_stack() as stack:
            month, compared = _run(stack, console, events=events, seed=seed, workers=workers)
        for line in told(month, compared):
            console.print(line, highlight=False)
        sys.exit(1 if compared.differences else 0)


def _run(stack: Stack, console: Console, *, events: int, seed: int, workers: int) -> tuple[Month, Compared]:
    stack.kafka.create_topic(_TOPIC, partitions=PARTITIONS)
    with console.status(f"sending {events:,} messages"):
        month = send_month(events=events, seed=seed, broker=Broker((stack.kafka.bootstrap,), _TOPIC))
    console.print(f"sent {month.sent:,} messages of {month.truth.dossiers:,} dossiers", highlight=False)
    settings = worker_settings(stack, topic=_TOPIC, group=_DATABASE, database=_DATABASE)
    processes = [worker(stack, settings, name=f"worker-{number + 1}") for number in range(workers)]
    try:
        for process in processes:
            process.launch()
        for process in processes:
            process.await_ready()
        group = ConsumerGroup(stack.kafka.bootstrap, group=_DATABASE, topic=_TOPIC)
        with console.status("counting"):
            seconds = await_truth(month, stack.server, _DATABASE, lag=group.lag, timeout=120.0 + month.sent / _LEAST_RATE)
        console.print(f"{workers} workers were done {seconds:.0f} s after they were ready", highlight=False)
        with console.status("comparing"), reports(child_environment(**settings), log_dir=stack.logs) as report:
            compared = compare(month, stack.server, _DATABASE, report=report)
        with console.status("looking for findings"):
            found = found_by_command(child_environment(**settings))
        number = sum(name in FINDINGS for counts in month.truth.by_place.values() for name in counts)
        compared.add("findings of agencies and days", number, finding_differences(month.truth, found))
        return month, compared
    finally:
        for process in processes:
            process.process.stop()


def told(month: Month, compared: Compared) -> Iterator[str]:
    """The result as lines: what is true, what was compared, and what differs."""
    totals = month.truth.totals()
    yield f"The truth: {', '.join(f'{name} {totals[name]:,}' for name in TALLIED)}."
    for name, number in compared.figures.items():
        wrong = sum(difference.startswith(f"{name}: ") for difference in compared.differences)
        yield f"{name}: {number:,} figures compared, {wrong:,} different."
    yield from shortened(compared.differences)
    if not compared.differences:
        yield "Every figure equals the ledger."
