"""Applies the rules for texts (``pipeline.texts``) and for numbers to every option and argument of every command."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Final

from domain.errors import ConfigurationError
from pipeline.texts import holds_login, require_text

#: Part of the placeholder of options and arguments that name files. Other names of files and folders arrive as paths.
FILE: Final = "FILE"
#: Placeholder of options that take an address of a page.
URL: Final = "URL"


def require_texts(command: Any) -> None:
    """Make every option and argument below ``command`` (of Typer) refuse values that are wrong for any option.

    These are texts that are not UTF-8, numbers that are not finite, and addresses with a user or a password; values from
    environment variables, too.
    """
    for parameter in parameters_of(command):
        if parameter.callback is None:
            parameter.callback = _checked


def parameters_of(command: Any) -> Iterator[Any]:
    """The options and arguments of a command and of those below it."""
    yield from command.params
    for below in getattr(command, "commands", {}).values():
        yield from parameters_of(below)


def names_files(parameter: Any) -> bool:
    """Whether the text of an option or argument is the name of a file."""
    return FILE in (parameter.metavar or "")


def _checked(_context: Any, parameter: Any, value: Any) -> Any:
    """Raises: ConfigurationError: a value is what no option means; the sentence names the option and quotes no text."""
    for item in value if isinstance(value, list | tuple) else (value,):
        if wrong := _wrong(parameter, item):
            raise ConfigurationError(f"{_what(parameter)} is wrong: {wrong[0]}.", remedy=wrong[1])
    return value


def _wrong(parameter: Any, value: Any) -> tuple[str, str] | None:
    """What is wrong with a value for any option, and what to do; None when nothing is."""
    if isinstance(value, float) and not math.isfinite(value):  # NaN is below no minimum and above no maximum
        return f"{value} is not a finite number", "Write a finite number."
    if not isinstance(value, str):
        return None
    try:
        require_text(value, names_a_file=names_files(parameter))
    except ValueError as error:
        return str(error), "Write it in UTF-8."
    if parameter.metavar == URL and holds_login(value):
        return "it must have no user and no password: messages and files show addresses", "Omit what is before the @."
    return None


def _what(parameter: Any) -> str:
    what = f"Option {max(parameter.opts, key=len)}" if parameter.param_type_name == "option" else parameter.metavar
    return what or str(parameter.name).upper()
