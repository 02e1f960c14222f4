"""``python -m bench dossiers``: realistic feeds through one worker, in order, delivered again, and scattered over a year.

With ``--onto`` the tables already hold that many messages of other dossiers, spread over the same year. Every figure is compared
with the portals' ledger. Beside it, the same dossiers are counted by plain SQL when somebody asks (``bench.query_time``).
"""

from __future__ import annotations

import datetime as dt
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console

from bench import figures, results
from bench.consumer_group import ConsumerGroup
from bench.measure import PARTITIONS, Stack, machine, running_stack, usage, worker, worker_settings
from bench.preload import TIMEOUT_SECONDS
from bench.probe import Probe, wait_for
from bench.query_time import DAYS
from deploy.native.processes import ChildProcess
from domain.errors import ConfigurationError, UnavailableError
from domain.periods import Period, civil_day
from producers.portals.dossier_faults import FaultShares
from producers.portals.months import period_scenario
from producers.portals.produce import produce, stream_of, to_broker
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
from producers.sending.progress import NullProgress
from producers.sending.worker_processes import Broker
from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.dossier_sql import FACTS
from sinks.clickhouse.migrate import migrate
from sinks.clickhouse.target import Target

IN_ORDER, AGAIN, SCATTERED = "in_order", "delivered_again", "scattered"
#: Days of the feed in order, and of the scattered one.
_DAYS: Final = {IN_ORDER: 28, SCATTERED: 365}
#: Messages of a settled dossier, about; and running numbers of dossiers that the feed in order may use.
_MESSAGES: Final = 6.6
_NUMBERS: Final = 3_000_000
_RUN_SECONDS: Final = 1_500.0
_EXACT_SECONDS: Final = 120.0
_STEP: Final = 5_000_000
_SUMS: Final = ", ".join(f"sum({name})" for name in TALLIED)
#: Dossiers of six messages on one day each, of agencies that send nothing in the run: its minutes stay those of the ledger.
_PRELOAD: Final = """
INSERT INTO {database}.dossier_messages (agency, occurred_at, event_id, dossier_code, procedure_code, status, channel,
  service_level, named_by_code, topic, offset)
SELECT concat('X', leftPad(toString(dossier % 86), 2, '0')) AS unit,
  toDateTime64('{end}', 3, 'UTC') - toIntervalDay(dossier % 365)
    + toIntervalMillisecond(number % 6 * 3600000 + rand(1) % 3600000),
  generateUUIDv4(), concat(unit, '.10-', formatDateTime(toDate('{end}') - toIntervalDay(dossier % 365), '%y%m%d'), '-',
    leftPad(toString(intDiv(dossier, 365) % 10000000), 7, '0')),
  concat('1.', leftPad(toString(dossier % 300), 6, '0')), [1, 2, 4, 4, 9, 10][number % 6 + 1], 2, 'toan_trinh', true, 'preloaded',
  number
FROM (SELECT number, intDiv(number, 6) AS dossier FROM numbers({first}, {count}))
SETTINGS max_partitions_per_insert_block = 0, optimize_on_insert = 0
"""
_INDEX: Final = f"""
INSERT INTO {{database}}.dossier_index (dossier_code, occurred_at, event_id, agency, procedure_code, due_at, facts, flags)
SELECT dossier_code, occurred_at, event_id, agency, procedure_code, due_at, {FACTS}, 3
FROM {{database}}.dossier_messages WHERE topic = 'preloaded' AND offset >= {{first}} AND offset < {{first}} + {{count}}
SETTINGS optimize_on_insert = 0
"""


@dataclass(frozen=True, slots=True)
class Feed:
    """A topic with realistic dossiers."""

    topic: str
    messages: ScenarioStream

    @property
    def sent(self) -> int:
        """Messages, repeats included."""
        return self.messages.total


@dataclass(frozen=True, slots=True)
class Measured:
    """One run. Rates are messages a second from the first stored row; processor time is of the whole run, per message."""

    kind: str
    messages: int
    per_second_exact: float
    per_second_acknowledged: float
    worker_microseconds: float
    server_microseconds: float
    worker_peak_mb: int

    def as_json(self) -> dict[str, Any]:
        """For results.json."""
        return {
            "messages": self.messages,
            "per_second_exact": round(self.per_second_exact),
            "per_second_acknowledged": round(self.per_second_acknowledged),
            "worker_microseconds": round(self.worker_microseconds, 2),
            "server_microseconds": round(self.server_microseconds, 2),
            "worker_peak_mb": self.worker_peak_mb,
        }


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def dossiers(
        *,
        events: Annotated[int, typer.Option(help="Messages of each feed, about.")] = 1_000_000,
        runs: Annotated[int, typer.Option(help="Runs, the feeds in turns. With --onto there is one.")] = 3,
        onto: Annotated[int, typer.Option(help="Messages that the tables hold before, e.g. 20000000.")] = 0,
        seed: Annotated[int, typer.Option(help="Same seed, same messages on the same day.")] = 1,
    ) -> None:
        """Dossiers a worker counts in a second: realistic feeds in order, delivered again, scattered; exact, or status 1."""
        console = Console()
        found: dict[str, Any] = {"onto": onto, IN_ORDER: [], AGAIN: [], SCATTERED: [], "peer": []}
        with running_stack() as stack:
            feeds = {kind: _fill(stack, kind, events=events, seed=seed, console=console) for kind in (IN_ORDER, SCATTERED)}
            for number in range(1 if onto else runs):
                _run(stack, feeds, number, onto=onto, found=found, console=console)
        results.update({f"dossiers_onto_{onto}": {"machine": machine(), "taken_at": _now(), **found}})
        figures.write(console)


def _now() -> str:
    return f"{dt.datetime.now(dt.UTC):%Y-%m-%dT%H:%MZ}"


def _fill(stack: Stack, kind: str, *, events: int, seed: int, console: Console) -> Feed:
    """Send the feed of a kind to a topic of its own.

    Raises:
        ConfigurationError: so many dossiers would share running numbers with those of the other feed.
        UnavailableError: Kafka did not take everything.
    """
    last = civil_day(dt.datetime.now(dt.UTC)) - dt.timedelta(days=2)  # the last events lie on the day after the period
    period = Period(last - dt.timedelta(days=_DAYS[kind] - 1), last)
    messages = ScenarioStream(
        period_scenario(f"bench {kind}", period, settled=round(events / _MESSAGES), seed=seed),
        seed=seed,
        shares=FaultShares.realistic(),
        shuffled=kind == SCATTERED,
        numbers_from=_NUMBERS if kind == SCATTERED else 0,
    )
    if max(int(portal.sequence.max(initial=0)) for portal in messages.portals) >= _NUMBERS:
        raise ConfigurationError(f"{events:,} messages are too many for one feed.", remedy="Use fewer --events.")
    topic = f"bench.dossiers.{kind}"
    stack.kafka.create_topic(topic, partitions=PARTITIONS)
    send = to_broker(Broker((stack.kafka.bootstrap,), topic))
    report = produce(stream_of(messages, seed=seed, rate=None), seed=seed, send=send, progress=NullProgress())
    if not report.complete:
        raise UnavailableError(f"Kafka took {report.result.acknowledged:,} of {report.sent:,} messages: {report.result.problem}")
    console.print(f"{kind}: {messages.total:,} messages", highlight=False)
    return Feed(topic, messages)


def _run(stack: Stack, feeds: dict[str, Feed], number: int, *, onto: int, found: dict[str, Any], console: Console) -> None:
    """Every feed once, each in a database of its own, or all of them in one that holds many messages."""
    counts, database = TierCounts(), f"dossiers_{number}"
    if onto:
        _preload(stack, database, onto, console)
    for kind in (IN_ORDER, SCATTERED):
        if not onto:
            counts, database = TierCounts(), f"dossiers_{kind}_{number}"
        add_scenario(counts, feeds[kind].messages)
        true = counts.tables()
        try:
            for measured in _measure(stack, kind, feeds[kind], database, true):
                found[measured.kind].append(measured.as_json())
                console.print(measured, highlight=False)
            if kind == IN_ORDER:
                found["peer"].append(_query_time(stack, database, true, everything=not onto))
                console.print(f"peer: {found['peer'][-1]}", highlight=False)
        finally:
            if not onto or kind == SCATTERED:
                stack.drop_database(database)


def _measure(stack: Stack, kind: str, feed: Feed, database: str, true: Tables) -> list[Measured]:
    """A worker reads the feed; that in order is then delivered again, to a worker that is started for it."""
    group = ConsumerGroup(stack.kafka.bootstrap, group=database + kind, topic=feed.topic)
    found = [_timed(stack, kind, feed, database, true, group=database + kind, lag=group.lag)]
    if kind == IN_ORDER:
        group.rewind(feed.sent)
        found.append(_timed(stack, AGAIN, feed, database, true, group=database + kind, lag=group.lag))
    return found


def _timed(stack: Stack, kind: str, feed: Feed, database: str, true: Tables, *, group: str, lag: Callable[[], int]) -> Measured:
    """One worker from its first stored row until every figure by minute is the true one, and until all is acknowledged.

    Raises:
        UnavailableError: a figure of a minute, day or procedure stays wrong, or the worker ended.
    """
    settings = worker_settings(stack, topic=feed.topic, group=group, database=database)
    child = worker(stack, settings, name=f"{database}-{kind}").process
    probe = Probe(stack.server)
    stored = f"SELECT count() FROM {database}.dossier_messages WHERE topic = '{feed.topic}'"
    sums = [sum(column) for column in zip(*true["agency_minute"].values(), strict=True)]
    before = sum(probe.numbers(stored))
    try:
        child.start()
        wait_for(lambda: _begun(probe, stored, before, lag, feed), timeout=180, what="the first message", children=[child])
        first, seen = time.monotonic(), max(sum(probe.numbers(stored)) - before, 0)
        own, server = usage([child]).cpu_seconds, usage([stack.server.process]).cpu_seconds
        sql = f"SELECT {_SUMS} FROM {database}.agency_minute FINAL"
        if kind != AGAIN:  # else they are right all the time
            wait_for(
                lambda: probe.numbers(sql) == sums,
                timeout=_RUN_SECONDS,
                what="every minute to be right",
                children=[child],
                poll=0.1,
            )
        exact = time.monotonic() - first
        wait_for(lambda: lag() == 0, timeout=_RUN_SECONDS, what="every message to be acknowledged", children=[child], poll=0.1)
        acknowledged = time.monotonic() - first
        worker_cpu = usage([child]).cpu_seconds - own
        server_cpu = usage([stack.server.process]).cpu_seconds - server
        peak = _peak_mb(child)
        wait_for(
            lambda: not _differences(stack, database, true),
            timeout=_EXACT_SECONDS,
            what="every figure to be the one of the ledger",
            children=[child],
            poll=1.0,
        )
    finally:
        child.stop()
        probe.close()
    measured = feed.sent - seen
    return Measured(
        kind=kind,
        messages=feed.sent,
        per_second_exact=measured / (acknowledged if kind == AGAIN else exact),
        per_second_acknowledged=measured / acknowledged,
        worker_microseconds=worker_cpu / measured * 1e6,
        server_microseconds=server_cpu / measured * 1e6,
        worker_peak_mb=peak,
    )


def _begun(probe: Probe, stored: str, before: int, lag: Callable[[], int], feed: Feed) -> bool:
    """Whether the first messages are stored: there are more rows, or merges have removed them and some are acknowledged."""
    return sum(probe.numbers(stored)) > before or (before > 0 and lag() < feed.sent)


def _differences(stack: Stack, database: str, true: Tables) -> list[str]:
    """Every figure of the agencies of the ledger, in every tier, that is not the true one."""
    return [
        difference
        for table in TIERS
        for difference in figure_differences(
            true[table], read_table(table, stack.server.query(table_sql(database, table), timeout=TIMEOUT_SECONDS))
        )
    ]


def _peak_mb(child: ChildProcess) -> int:
    """The most resident memory that a process has had (MB)."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{child.pid}/status").read_text(encoding="ascii"))
    return int(found[1]) // 1000 if found else 0


def _query_time(stack: Stack, database: str, true: Tables, *, everything: bool) -> dict[str, Any]:
    """Seconds until plain SQL has counted the dossiers of every agency and day, and until the tallies of the product are read.

    ``everything``: no other messages are stored, so that the answer can be compared with the ledger.
    """
    began = time.perf_counter()
    try:
        answer = stack.server.query(DAYS.format(database=database), timeout=TIMEOUT_SECONDS)
    except UnavailableError as error:
        return {"failed": str(error)[:300]}
    seconds = time.perf_counter() - began
    began = time.perf_counter()
    stack.server.query(table_sql(database, "agency_day"))
    tally_seconds = time.perf_counter() - began
    exact = not everything or not figure_differences(true["agency_day"], read_table("agency_day", answer))
    return {"seconds": round(seconds, 2), "exact": exact, "tally_seconds": round(tally_seconds, 3)}


def _preload(stack: Stack, database: str, rows: int, console: Console) -> None:
    """Messages of other dossiers, with their index."""
    tables = ClickHouse(Target.parse(stack.server.url(database), timeout=TIMEOUT_SECONDS))
    try:
        migrate(tables)
    finally:
        tables.close()
    end = civil_day(dt.datetime.now(dt.UTC)) - dt.timedelta(days=2)
    for first in range(0, rows, _STEP):
        count = min(_STEP, rows - first)
        for statement in (_PRELOAD, _INDEX):
            stack.server.query(statement.format(database=database, end=end, first=first, count=count), timeout=TIMEOUT_SECONDS)
        console.print(f"  preloaded {first + count:,}", highlight=False)
