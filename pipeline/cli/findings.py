"""``portalpulse findings``: how many dossiers are unusual, of which agency and in which way, with examples."""

from __future__ import annotations

import datetime as dt
import json
from collections import defaultdict
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.table import Table

from domain.clock import parse_clock
from domain.errors import UnavailableError
from domain.findings import MEANINGS, FindingKind
from domain.periods import Period, civil_day
from pipeline.cli import options
from pipeline.cli.progress import progress_bar
from pipeline.cli.remote import Process
from pipeline.cli.services import opened_service
from pipeline.findings.found import Found
from pipeline.findings.service import FindingSteps, found_in_all
from pipeline.settings import Settings, load_settings
from pipeline.wiring.features import finding_service
from sinks.contract.audit import HashShard
from sinks.contract.findings import FindingScope
from sinks.errors import SinkError

#: A shard may scan the index of a large table.
_STEP_SECONDS: Final = 3_600.0
_INTRODUCTION: Final = (
    "Count the dossiers with a finding: what is unusual about them, for the people who keep the data of a portal in order.",
    (
        "Each kind counts a dossier once, on the civil day (Asia/Ho_Chi_Minh) and for the unit of the event that shows it. "
        "No finding changes a figure. Findings are computed now, from the whole history of every dossier that has a message "
        "in the period."
    ),
    "Kinds (phát hiện về dữ liệu):",
)
_EXAMPLE: Final = (
    "Example: [bold]portalpulse findings --from 2025-02-01 --to 2025-02-28 --agency H17[/bold], then "
    "[bold]portalpulse dossier CODE[/bold] for a dossier that it names."
)
_KINDS: Final = tuple(f"[bold]{kind.value}[/bold]: {meaning}." for kind, meaning in MEANINGS.items())
_HELP: Final = "\n\n".join((*_INTRODUCTION, *_KINDS, _EXAMPLE))


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command("findings", rich_help_panel="Figures", help=_HELP)(_findings)


def _findings(
    *,
    first: Annotated[
        str | None, typer.Option("--from", help="First civil day. Default: the first of the month of --to.", metavar="DAY")
    ] = None,
    last: Annotated[str | None, typer.Option("--to", help="Last civil day, included. Default: today.", metavar="DAY")] = None,
    agencies: Annotated[
        list[str] | None, typer.Option("--agency", help="Only this agency, e.g. H17; may be repeated.", metavar="CODE")
    ] = None,
    by_day: Annotated[bool, typer.Option("--by-day", help="Count each civil day by itself.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, as GET /api/v1/findings answers.")] = False,
    data: options.Data = None,
) -> None:
    settings = load_settings()
    scope = FindingScope(_period(settings, first, last), tuple(agencies) if agencies else None)
    steps: FindingSteps
    try:
        with (
            opened_service(settings, data, local=finding_service, remote=RemoteFindings) as steps,
            progress_bar() as bar,
        ):
            found = found_in_all(
                steps, scope, advance=lambda done, of: bar.advance(1) if done else bar.begin("searching dossiers", of)
            )
    except SinkError as error:
        raise UnavailableError(f"The search failed: {error}", remedy="`portalpulse doctor` checks each part.") from error
    shown = found if by_day else found.without_days()
    if as_json:
        period = {"from": scope.period.start.isoformat(), "to": scope.period.end.isoformat()}
        typer.echo(json.dumps({"period": period, **shown.as_dict()}, ensure_ascii=False, indent=2).encode())
    else:
        _print(shown, scope, Console())


def _period(settings: Settings, first: str | None, last: str | None) -> Period:
    end = civil_day(parse_clock(settings.clock).now()) if last is None else options.day("--to", last)
    return Period(end.replace(day=1) if first is None else options.day("--from", first), end)


class RemoteFindings:
    """Implements ``pipeline.findings.service.FindingSteps`` with a running process, over HTTP."""

    def __init__(self, process: Process) -> None:
        self._process = process

    def shards(self, scope: FindingScope) -> int:
        """In how many hash shards of dossiers to search."""
        return int(self._get("/shards", scope)["shards"])

    def found(self, scope: FindingScope, shard: HashShard) -> Found:
        """The findings of the dossiers of a hash shard."""
        return Found.from_dict(self._get("", scope, by="day", number=shard.index, of=shard.count))

    def _get(self, path: str, scope: FindingScope, **query: Any) -> Any:
        parameters = {"from": scope.period.start.isoformat(), "to": scope.period.end.isoformat(), **query}
        if scope.agencies is not None:
            parameters["agency"] = list(scope.agencies)
        return self._process.request_json("GET", f"/api/v1/findings{path}", timeout=_STEP_SECONDS, params=parameters)


def _print(found: Found, scope: FindingScope, console: Console) -> None:
    title = f"{scope.period.start} - {scope.period.end}"
    if not found.dossiers:
        console.print(f"{title}: no findings.", highlight=False)
        return
    console.print(_table(found, title))
    console.print("Each kind, in all, what it means, and examples:", highlight=False)
    for kind, number in found.by_kind():
        if number:
            console.print(f"  {kind.value}: {number:,}. {MEANINGS[kind]}.", markup=False, highlight=False, soft_wrap=True)
            for example in found.examples.get(kind, ()):
                place = [text for text in (example.place.agency, example.place.day and example.place.day.isoformat()) if text]
                known_by = example.code or "(deleted dossier)"
                console.print(f"    {' '.join([known_by, *place])}", markup=False, highlight=False, soft_wrap=True)
    console.print("`portalpulse dossier CODE` shows the messages of a dossier.", highlight=False)


def _table(found: Found, title: str) -> Table:
    """A table with one row for each agency and kind, and for each day if the findings are by day."""
    table = Table(title=title)
    days = any(place.day for place, _ in found.dossiers)
    for name in ("agency", *(["day"] if days else []), "finding", "dossiers"):
        table.add_column(name, justify="right" if name == "dossiers" else "left", overflow="fold")
    rows: dict[tuple[str, dt.date], dict[FindingKind, int]] = defaultdict(dict)
    for (place, kind), number in found.dossiers.items():
        rows[place.agency or "", place.day or dt.date.min][kind] = number
    for (agency, day), kinds in sorted(rows.items()):
        for kind in FindingKind:
            if kind in kinds:
                shown_day = [] if not days else ["-" if day == dt.date.min else day.isoformat()]
                table.add_row(agency or "-", *shown_day, kind.value, f"{kinds[kind]:,}")
    return table
