"""``python -m bench COMMAND``: every module of this folder that has a ``register(app)`` adds its commands, ``chaos`` too."""

from __future__ import annotations

import importlib
import pkgutil
import sys

import typer

import bench
from bench.chaos import run as chaos
from domain.errors import PortalPulseError
from pipeline.shutdown import stopped_by_signals


def create_app() -> typer.Typer:
    """The command line with the commands of all modules."""
    app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=bench.__doc__)
    app.callback()(_no_command)
    for module in pkgutil.iter_modules(bench.__path__):
        if module.ispkg or module.name == "__main__":
            continue
        register = getattr(importlib.import_module(f"bench.{module.name}"), "register", None)
        if register is not None:
            register(app)
    chaos.register(app)
    return app


def _no_command() -> None:
    """Keeps the commands' names even when there is only one."""


def main() -> None:
    """Run a command; an expected failure is printed as one sentence, without a traceback."""
    try:
        with stopped_by_signals():  # SIGTERM ends it as Ctrl-C does: parts are stopped, folders removed
            create_app()()
    except PortalPulseError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(getattr(error, "exit_code", 1))


if __name__ == "__main__":
    main()
