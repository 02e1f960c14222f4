"""Prints the report of a command and writes it to the file of ``--report``."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import typer

from domain.errors import ConfigurationError, PortalPulseError, UnavailableError
from pipeline.whole_files import is_replaceable, write_whole

if TYPE_CHECKING:
    from producers.sending.send_loop import SendResult


class Report(Protocol):
    """The report of a run, for people and for programs."""

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON values."""
        ...

    def text(self) -> str:
        """The report as text."""
        ...


def publish(report: Report, *, as_json: bool, path: Path | None) -> None:
    """Print the report, and write it as JSON to ``path`` when one is given.

    Raises:
        UnavailableError: the file cannot be written.
    """
    # A name of a file may have any bytes. Those that are not UTF-8 are halves of surrogate pairs: JSON can escape them.
    content = json.dumps(report.as_dict(), ensure_ascii=False).encode("utf-8", "backslashreplace")
    typer.echo(content if as_json else report.text())
    if path is None:
        return
    try:
        write_whole(path, content + b"\n")
    except OSError as error:
        raise UnavailableError(f"{path} cannot be written: {error.strerror}.", remedy="Name another file.") from error


def not_delivered(sent: SendResult, *, remedy: str = "Send again: what is in the topic already counts once.") -> PortalPulseError:
    """The error of a run that did not deliver all of its messages to the topic."""
    if sent.topic_replaced:
        return PortalPulseError(f"{sent.problem[:1].upper()}{sent.problem[1:]}.")
    reason = sent.problem or ("it was stopped first" if sent.interrupted else "no answer came in time")
    return PortalPulseError(f"{sent.failed:,} of {sent.sent:,} messages were not delivered: {reason}.", remedy=remedy)


def require_report_place(report: Path | None, *, sources: Sequence[str] = (), state: Path | None = None) -> None:
    """Check the file of --report before anything is sent.

    Raises:
        ConfigurationError: the report would replace a replayed file or the file of --state, or cannot be written.
    """
    if report is None:
        return
    remedy = "Give --report another file."
    if any(_same_file(report, Path(source)) for source in sources):
        raise ConfigurationError(f"{report} is replayed; the report would replace it.", remedy=remedy)
    if state is not None and _same_file(report, state):
        raise ConfigurationError(f"{report} is the file of --state; the report would replace it.", remedy=remedy)
    require_place(report, option="--report")


def require_place(path: Path | None, *, option: str) -> None:
    """Check that a file can be written, before anything is sent. None: no file is written, and the check passes.

    Raises:
        ConfigurationError: the file cannot be written.
    """
    if path is None:
        return
    try:
        reason = _obstacle(path)
    except OSError as error:  # a loop of links, a name that is too long, a file in place of a folder
        reason = error.strerror or str(error)
    if reason:
        raise ConfigurationError(f"{path} cannot be written: {reason}.", remedy=f"Give {option} another file.")


def require_places(places: Mapping[str, Path | None]) -> None:
    """Check that the file of each option can be written, and that no two options name one file.

    Raises:
        ConfigurationError: a file cannot be written, or is named twice.
    """
    for option, path in places.items():
        require_place(path, option=option)
    require_different_files(places)


def require_different_files(places: Mapping[str, Path | None]) -> None:
    """Check that no two options name one file. A device or a pipe may be named twice.

    Args:
        places: option -> the file that it names; None: none.

    Raises:
        ConfigurationError: two options name one file.
    """
    named = [(option, path) for option, path in places.items() if path is not None]
    for (first, path), (second, other) in itertools.combinations(named, 2):
        if _same_file(path, other) and is_replaceable(path):
            raise ConfigurationError(
                f"{first} and {second} name one file, {path}: one would replace the other.", remedy="Give each a file of its own."
            )


def _obstacle(path: Path) -> str:
    """Why ``whole_file`` could not write a file; empty when it could.

    Raises:
        OSError: the path cannot be looked at.
    """
    target = Path(os.path.realpath(path))  # of a link, what it points to
    if path.is_dir():
        return "it is a folder"
    if not is_replaceable(path):
        return "there is no such device" if not path.exists() else "" if os.access(path, os.W_OK) else "no right to write"
    if not target.parent.is_dir():
        return f"there is no folder {target.parent if path.is_symlink() else path.parent}"
    places = (target.parent, target) if target.exists() else (target.parent,)
    return "" if all(os.access(place, os.W_OK) for place in places) else "no right to write"


def _same_file(first: Path, second: Path) -> bool:
    try:
        return first.samefile(second)
    except OSError:  # one of them does not exist
        return os.path.realpath(first) == os.path.realpath(second)  # unlike resolve(), also of a loop of links
