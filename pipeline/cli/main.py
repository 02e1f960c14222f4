"""Builds the ``portalpulse`` command and turns every foreseen error into one line and an exit code."""

from __future__ import annotations

import logging
import os
import sys
from importlib import metadata
from typing import Annotated

import stamina.instrumentation
import typer

from domain.errors import ConfigurationError, PortalPulseError, describe_error
from pipeline.cli import streams

#: Folders add their commands through this entry-point group; the value is a function ``register(app)``.
COMMANDS = "portalpulse.commands"
#: How the line of an error begins that nobody foresaw.
UNFORESEEN = "An error that nobody foresaw:"
#: Exit status after Ctrl-C, as a shell reports it.
INTERRUPTED = 130


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
    """Run the command line. Every error becomes one line on the error stream and an exit code (docs/errors.md)."""
    streams.prepare()
    # Their errors are raised, and told as ours. clickhouse-connect sets the level of "urllib3" itself, when it is imported.
    for chatter in ("urllib3.connectionpool", "urllib3.util.retry", "clickhouse_connect"):
        logging.getLogger(chatter).setLevel(logging.CRITICAL)
    stamina.instrumentation.set_on_retry_hooks(())  # a command says how it ended; who writes a log sets a hook of their own
    try:
        try:
            _refuse_empty(sys.argv[1:])
            create_cli()()
        finally:
            streams.finish()
    except streams.OutputError as error:
        if not error.quiet:
            _tell(str(error))
        sys.exit(error.exit_code)
    except PortalPulseError as error:
        _tell(str(error))
        sys.exit(error.exit_code)
    except KeyboardInterrupt:  # before or after the command itself
        sys.exit(INTERRUPTED)
    except OSError as error:
        _tell(_file_problem(error))
        correctable = error.filename or not _has_current_folder()
        sys.exit(ConfigurationError.exit_code if correctable else PortalPulseError.exit_code)
    except Exception as error:  # noqa: BLE001 - the last resort: a sentence helps more than a traceback, and names the place
        _tell(f"{UNFORESEEN} {describe_error(error)}. Nothing is wrong with your input that portalpulse knows of: report this.")
        sys.exit(PortalPulseError.exit_code)


def _refuse_empty(arguments: list[str]) -> None:
    """Nothing that a command takes may be empty: a shell variable that is not set would mean a default or the current folder.

    Raises:
        ConfigurationError: an argument is empty.
    """
    before = ""
    for argument in arguments:
        name = argument.removesuffix("=") if argument.startswith("--") and argument.endswith("=") else ""
        if not argument or name:
            option = name or (before if before.startswith("-") and before != "-" else "")
            what = f"The value of {option}" if option else "An argument"
            raise ConfigurationError(
                f"{what} is empty.", remedy="See whether a shell variable is not set; write it, or leave it out."
            )
        before = argument


def _tell(text: str) -> None:
    """One line: whatever could move the cursor of a terminal is spelt out."""
    shown = "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text)
    sys.stderr.write(f"portalpulse: {shown}\n")


def _file_problem(error: OSError) -> str:
    """A file that cannot be used, where nobody knew better what it is for."""
    if not error.filename and not _has_current_folder():
        return "The folder that this command was started in is gone. Change to another one and start it again."
    name = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes | os.PathLike) else ""
    return f"{name} cannot be used: {error.strerror}." if name else f"The system refuses a call: {error.strerror or error}."


def _has_current_folder() -> bool:
    try:
        os.getcwd()  # noqa: PTH109 - asks for the name alone
    except FileNotFoundError:
        return False
    return True
