"""``portalpulse audit``: compare every tally with the stored events, find repeats that contradict, check Kafka, repair."""

from __future__ import annotations

import datetime as dt
import enum
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from domain.errors import UnavailableError
from domain.periods import Period
from domain.tiers import Tier
from pipeline import wiring
from pipeline.audit.run import SHOWN, AuditOptions, AuditReport, AuditSteps, KafkaCheck, run_audit, unread_sentence
from pipeline.cli import options
from pipeline.cli.remote import Process, is_embedded, running
from pipeline.folders import folder
from pipeline.settings import Settings, load_settings
from sinks.errors import SinkError

#: A single step may scan a day of a large table.
_STEP_SECONDS = 3_600.0


class Format(enum.StrEnum):
    """How the result is printed."""

    TABLE = "table"
    JSON = "json"


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command("audit", rich_help_panel="Maintenance")(_audit)


def _audit(
    *,
    first: Annotated[
        str | None, typer.Option("--from", help="First civil day. Default: the first there is.", metavar="DAY")
    ] = None,
    last: Annotated[str | None, typer.Option("--to", help="Last civil day, included.", metavar="DAY")] = None,
    repair: Annotated[bool, typer.Option("--repair", help="Recount what differs, and look again.")] = False,
    settle: Annotated[
        float,
        typer.Option(
            min=0,
            max=86_400,
            metavar="SECONDS",
            help="Look again after this long at what differs. Where Kafka does not tell what the workers have in hand, "
            "events stored since then are not expected in the tallies.",
        ),
    ] = 10.0,
    repeats: Annotated[
        bool, typer.Option("--repeats/--no-repeats", help="Also search ids and dossiers that contradict themselves.")
    ] = True,
    kafka: Annotated[
        KafkaCheck, typer.Option(help="offsets: compare with the group's. deep: look every acknowledged message up.")
    ] = KafkaCheck.NONE,
    form: Annotated[Format, typer.Option("--format", help="How to print it.")] = Format.TABLE,
    data: Annotated[
        Path | None, typer.Option("--data", parser=folder, help="Folder of the running stack.", metavar="DIR")
    ] = None,
) -> None:
    """Compare every tally (minute, day, procedure) with the distinct stored events, count by count.

    Exit code 0: no tally is wrong, or all were put right by --repair; tallies may be late by what the workers have in hand.
    1: something is wrong. 2: it could not be audited.

    Events repeated with another agency, time or content, and dossiers settled by several events, are listed and never
    changed: only their senders know which is true.

    Examples: [bold]portalpulse audit[/bold], [bold]portalpulse audit --from 2024-08-01 --repair[/bold],
    [bold]portalpulse audit --kafka deep[/bold] (is every message that was acknowledged still there?)
    """
    days = tuple(None if text is None else options.day(option, text) for option, text in (("--from", first), ("--to", last)))
    if days[0] is not None and days[1] is not None:
        Period(days[0], days[1])
    wanted = AuditOptions(days[0], days[1], repair=repair, settle=settle, repeats=repeats, kafka=kafka)
    try:
        with _desk(data) as desk, _bar() as progress:
            report = run_audit(desk, wanted, wait=time.sleep, progress=progress)
    except SinkError as error:
        raise UnavailableError(f"The audit broke off: {error}", remedy="`portalpulse doctor` checks each part.") from error
    if form is Format.JSON:
        typer.echo(json.dumps(report.as_dict(), ensure_ascii=False, indent=2).encode())
    else:
        _print(report, Console())
    if not report.clean:
        raise typer.Exit(1)


class _RemoteDesk:
    """The desk of a running process, over HTTP."""

    def __init__(self, process: Process) -> None:
        self._process = process

    def days(self, first: dt.date | None, last: dt.date | None) -> dict[str, int]:
        bounds = {name: day.isoformat() for name, day in (("from", first), ("to", last)) if day is not None}
        return self._get("days", **bounds)

    def look(self, day: dt.date, *, settle: float) -> dict[str, Any]:
        return self._get(f"days/{day.isoformat()}", settle=settle)

    def contradictions(self, day: dt.date) -> dict[str, Any]:
        return self._get(f"days/{day.isoformat()}/contradictions")

    def repeats(self, days: tuple[dt.date, dt.date] | None, *, share: tuple[int, int]) -> dict[str, Any]:
        bounds = {} if days is None else {"from": days[0].isoformat(), "to": days[1].isoformat()}
        return self._get("repeats", number=share[0], of=share[1], **bounds)

    def repair(self, day: dt.date, agencies: Sequence[str] | None, *, raise_epoch: bool) -> dict[str, Any]:
        chosen = None if agencies is None else list(agencies)
        return self._post("repair", day=day.isoformat(), agencies=chosen, raise_epoch=raise_epoch)

    def tidy(self, days: Sequence[dt.date]) -> dict[str, Any]:
        return self._post("tidy", days=[day.isoformat() for day in days])

    def partitions(self) -> dict[str, Any]:
        return self._get("partitions")

    def unread(self) -> dict[str, Any]:
        return self._get("unread")

    def verify(self, partition: int, begin: int, end: int) -> dict[str, Any]:
        return self._get(f"partitions/{partition}", begin=begin, end=end)

    def _get(self, path: str, **query: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self._process.ask("GET", f"/api/v1/audit/{path}", timeout=_STEP_SECONDS, params=query)
        return answer

    def _post(self, path: str, **fields: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self._process.ask("POST", f"/api/v1/audit/{path}", timeout=_STEP_SECONDS, json=fields)
        return answer


@contextmanager
def _desk(data: Path | None) -> Iterator[AuditSteps]:
    """On a server the desk itself; with an embedded storage that of the process that owns it."""
    settings: Settings = load_settings()
    if data is not None or is_embedded(settings):
        yield _RemoteDesk(running(settings, data))
        return
    with wiring.opened_storage(settings) as clickhouse:
        yield wiring.audit_desk(settings, clickhouse)


class _Bar:
    """Progress on standard error; each stage takes the place of the one before."""

    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._task: TaskID | None = None

    def begin(self, what: str, total: int) -> None:
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._task = self._bar.add_task(what, total=total)

    def advance(self, steps: int) -> None:
        if self._task is not None:
            self._bar.advance(self._task, steps)


@contextmanager
def _bar() -> Iterator[_Bar]:
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        yield _Bar(bar)


def _print(report: AuditReport, console: Console) -> None:
    table = Table(title=f"{report.days} days, {report.rows:,} rows of events")
    table.add_column("tallies")
    for name in ("compared", "wrong", "events off", "events late"):
        table.add_column(name, justify="right")
    columns = (report.buckets, report.differing, report.drift, report.late)
    for scope in report.buckets:
        table.add_row(scope, *(f"{column[scope]:,}" for column in columns))
    console.print(table)
    if report.findings:
        console.print(_findings(report))
    if report.repaired is not None:
        drift, late = (sum(report.repaired[kind].values()) for kind in ("drift", "late"))
        console.print(f"Repaired: {len(report.repaired['days'])} days, before {drift:,} events off and {late:,} late.")
        if report.repaired["epochs"]:
            console.print(f"Some tallies were too high; the epoch is {report.repaired['epochs'][-1]} now.")
        if report.repaired["problem"]:
            console.print(f"Replaced rows stay until they are merged: {report.repaired['problem']}", markup=False)
    _print_repeats("events stored with two contents (only those not merged yet are seen)", report.contradictions, console)
    _print_repeats("event ids under several agencies or times", report.reused_event_ids, console)
    _print_repeats("dossiers settled by several events", report.settled_twice, console)
    if report.kafka is None:  # otherwise they stand among its faults
        for unread in (report.unread or {}).get("ranges", ()):
            console.print(unread_sentence(unread), style="bold", markup=False)
    else:
        _print_kafka(report.kafka, console)
    for line in verdict(report):
        console.print(line, soft_wrap=True)


def verdict(report: AuditReport) -> Iterator[str]:
    """What the audit says of the tallies, in sentences."""
    late = {scope: events for scope, events in report.late.items() if events}
    if any(report.differing.values()):
        yield "Tallies are wrong; --repair recounts them."
    elif not late:
        yield "Every tally is right."
        return
    else:
        yield "No tally is wrong."
    if late:
        tiers = [f"the {_TIERS[scope]} tallies are {events:,} events late" for scope, events in late.items()]
        in_hand = max(report.in_hand.values())
        hands = f"{in_hand:,} are in the workers' hands" if not report.by_time else f"{in_hand:,} were stored just now"
        text = f"{', '.join(tiers)}; {hands}."
        yield text[0].upper() + text[1:] + " Wait, or --repair."
    if report.by_time is not None:
        yield f"Judged by the age of the events, for Kafka could not tell what the workers have in hand: {report.by_time}."


_TIERS = {Tier.MINUTE.value: "minute", Tier.DAY.value: "day", Tier.PROCEDURE.value: "procedure"}


def _findings(report: AuditReport) -> Table:
    shown = report.findings[:SHOWN]
    total = sum(report.differing.values())
    table = Table(title=f"the worst {len(shown)} of {total}" if total > len(shown) else None)
    for name in ("tallies", "agency", "bucket", "procedure", "off", "count: stored / tallied"):
        table.add_column(name, justify="right" if name == "off" else "left", overflow="fold")
    for finding in shown:
        wrong = [f"{name}: {stored:,} / {tallied:,}" for name, (stored, tallied) in finding.wrong.items()]
        if not wrong:
            wrong = [f"newest event: {finding.stored_last} / {finding.tallied_last}"]
        table.add_row(finding.scope, finding.agency, finding.bucket, finding.procedure, f"{finding.drift:,}", "\n".join(wrong))
    return table


def _print_repeats(title: str, found: Mapping[str, Any] | None, console: Console) -> None:
    if found is None:
        return
    console.print(f"{found['count']:,} {title}")
    for name, sights in found["examples"].items():
        events = ", ".join(f"{sight['agency']} {sight['occurred_at']} {sight['id']}" for sight in sights)
        console.print(f"  {name}: {events}", markup=False, soft_wrap=True)


def _print_kafka(kafka: Mapping[str, Any], console: Console) -> None:
    table = Table(title=f"topic {kafka['topic']}")
    for name in ("partition", "first", "acknowledged", "end", "waiting", "highest kept"):
        table.add_column(name, justify="right")
    for part in kafka["partitions"]:
        waiting = part["end"] - (part["begin"] if part["committed"] is None else part["committed"])
        cells = (part["partition"], part["begin"], part["committed"], part["end"], waiting, part["highest_kept"])
        table.add_row(*("-" if cell is None else f"{cell:,}" for cell in cells))
    console.print(table)
    if kafka["deep"] is not None:
        console.print(f"{kafka['deep']['messages']:,} acknowledged messages looked up, {kafka['deep']['missing']:,} not found.")
        for position in kafka["deep"]["examples"]:
            console.print(f"  {position}", markup=False)
    for fault in kafka["faults"]:
        console.print(fault, style="bold", markup=False)
