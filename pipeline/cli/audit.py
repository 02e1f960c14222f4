"""``portalpulse audit``: compare every tally with the stored events, find contradicting repeats, check Kafka, repair."""

from __future__ import annotations

import enum
import json
import time
from collections.abc import Iterator
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from domain.errors import UnavailableError
from domain.periods import Period, civil_day
from domain.tiers import Tier
from pipeline.audit.dossier_check import DossierFault, DossierFaults
from pipeline.audit.json_format import encode_report
from pipeline.audit.options import AuditOptions, KafkaCheck
from pipeline.audit.report import SHOWN, AuditReport, KafkaAudit, RepairReport, unread_sentence
from pipeline.audit.run import run_audit
from pipeline.cli import options
from pipeline.cli.progress import progress_bar
from pipeline.cli.remote_audit import RemoteAudit
from pipeline.cli.services import opened_service
from pipeline.settings import load_settings
from pipeline.wiring.features import audit_service
from sinks.contract.audit import Repeats
from sinks.errors import SinkError

_TIER_NAMES = {Tier.MINUTE: "minute", Tier.DAY: "day", Tier.PROCEDURE: "procedure"}


class Format(enum.StrEnum):
    """How the result is printed."""

    TABLE = "table"
    JSON = "json"


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command("audit", rich_help_panel="Maintenance")(_audit)


def _audit(
    *,
    first: Annotated[str | None, typer.Option("--from", help="First civil day. Default: the earliest.", metavar="DAY")] = None,
    last: Annotated[str | None, typer.Option("--to", help="Last civil day, included.", metavar="DAY")] = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Correct wrong dossiers, recount tallies that differ, then compare again.")
    ] = False,
    settle: Annotated[
        float,
        typer.Option(
            min=0,
            max=86_400,
            metavar="SECONDS",
            help="Compare differences again after this many seconds; only those that remain are reported. If Kafka cannot tell "
            "which events are unacknowledged, events stored within this time are not expected in the tallies.",
        ),
    ] = 10.0,
    repeats: Annotated[
        bool, typer.Option("--repeats/--no-repeats", help="Also search repeated events and ids that contradict each other.")
    ] = True,
    kafka: Annotated[
        KafkaCheck, typer.Option(help="offsets: check the group's offsets. deep: also look up every acknowledged message.")
    ] = KafkaCheck.NONE,
    form: Annotated[Format, typer.Option("--format", help="Output format.")] = Format.TABLE,
    data: options.Data = None,
) -> None:
    """Compare every tally (minute, day, procedure) with the stored messages and the corrections of their dossiers.

    The corrections themselves are compared with what the rules give for all messages of each dossier.

    Exit code 0: nothing is wrong, or --repair corrected it; tallies may be late by what the workers have in hand.
    1: something is wrong. 2: the audit could not run.

    Events sent again with other contents, and ids that are used in several dossiers, are listed and never changed: only
    their senders know what is true.

    Examples: [bold]portalpulse audit[/bold], [bold]portalpulse audit --from 2024-08-01 --repair[/bold],
    [bold]portalpulse audit --kafka deep[/bold] (is every acknowledged message stored?)
    """
    days = tuple(None if text is None else options.day(option, text) for option, text in (("--from", first), ("--to", last)))
    if days[0] is not None and days[1] is not None:
        Period(days[0], days[1])
    audit_options = AuditOptions(days[0], days[1], repair=repair, settle=settle, repeats=repeats, kafka=kafka)
    audit = opened_service(load_settings(), data, local=audit_service, remote=RemoteAudit)
    with audit as steps, progress_bar() as progress:
        try:
            report = run_audit(steps, audit_options, wait=time.sleep, progress=progress)
        except (SinkError, UnavailableError) as error:
            raise _interrupted(error, repair=repair) from error
    if form is Format.JSON:
        typer.echo(json.dumps(encode_report(report), ensure_ascii=False, indent=2).encode())
    else:
        _print(report, Console())
    if not report.clean:
        raise typer.Exit(1)


def _interrupted(error: SinkError | UnavailableError, *, repair: bool) -> UnavailableError:
    """The error that tells what stopped an audit, and how to continue it."""
    remedy = (error.remedy if isinstance(error, UnavailableError) else "") or "`portalpulse doctor` checks each part."
    again = "Run it again: it repairs what is still wrong." if repair else "Then run it again."
    problem = error.problem if isinstance(error, UnavailableError) else str(error)
    return UnavailableError(f"The audit was interrupted: {problem}", remedy=f"{remedy} {again}")


def _print(report: AuditReport, console: Console) -> None:
    table = Table(title=f"{report.days} days, {report.rows:,} rows of messages")
    table.add_column("tallies")
    for name in ("compared", "wrong", "events off", "events late"):
        table.add_column(name, justify="right")
    columns = (report.buckets, report.differing, report.drift, report.late)
    for tier in report.buckets:
        table.add_row(tier.value, *(f"{column[tier]:,}" for column in columns))
    console.print(table)
    _print_dossiers(report.dossiers, console)
    if report.findings:
        console.print(_findings(report))
    if report.repaired is not None:
        _print_repair(report.repaired, console)
    _print_repeats("events stored with different contents", report.contradictions, console)
    _print_repeats("event ids in several dossiers", report.reused_event_ids, console)
    if report.kafka is not None:  # its faults include the unread offsets
        _print_kafka(report.kafka, console)
    elif report.unread is not None:
        for unread in report.unread.ranges:
            console.print(unread_sentence(unread), style="bold", markup=False)
    if report.expired.older_than is not None:
        console.print(
            f"{report.expired.messages:,} messages of {report.expired.dossiers:,} dossiers have expired, all of them older than "
            f"{civil_day(report.expired.older_than)}. Tallies are compared with what was recorded of them; whether that was "
            f"right can no longer be checked. {report.expired.late:,} messages came for these dossiers afterwards.",
            soft_wrap=True,
        )
    for line in verdict(report):
        console.print(line, soft_wrap=True)


_FAULTS = {
    DossierFault.WRONG: "with a wrong correction",
    DossierFault.MISSING: "without the correction that they need",
    DossierFault.SURPLUS: "with a correction that they do not need, or that are deleted",
    DossierFault.UNINDEXED: "missing in the index, or not claimed there",
    DossierFault.ORPHANED: "in the index that are not stored",
}


def _print_dossiers(found: DossierFaults, console: Console) -> None:
    console.print(
        f"{found.dossiers:,} dossiers with {found.messages:,} messages checked; workers have {found.in_hand:,} in hand."
    )
    for fault, words in _FAULTS.items():
        if found.faults[fault]:
            console.print(f"{found.faults[fault]:,} messages {words}")
        for example in found.examples:
            if example.fault is fault:
                ref = example.message
                at = ref.occurred_at.isoformat(timespec="milliseconds")
                console.print(
                    f"  {ref.agency} {civil_day(ref.occurred_at)} {ref.dossier_code or '(deleted dossier)'} {at} {ref.event_id}: "
                    f"counts as {', '.join(example.counted) or 'nothing'}; right: {', '.join(example.right) or 'nothing'}",
                    markup=False,
                    soft_wrap=True,
                )


def _print_repair(repaired: RepairReport, console: Console) -> None:
    drift, late = sum(repaired.drift.values()), sum(repaired.late.values())
    if repaired.dossiers:
        console.print(f"Repaired {repaired.dossiers:,} dossiers, and recounted their days.")
    if repaired.days:
        console.print(f"Repaired {len(repaired.days)} days. Before, tallies were {drift:,} events off and {late:,} late.")
    if repaired.epochs:
        console.print(f"Raised the epoch to {repaired.epochs[-1]}, because some tallies were too high.")
    if repaired.problem:
        console.print(f"Replaced rows stay until ClickHouse merges them: {repaired.problem}", markup=False)


def verdict(report: AuditReport) -> Iterator[str]:
    """Yield sentences that tell whether tallies and corrections are right, wrong or late, and what to do."""
    late = {tier: events for tier, events in report.late.items() if events}
    if report.dossiers.total:
        yield f"{report.dossiers.total:,} messages do not count as the rules say for their dossiers. Correct them with --repair."
    if any(report.differing.values()):
        yield "Tallies are wrong. Recount them with --repair."
    elif not late:
        missing = report.kafka is not None and report.kafka.deep is not None and report.kafka.deep.missing
        yield "Every tally is right for the messages that are stored, but not all are." if missing else "Every tally is right."
        return
    else:
        yield "No tally is wrong."
    if late:
        tiers = [f"the {_TIER_NAMES[tier]} tallies are {events:,} events late" for tier, events in late.items()]
        in_hand = max(report.in_hand.values())
        cause = "are not acknowledged yet" if not report.fallback_reason else "were stored within the settling time"
        text = f"{', '.join(tiers)}; {in_hand:,} events {cause}."
        yield text[0].upper() + text[1:] + " Wait, or recount them with --repair."
    if report.fallback_reason is not None:
        yield (f"The age of events decided which must be tallied, because Kafka could not say it: {report.fallback_reason}.")


def _findings(report: AuditReport) -> Table:
    shown = report.findings[:SHOWN]
    total = sum(report.differing.values())
    table = Table(title=f"the worst {len(shown)} of {total}" if total > len(shown) else None)
    for name in ("tallies", "agency", "bucket", "procedure", "off", "count: stored / tallied"):
        table.add_column(name, justify="right" if name == "off" else "left", overflow="fold")
    for finding in shown:
        wrong = [f"{name}: {stored:,} / {tallied:,}" for name, (stored, tallied) in finding.wrong_counts.items()]
        if not wrong:
            times = (finding.stored_last, finding.tallied_last)
            wrong = [f"newest event: {' / '.join('-' if at is None else at.isoformat(timespec='milliseconds') for at in times)}"]
        cells = (finding.tier.value, finding.agency, finding.bucket.isoformat(), finding.procedure, f"{finding.drift:,}")
        table.add_row(*cells, "\n".join(wrong))
    return table


def _print_repeats(title: str, found: Repeats | None, console: Console) -> None:
    if found is None:
        return
    console.print(f"{found.count:,} {title}")
    for name, refs in found.examples.items():
        events = ", ".join(
            f"{ref.agency} {ref.occurred_at.isoformat(timespec='milliseconds')} {ref.event_id} {ref.dossier_code}" for ref in refs
        )
        console.print(f"  {name}: {events}", markup=False, soft_wrap=True)


def _print_kafka(kafka: KafkaAudit, console: Console) -> None:
    table = Table(title=f"topic {kafka.offsets.topic}")
    for name in ("partition", "first", "acknowledged", "end", "waiting", "highest kept"):
        table.add_column(name, justify="right")
    for part in kafka.offsets.partitions:
        waiting = part.end - (part.begin if part.committed is None else part.committed)
        cells = (part.begin, part.committed, part.end, waiting, part.highest_kept)
        where = f"{part.topic}/{part.partition}" if part.topic else f"{part.partition}"
        table.add_row(where, *("-" if cell is None else f"{cell:,}" for cell in cells))
    console.print(table)
    if kafka.deep is not None:
        console.print(f"{kafka.deep.messages:,} acknowledged messages looked up, {kafka.deep.missing:,} not found.")
        for position in kafka.deep.examples:
            console.print(f"  {position}", markup=False)
    for fault in kafka.faults:
        console.print(fault, style="bold", markup=False)
