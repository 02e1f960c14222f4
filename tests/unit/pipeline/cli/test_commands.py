"""Commands are imported when they are used."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata

import pytest
import typer

from pipeline.cli.main import COMMANDS, create_cli


def _names(command=""):
    return set(typer.main.get_command(create_cli(command)).commands)


def _tables():
    return {name: module for entry in metadata.entry_points(group=COMMANDS) for name, module in entry.load().items()}


@pytest.mark.parametrize("name", sorted(_tables()))
def test_a_command_is_in_the_module_that_its_table_names(name):
    """The command line with the module of one command has this command."""
    assert name in _names(name)


def test_the_tables_name_every_command():
    """Help, and a command that does not exist, show all commands."""
    assert _names() == _names("no-such-command") == set(_tables())


def test_a_small_command_is_quick_to_start():
    """A command imports nothing that only others need."""
    code = (
        "import sys; from pipeline.cli.main import run; sys.argv[1:] = ['schema']; run(); "
        "print(sorted({'aiohttp', 'clickhouse_connect', 'faust', 'openpyxl', 'pandas'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == "[]\n"
