"""Options and arguments that are not UTF-8, numbers that are not finite, addresses with a password: one sentence names them."""

from __future__ import annotations

import os
import sys

import pytest
import typer

from domain.errors import ConfigurationError
from pipeline.cli import main as cli
from pipeline.cli.text_arguments import URL, names_files, parameters_of, require_texts

#: A byte that is not UTF-8, as it arrives from the command line.
ODD = os.fsdecode(b"\xff")


def commands(command, *words):
    """Every command with its words."""
    for name, below in getattr(command, "commands", {}).items():
        yield from commands(below, *words, name)
    if not hasattr(command, "commands"):
        yield words, command


def converted(command, parameter, value):
    """What a command receives for a value of one of its options."""
    value = [value] if parameter.multiple or parameter.nargs != 1 else value
    return parameter.process_value(typer.Context(command), value)


def receives(command, parameter, kind, *, text):
    """Whether a command receives a value of a kind for a text: not every option takes it, and some make something else of it."""
    try:
        found = converted(command, parameter, text)
    except Exception:  # noqa: BLE001 - the parser of another kind of value
        return False
    return isinstance(found[0] if isinstance(found, list | tuple) else found, kind)


PARAMETERS = [
    pytest.param(command, parameter, id=f"{' '.join(words)} {parameter.name}")
    for words, command in commands(typer.main.get_command(cli.create_cli()))
    for parameter in command.params
]
TEXTS = [found for found in PARAMETERS if receives(*found.values, str, text="-1x")]
FLOATS = [found for found in PARAMETERS if receives(*found.values, float, text="2.0")]
ADDRESSES = [found for found in PARAMETERS if found.values[1].metavar == URL]


@pytest.mark.parametrize(("command", "parameter"), TEXTS)
def test_no_option_takes_what_is_not_utf8(command, parameter):
    """Every option and argument that takes text refuses half of a surrogate pair; only names of files may have any bytes."""
    require_texts(command)
    if names_files(parameter):
        assert ODD in converted(command, parameter, ODD)[0]
        return
    with pytest.raises(ConfigurationError, match=r"is wrong: it is not UTF-8\. Write it in UTF-8\.") as refused:
        converted(command, parameter, f"s3cret{ODD}")
    assert "s3cret" not in str(refused.value)
    named = max(parameter.opts, key=len) if parameter.param_type_name == "option" else parameter.name.upper()
    assert named in str(refused.value)


@pytest.mark.parametrize(("command", "parameter"), FLOATS)
@pytest.mark.parametrize("text", ["nan", "inf", "1e999"])
def test_a_number_is_finite(command, parameter, text):
    """No option takes infinity or what is not a number: NaN is within all bounds, and would be waited for without end."""
    require_texts(command)
    try:
        converted(command, parameter, text)
    except ConfigurationError as refused:
        named = max(parameter.opts, key=len)
        assert f"Option {named} is wrong: {float(text)} is not a finite number." in str(refused)  # noqa: PT017 - one of two errors
    except typer.BadParameter as refused:  # beyond a bound of the option
        assert "Input should be" in str(refused)  # noqa: PT017
    else:
        pytest.fail("taken")


@pytest.mark.parametrize(("command", "parameter"), FLOATS)
def test_a_number_is_one_that_can_be_computed_with(command, parameter):
    """Every number with a fraction has a largest value: those near the largest float overflow in the middle of a run."""
    with pytest.raises(typer.BadParameter, match="Input should be less than or equal to"):
        converted(command, parameter, "1e308")


@pytest.mark.parametrize(("command", "parameter"), ADDRESSES)
@pytest.mark.parametrize(
    "address", ["http://u:s3cret@h/", "u:s3cret@h:1", "//s3cret@h/x", "ftp://u:s3cret@[::1", "http://s3cret@h?a"]
)
def test_an_address_holds_no_password(command, parameter, address):
    """An option that takes an address refuses one with a user or a password, and does not show it."""
    require_texts(command)
    with pytest.raises(ConfigurationError, match="is wrong: it must have no user and no password") as refused:
        converted(command, parameter, address)
    assert max(parameter.opts, key=len) in str(refused.value)
    assert "s3cret" not in str(refused.value)
    assert converted(command, parameter, "http://h/a@b?c@d") == "http://h/a@b?c@d"


def test_there_are_numbers_and_addresses():
    """The walk finds the numbers and the addresses of several commands."""
    assert {found.id for found in FLOATS} > {"load rate", "load duration", "produce collapse_after", "watchdog after"}
    assert {found.id for found in ADDRESSES} > {
        "load http",
        "replay http",
        "boards push url",
        "alerts render webhook",
        "relay url",
    }


def test_there_are_texts_and_files():
    """The walk above finds options of several commands; few of them name files as text."""
    assert len(TEXTS) > 40
    files = {found.id for found in TEXTS if names_files(found.values[1])}
    assert files == {"replay files", "produce output"}


def test_nothing_is_checked_by_something_else():
    """No option has a callback of its own, which would replace the rule, but for --version and Typer's own, which are flags."""
    own = [found for found in parameters_of(typer.main.get_command(cli.create_cli())) if found.callback is not None]
    assert [found.name for found in own] == ["_version_", "install_completion", "show_completion"]
    assert all(found.is_flag for found in own)


@pytest.mark.parametrize(
    "arguments",
    [
        ("replay", "--check", f"no-such-{ODD}.ndjson"),
        ("replay", "--from-topic", "t", "--bootstrap", f"{ODD}:1"),
        ("replay", "--speed", ODD, "x.ndjson"),
        ("replay", "--times", ODD),
        ("replay", "--time", ODD),
        ("dossier", ODD),
        ("report", "--from", ODD, "--to", "2024-01-01"),
        ("produce", "--output", f"/no/{ODD}"),
        ("report", "--data", f"/no/{ODD}", "--from", "2024-01-01", "--to", "2024-01-01"),
        ("boards", "push", "--url", ODD, "--token", "t"),
        (ODD,),
    ],
    ids=ascii,
)
def test_any_bytes_on_the_command_line_are_one_sentence(monkeypatch, capsys, tmp_path, arguments):
    """Whatever bytes a command line has, the command ends with status 2 and says why."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["portalpulse", *arguments])
    assert cli.run() == 2
    errors = capsys.readouterr().err
    assert errors
    assert cli.UNEXPECTED not in errors


def test_a_token_in_a_variable_is_checked_and_not_shown(monkeypatch, capsys):
    """An option that is read from a variable is held to the same rule."""
    monkeypatch.setenv("GRAFANA_TOKEN", f"s3cret{ODD}")
    monkeypatch.setattr(sys, "argv", ["portalpulse", "boards", "push", "--url", "http://127.0.0.1:1"])
    assert cli.run() == 2
    errors = capsys.readouterr().err
    assert "--token is wrong: it is not UTF-8" in errors
    assert "s3cret" not in errors
