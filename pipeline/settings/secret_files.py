"""Reads settings from files: a folder has one file for each secret, with the name of its variable, as containers mount them.

Unlike a variable, a file is not visible in listings of processes or descriptions of containers, and is not inherited by child
processes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from domain.errors import ConfigurationError
from pipeline.bounded_files import MIB, bounded_content
from pipeline.texts import require_text

#: Names the folder, without the prefix.
FOLDER: Final = "SECRETS_DIR"


def with_secret_files(environment: Mapping[str, str], prefix: str) -> dict[str, str]:
    """The variables of ``environment``, and those of the files in the folder that ``<prefix>SECRETS_DIR`` names.

    A file is read when its name begins with ``prefix``; others, such as the links that Kubernetes makes, are ignored. One line
    break at the end of a file does not belong to the value.

    Raises:
        ConfigurationError: the folder or a file cannot be read, a file is not UTF-8, or the environment has the same variable.
            The message never quotes a value.
    """
    variable = prefix + FOLDER
    given = {name.upper(): name for name in environment}
    folder = environment[given[variable]] if variable in given else ""
    if not folder:
        return dict(environment)
    try:
        require_text(folder)
    except ValueError as error:
        raise ConfigurationError(
            f"Setting {variable} is wrong: {error}.", remedy="docs/settings.md lists every setting with its form."
        ) from None
    try:
        paths = sorted(path for path in Path(folder).iterdir() if path.name.upper().startswith(prefix) and path.is_file())
    except (OSError, ValueError) as error:  # ValueError: a name that no folder can have
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigurationError(
            f"{variable} names {folder}, which cannot be read: {reason}.",
            remedy="Name a folder of files that are called like variables, or remove the variable.",
        ) from error
    found = {}
    for path in paths:
        if path.name.upper() in given:
            raise ConfigurationError(
                f"{path.name} is set twice: in the environment and by the file {path}.", remedy="Remove one of the two."
            )
        found[path.name] = _value_of(path)
    return {**environment, **found}


def _value_of(path: Path) -> str:
    try:
        text = bounded_content(path, maximum=MIB).decode("utf-8")
    except UnicodeDecodeError:
        raise ConfigurationError(
            f"The file {path} is not UTF-8.", remedy="Write the value of the setting into it as text."
        ) from None  # the cause would show the value
    except OSError as error:
        raise ConfigurationError(
            f"The file {path} cannot be read: {error.strerror or error}.",
            remedy="Let the user of this process read it.",
        ) from error
    return text.removesuffix("\n").removesuffix("\r")
