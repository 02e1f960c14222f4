"""Builds the ``portalpulse`` command and turns every error into one line and an exit code."""

from __future__ import annotations

import datetime as dt
import importlib
import logging
import os
import signal
import sys
from contextlib import suppress
from importlib import metadata
from typing import Annotated, NoReturn

import stamina.instrumentation
import typer

from domain.errors import ConfigurationError, PortalPulseError, describe_error
from pipeline.cli import streams
from pipeline.cli.crash_guard import run_guarded
from pipeline.cli.text_arguments import require_texts
from pipeline.logs import log_on_stderr
from pipeline.shutdown import leave
from pipeline.texts import escaped

#: Folders add their commands through this entry-point group. Its values map a command's name to the module whose function
#: ``register(app)`` adds it.
COMMANDS = "portalpulse.commands"
#: Beginning of the message of an unexpected error.
UNEXPECTED = "Unexpected error:"
#: Exit status after Ctrl-C, as a shell reports it.
INTERRUPTED = 130


def _version(value: bool) -> None:  # noqa: FBT001 - the signature typer calls
    if value:
        typer.echo(f"portalpulse {metadata.version('portalpulse')}")
        raise typer.Exit


def create_cli(command: str = "") -> typer.Typer:
    """The command line with the commands of every installed folder.

    Args:
        command: name of the command to run. If it exists, only its module is imported: importing all takes longer than most
            commands run.
    """
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
            bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
        ] = False,
    ) -> None:
        pass

    modules: dict[str, str] = {}
    for entry in sorted(metadata.entry_points(group=COMMANDS), key=lambda entry: entry.name):
        modules |= entry.load()
    for module in dict.fromkeys([modules[command]] if command in modules else modules.values()):
        importlib.import_module(module).register(app)
    return app


def main() -> NoReturn:
    """Run the command line, and end the process with the exit code."""
    leave(run_guarded(run, sys.argv[1:]))


def run() -> int:
    """Run the command line; return the exit code. Every error becomes one line on the error stream (docs/errors.md)."""
    if callable(signal.getsignal(signal.SIGINT)):  # not where the caller ignores it
        with suppress(ValueError):  # an embedding program runs commands in a thread
            signal.signal(signal.SIGINT, signal.default_int_handler)
    streams.prepare()
    streams.ignore_warnings()
    log_on_stderr()
    if remote := sys.modules.get("pipeline.cli.remote"):
        remote.forget()
    # Errors of these libraries are raised and reported here. clickhouse-connect sets the level of "urllib3" when it is imported.
    for library in ("urllib3.connectionpool", "urllib3.util.retry", "clickhouse_connect"):
        logging.getLogger(library).setLevel(logging.CRITICAL)
    stamina.instrumentation.set_on_retry_hooks(())  # retries are logged only by commands that configure logging
    try:
        try:
            _require_local_time()
            _refuse_empty(sys.argv[1:])
            command = typer.main.get_command(create_cli(*sys.argv[1:2]))
            require_texts(command)
            command()
        finally:
            streams.finish()
    except SystemExit as end:
        return int(end.code or 0)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - one line that names the place, not a traceback
        return _report(error)
    return 0


def _report(error: BaseException) -> int:
    """Print an error as one line; return the exit code."""
    if isinstance(error, KeyboardInterrupt):  # before or after the command itself
        return INTERRUPTED
    if isinstance(error, streams.OutputError | PortalPulseError):
        if not (isinstance(error, streams.OutputError) and error.quiet):
            _print_error(str(error))
        return error.exit_code
    if isinstance(error, OSError):
        _print_error(_describe_os_error(error))
        correctable = error.filename or not _has_current_folder()
        return ConfigurationError.exit_code if correctable else PortalPulseError.exit_code
    if _lacks_memory(error):
        _print_error("The memory that this process may use is not enough. Free memory, or raise its limit (`ulimit -v`).")
        return ConfigurationError.exit_code
    remote = sys.modules.get("pipeline.cli.remote")  # loaded by commands that ask a process
    if remote is not None and (of_an_answer := remote.of_an_answer(error)):
        _print_error(str(of_an_answer))
        return int(of_an_answer.exit_code)
    _print_error(f"{UNEXPECTED} {describe_error(error)}. This is probably a fault of portalpulse: report it.")
    return PortalPulseError.exit_code


def _lacks_memory(error: BaseException) -> bool:
    """Whether memory was missing, also while a library was imported: then the first error of the chain tells it."""
    found: BaseException | None = error
    while found is not None:
        refused = isinstance(found, ImportError) and ("failed to map segment" in str(found) or "allocate memory" in str(found))
        if isinstance(found, MemoryError) or refused:
            return True
        found = found.__cause__ or found.__context__
    return False


def _require_local_time() -> None:
    """Refuse a time zone a day or more from UTC: libraries fail on it while they are imported, as they ask for the local time.

    Raises:
        ConfigurationError: the variable TZ names such a zone.
    """
    try:
        dt.datetime.now(dt.UTC).astimezone()
    except ValueError:
        raise ConfigurationError(
            "The time zone of this process (the variable TZ) is a day or more from UTC.",
            remedy="Write for example TZ=Asia/Ho_Chi_Minh, or remove the variable. Figures do not depend on it.",
        ) from None


def _refuse_empty(arguments: list[str]) -> None:
    """Refuse empty arguments: an unset shell variable would silently mean a default or the current folder.

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
                f"{what} is empty.", remedy="Check whether a shell variable is not set; give a value, or omit the option."
            )
        before = argument


def _print_error(text: str) -> None:
    """Print one line. Control characters are escaped, so that they cannot move the cursor of a terminal."""
    sys.stderr.write(f"portalpulse: {escaped(text)}\n")


def _describe_os_error(error: OSError) -> str:
    """The message for an error of the operating system that no command has handled."""
    if not error.filename and not _has_current_folder():
        return "The current folder was deleted. Change to another one and run the command again."
    name = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes | os.PathLike) else ""
    return f"{name} cannot be used: {error.strerror}." if name else f"A system call failed: {error.strerror or error}."


def _has_current_folder() -> bool:
    try:
        os.getcwd()  # noqa: PTH109 - asks for the name alone
    except FileNotFoundError:
        return False
    return True
