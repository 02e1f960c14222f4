"""``portalpulse retention``: shows what is kept, and lets old messages and dead letters expire."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.table import Table

from pipeline.cli import options
from pipeline.cli.progress import progress_bar
from pipeline.cli.remote_retention import RemoteRetention
from pipeline.cli.services import opened_service
from pipeline.logs import configure_logging
from pipeline.retention.service import RetentionSteps
from pipeline.settings import load_settings
from pipeline.wiring.features import retention_service

_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB")
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    group = typer.Typer(
        name="retention",
        no_args_is_help=True,
        help="How long messages and dead letters are kept: show what would expire, and let it expire. Figures do not change.",
    )
    app.add_typer(group, rich_help_panel="Maintenance")
    group.command("show")(_show)
    group.command("apply")(_apply)


def _show(*, as_json: Json = False, data: options.Data = None) -> None:
    """Print what is kept since when, how large the tables are, and what `apply` would let expire.

    Example: portalpulse retention show
    """
    with _service(data) as steps:
        found = steps.show()
    if as_json:
        typer.echo(json.dumps(found, indent=2))
    else:
        _print(found)


def _apply(
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Change nothing; print what would expire.")] = False,
    take_over: Annotated[
        bool, typer.Option("--take-over", help="Take over from a run that was killed less than ten minutes ago.")
    ] = False,
    data: options.Data = None,
) -> None:
    """Let messages of finished dossiers and dead letters expire that are older than the settings keep them.

    Figures do not change: what each message counts as stays. Workers may run. A run that breaks off is completed by the next one.

    Example: PORTALPULSE_RETENTION__MESSAGES_DAYS=800 portalpulse retention apply --dry-run
    """
    with _service(data) as steps:
        found = steps.show()
        kept = not found["messages"]["days"] and not found["dead_letters"]["days"]
        if dry_run:
            _print_due(found)
            return
        done = {"dossiers": 0, "messages": 0, "skipped": 0}
        with progress_bar() as bar:
            bar.begin("completing earlier runs", None)
            shares = steps.plan(take_over=take_over)["shares"]
            bar.begin("recording what messages count as", len(shares))
            for share in shares:
                for name, count in steps.share(share).items():
                    done[name] += count
                bar.advance(1)
            bar.begin("deleting", None)
            dropped = steps.remove()["dead_letters"]
    if kept:
        typer.echo("Everything is kept: PORTALPULSE_RETENTION__MESSAGES_DAYS and __DEAD_LETTERS_DAYS are 0.")
        return
    typer.echo(f"{done['messages']:,} messages of {done['dossiers']:,} dossiers and {dropped:,} dead letters expired.")
    if done["skipped"]:
        typer.echo(
            f"{done['skipped']:,} finished dossiers are kept: their messages are still being counted, or the audit finds "
            "something wrong about them. Run `portalpulse audit --repair`, then this command again."
        )


def _service(data: Any) -> AbstractContextManager[RetentionSteps]:
    settings = load_settings()
    configure_logging(settings.log)
    return opened_service(settings, data, local=retention_service, remote=RemoteRetention, open_folder=True)


def _print(found: dict[str, Any]) -> None:
    table = Table()
    for title in ("table", "rows", "size", "since"):
        table.add_column(title, justify="right" if title in {"rows", "size"} else "left")
    for row in found["tables"]:
        table.add_row(row["table"], f"{row['rows']:,}", _size(row["bytes"]), row["first"] if row["first"] != "tuple()" else "")
    Console().print(table)
    expired = found["expired"]
    if expired["older_than"]:
        typer.echo(
            f"{expired['messages']:,} messages of {expired['dossiers']:,} dossiers expired so far; all messages since "
            f"{expired['older_than']} are there. {expired['late']:,} messages came for these dossiers afterwards."
        )
    else:
        typer.echo("No message has expired.")
    _print_due(found)


def _print_due(found: dict[str, Any]) -> None:
    messages, letters = found["messages"], found["dead_letters"]
    if messages["days"]:
        typer.echo(
            f"Messages of finished dossiers older than {messages['older_than']} would expire: about {messages['events']:,} of "
            f"{messages['dossiers']:,} dossiers, {_size(messages['bytes'])}."
        )
    else:
        typer.echo("Messages are kept for ever (PORTALPULSE_RETENTION__MESSAGES_DAYS is 0).")
    if letters["days"]:
        typer.echo(f"{letters['letters']:,} dead letters older than {letters['older_than']} would expire.")
    else:
        typer.echo("Dead letters are kept for ever (PORTALPULSE_RETENTION__DEAD_LETTERS_DAYS is 0).")


def _size(count: int) -> str:
    size, unit = float(count), 0
    while size >= 1024 and unit < len(_UNITS) - 1:
        size, unit = size / 1024, unit + 1
    return f"{size:.1f} {_UNITS[unit]}" if unit else f"{count} B"
