"""Builds the ``portalpulse`` command and turns every foreseen error into one line and an exit code."""

from __future__ import annotations

import logging
import sys
from importlib import metadata
from typing import Annotated

import typer
from rich.console import Console

from pipeline.core.errors import PortalPulseError

#: Folders add their commands through this entry-point group; the value is a function ``register(app)``.
COMMANDS = "portalpulse.commands"


def _version(value: bool) -> None:  # noqa: FBT001 - the signature typer calls
    if value:
        typer.echo(f"portalpulse {metadata.version('portalpulse')}")
        raise typer.Exit


def create_cli() -> typer.Typer:
    """The whole command line, with the commands of every installed folder."""
    app = typer.Typer(
        name="portalpulse",
        no_args_is_help=True,
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        help="Measures, live and exactly, how Viet Nam's agencies use online public services (dịch vụ công trực tuyến).\n\n"
        "Start with [bold]portalpulse demo[/bold], or [bold]portalpulse up[/bold] and, beside it, "
        "[bold]portalpulse produce --scenario live[/bold].",
    )

    @app.callback()
    def root(
        *,
        _version_: Annotated[
            bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
        ] = False,
    ) -> None:
        pass

    for entry in sorted(metadata.entry_points(group=COMMANDS), key=lambda entry: entry.name):
        entry.load()(app)
    return app


def main() -> None:
    """Run the command line; foreseen errors become one line on stderr and the error's exit code."""
    for chatter in ("urllib3", "clickhouse_connect"):
        logging.getLogger(chatter).setLevel(logging.CRITICAL)  # their errors are raised, and told as ours
    try:
        create_cli()()
    except PortalPulseError as error:
        Console(stderr=True, soft_wrap=True, highlight=False).print(f"portalpulse: {error}", markup=False)
        sys.exit(error.exit_code)
