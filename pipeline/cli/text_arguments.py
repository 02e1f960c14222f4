"""Applies the rule for texts (``pipeline.texts``) to every option and argument of every command."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from domain.errors import ConfigurationError
from pipeline.texts import require_text

#: Part of the placeholder of options and arguments that name files. Other names of files and folders arrive as paths.
FILE: Final = "FILE"


def require_texts(command: Any) -> None:
    """Let every option and argument below ``command`` (Typer's) refuse text that is not UTF-8, in variables, too."""
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
    """Raises: ConfigurationError: a text is not UTF-8; the sentence names the option."""
    for text in value if isinstance(value, list | tuple) else (value,):
        if isinstance(text, str):
            try:
                require_text(text, names_a_file=names_files(parameter))
            except ValueError as error:
                what = f"Option {max(parameter.opts, key=len)}" if parameter.param_type_name == "option" else parameter.metavar
                raise ConfigurationError(
                    f"{what or parameter.name.upper()} is wrong: {error}.", remedy="Write it in UTF-8."
                ) from None  # the cause would show a token
    return value
