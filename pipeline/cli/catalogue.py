"""``portalpulse catalogue``: loads the service catalogue of agencies from a file, shows it, checks a file."""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from domain.catalogue import COLUMNS
from domain.errors import ConfigurationError, UnavailableError
from pipeline.catalogue.faults import CatalogueFaultsError
from pipeline.catalogue.files import CatalogueFile, read_catalogue
from pipeline.catalogue.json_format import counts_as_dict, entry_as_dict, to_csv
from pipeline.catalogue.recount import LevelChanges, RecountSteps, recount_all
from pipeline.cli import options
from pipeline.cli.progress import ProgressBar, progress_bar
from pipeline.cli.remote_catalogue import RemoteCatalogue
from pipeline.cli.services import opened_service
from pipeline.registry import registry_of
from pipeline.settings import load_settings
from pipeline.texts import escaped
from pipeline.wiring.features import catalogue_service

#: Changes and entries that are printed one by one.
_SHOWN: Final = 40
#: Counts by level and their titles, as ``counts_as_dict`` has them.
_LEVELS: Final = {
    "services": "dịch vụ (services)",
    "toan_trinh": "toàn trình",
    "mot_phan": "một phần",
    "cung_cap_thong_tin": "cung cấp thông tin",
    "not_stated": "not stated",
}

File = Annotated[
    Path, typer.Argument(help="CSV (commas, semicolons or tabs; .gz too), JSON, or an Excel workbook.", show_default=False)
]


class Format(enum.StrEnum):
    """How a catalogue is printed."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    group = typer.Typer(
        name="catalogue",
        no_args_is_help=True,
        help="The service catalogue (danh mục dịch vụ công, danh mục thủ tục hành chính): which procedures each agency offers, "
        "at which level, from when until when. Load it from a file, show it, check a file.",
    )
    app.add_typer(group, rich_help_panel="Figures")
    group.command("load")(_load)
    group.command("show")(_show)
    group.command("check")(_check)


def _load(
    file: File,
    *,
    add: Annotated[
        bool, typer.Option("--add", help="Only add the rows of the file, or change those that have the same first day.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON, as POST /api/v1/catalogue answers, with the dossiers that changed.")
    ] = False,
    data: options.Data = None,
) -> None:
    """Load the catalogue of agencies from a file.

    The file replaces the whole catalogue of every agency that occurs in it; other agencies keep theirs. With --add, the other
    rows of these agencies stay. The file is checked first: when a row is wrong, nothing is loaded. Loading a file again changes
    nothing.

    Settled dossiers of which no message gives a level take it from the catalogue. So those that are stored already are counted
    again, and the months and units whose figures changed are printed. If this breaks off, load the same file again.

    Columns: agency_code, procedure_code, name, service_level (toan_trinh, mot_phan, cung_cap_thong_tin), legacy_level (1 to 4),
    eligible (may it be offered toàn trình), longest_days (calendar days), valid_from, valid_to (the last day; empty: none yet).
    Days are written as 2024-08-20 or 20/08/2024.

    Example: portalpulse catalogue load thai-nguyen.csv.gz

    Example: portalpulse catalogue load three-new-services.xlsx --add
    """
    try:
        read = _read(file)
    except CatalogueFaultsError as error:
        raise ConfigurationError(
            f"{file} has {_faults(error)}, and nothing is loaded.",
            remedy="Correct what is listed above. `portalpulse catalogue check` checks a file without loading it.",
        ) from error
    with (
        opened_service(load_settings(), data, local=catalogue_service, remote=RemoteCatalogue) as service,
        progress_bar() as bar,
    ):
        bar.begin(f"loading {len(read.entries):,} entries", None)
        found = service.load([entry_as_dict(entry) for entry in read.entries], add=add, source=file.name)
        agencies = sorted({entry.agency for entry in read.entries})
        found["dossiers"] = _recount(service.recount, agencies, bar).as_list()
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False, indent=2).encode())
    else:
        _print_load(found, Console())
    if found["overtaken"]:
        raise UnavailableError(
            f"Another load came at the same time, and changed {', '.join(found['overtaken'])}, too.",
            remedy="Compare with `portalpulse catalogue show`, and load the file again if its rows are missing.",
        )


def _recount(steps: RecountSteps, agencies: Sequence[str], bar: ProgressBar) -> LevelChanges:
    """Count stored dossiers again, with a progress bar."""
    known = 0

    def advance(done: int, total: int) -> None:
        nonlocal known
        if not done:
            bar.begin("counting stored dossiers again", total)
        bar.advance(done - known)
        known = done

    return recount_all(steps, agencies, advance=advance)


def _show(
    *,
    agencies: Annotated[
        list[str] | None, typer.Option("--agency", help="Only this agency, e.g. H55; may be repeated.", metavar="CODE")
    ] = None,
    on: Annotated[str | None, typer.Option("--day", help="What was in force on this day. Default: today.", metavar="DAY")] = None,
    procedure: Annotated[str | None, typer.Option("--procedure", help="Only this procedure.", metavar="CODE")] = None,
    all_days: Annotated[bool, typer.Option("--all-days", help="Every entry of every day, for a file to load again.")] = False,
    form: Annotated[Format, typer.Option("--format", help="Output format; json and csv have every entry.")] = Format.TABLE,
    data: options.Data = None,
) -> None:
    """Print the numbers of services by level, and the entries, of one day.

    An entry without a service level counts by its legacy level: 4 is toàn trình, 3 một phần.

    Example: portalpulse catalogue show --agency H55 --day 2018-12-31

    Example: portalpulse catalogue show --agency H55 --all-days --format csv > h55.csv
    """
    if all_days and on is not None:
        raise ConfigurationError("--all-days and --day contradict each other.", remedy="Give one of them.")
    day = None if on is None else options.day("--day", on)
    with opened_service(load_settings(), data, local=catalogue_service, remote=RemoteCatalogue) as service:
        found = service.show(day=day, agencies=agencies or None, procedure=procedure, all_days=all_days)
    if form is Format.JSON:
        typer.echo(json.dumps(found, ensure_ascii=False, indent=2).encode())
    elif form is Format.CSV:
        typer.echo(to_csv(found["entries"]).encode(), nl=False)
    else:
        _print_entries(found, Console())


def _check(file: File) -> None:
    """Read a file and say what is wrong with it. Needs no running process, and loads nothing.

    Every fault is one sentence with line, column, value and what to write; the first 20 are printed. The status is 1 when there
    are faults.

    Example: portalpulse catalogue check thai-nguyen.xlsx
    """
    try:
        read = _read(file)
    except CatalogueFaultsError as error:
        typer.echo(f"portalpulse: {file} has {_faults(error)}. Correct them and check it again.", err=True)
        raise typer.Exit(1) from error
    counts = counts_as_dict(read.entries)
    agencies = len({entry.agency for entry in read.entries})
    levels = ", ".join(f"{counts[name]:,} {title}" for name, title in _LEVELS.items() if name != "services" and counts[name])
    typer.echo(f"{file}: {len(read.entries):,} entries of {agencies} agencies can be loaded ({levels}).")


def _read(file: Path) -> CatalogueFile:
    """Read a catalogue file; print progress, warnings and faults on the error stream.

    Raises:
        CatalogueFaultsError: it has faults, which are printed.
        ConfigurationError: it is not a catalogue.
    """
    try:
        with progress_bar() as bar:
            read = read_catalogue(file, registry_of(load_settings()), bar)
    except CatalogueFaultsError as error:
        _warn(error.faults.listed)
        hidden = error.faults.total - len(error.faults.listed)
        if hidden:
            _warn([f"{hidden:,} more faults are not listed."])
        raise
    _warn(read.warnings)
    return read


def _faults(error: CatalogueFaultsError) -> str:
    return "1 fault" if error.faults.total == 1 else f"{error.faults.total:,} faults"


def _warn(sentences: Sequence[str]) -> None:
    for sentence in sentences:
        typer.echo(escaped(sentence), err=True)


def _print_load(found: Mapping[str, Any], console: Console) -> None:
    if found["changed"]:
        _print_entry_changes(found, console)
    else:
        typer.echo(f"Nothing changed: the {found['entries']:,} entries of these agencies are loaded already.")
    _print_dossiers(found["dossiers"], console)


def _print_dossiers(changes: Sequence[Mapping[str, Any]], console: Console) -> None:
    """Print how many settled dossiers a load changed, by month and unit of the settled event."""
    if not changes:
        typer.echo("No settled dossier that is stored counts otherwise.")
        return
    table = Table(title="Hồ sơ đổi mức độ (stored dossiers that count otherwise)")
    for title in ("tháng (month)", "cơ quan (unit)", "thành toàn trình (now full)", "không còn toàn trình (no longer full)"):
        table.add_column(title, justify="left" if title.endswith(("(month)", "(unit)")) else "right")
    for row in changes:
        table.add_row(row["month"], row["agency_code"], f"{row['to_full']:,}", f"{row['from_full']:,}")
    console.print(table)


def _print_entry_changes(found: Mapping[str, Any], console: Console) -> None:
    table = Table(title="Danh mục dịch vụ (service catalogue)")
    for title in ("agency", "opened", "closed", "changed"):
        table.add_column(title, justify="left" if title == "agency" else "right")
    for agency in found["agencies"]:
        table.add_row(agency["agency_code"], *(f"{agency[kind]:,}" for kind in ("opened", "closed", "changed")))
    console.print(table)
    for change in found["changes"][:_SHOWN]:
        console.print(_change(change), markup=False, highlight=False, soft_wrap=True)
    hidden = len(found["changes"][_SHOWN:]) + found["omitted"]
    if hidden:
        typer.echo(f"... and {hidden:,} more changes; --json lists more of them.")
    typer.echo(f"These agencies have {found['entries']:,} entries now.")


def _change(change: Mapping[str, Any]) -> str:
    fields = "; ".join(f"{name}: {_shown(pair['before'])} -> {_shown(pair['after'])}" for name, pair in change["fields"].items())
    what = f"{change['agency_code']} {change['procedure_code']} from {change['valid_from']} {change['kind']}"
    return f"  {what}" + (f" ({fields})" if fields else "")


def _shown(value: object) -> str:
    return "-" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _print_entries(found: Mapping[str, Any], console: Console) -> None:
    title = "every day" if found["day"] is None else found["day"]
    if not found["entries"]:
        typer.echo(f"{title}: no entry of the catalogue. Load one with `portalpulse catalogue load FILE`.")
        return
    table = Table(title=f"Danh mục dịch vụ (service catalogue), {title}")
    table.add_column("agency")
    for level in _LEVELS.values():
        table.add_column(level, justify="right")
    for counts in found["agencies"]:
        table.add_row(counts["agency_code"], *(f"{counts[name]:,}" for name in _LEVELS))
    table.add_row("all", *(f"{found['counts'][name]:,}" for name in _LEVELS), style="bold")
    console.print(table)
    if found["not_recounted"]:
        typer.echo(
            f"Stored dossiers of {', '.join(found['not_recounted'])} are not all counted with this catalogue yet. "
            "Load its file again to finish that."
        )
    entries = Table()
    for column in COLUMNS:
        entries.add_column(column, overflow="fold")
    for entry in found["entries"][:_SHOWN]:
        entries.add_row(*(escape(_shown(entry[column])) for column in COLUMNS))
    console.print(entries)
    if len(found["entries"]) > _SHOWN:
        typer.echo(f"... and {len(found['entries']) - _SHOWN:,} more; --format csv or json prints all of them.")
