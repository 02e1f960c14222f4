"""Keeps the position of a replay in a file: every message before ``position`` is acknowledged, however the run ended.

A replay that resumes there sends again the messages that were in flight; the pipeline counts them once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Final

import msgspec

from domain.errors import ConfigurationError
from pipeline.bounded_files import MIB, bounded_content
from pipeline.whole_files import is_replaceable, write_whole

#: How often the file is written (seconds).
_EVERY: Final = 1.0
_Place = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
#: Size of a file (bytes) and the digest of its content.
Content = tuple[_Place, str]
_Partition = Annotated[str, msgspec.Meta(pattern="^[0-9]{1,9}$")]


@dataclass(frozen=True, slots=True)
class State:
    """A replay and its position. ``plan`` names source, loops and times: positions of another plan mean other messages."""

    plan: str
    position: _Place = 0
    rebase: int | None = None  # start of the replay that dates its events with now (epoch ms)
    ranges: dict[_Partition, tuple[_Place, _Place]] | None = None
    finished: bool = False
    contents: tuple[Content, ...] | None = None  # of the files; another content has other messages at the same positions
    topic_id: str = ""  # of the topic that is read; another topic of its name has other messages at the same offsets
    target_id: str = ""  # of the topic that is sent to; another topic of its name lacks what was sent


class Checkpoint:
    """Writes the state atomically, once a second at most."""

    def __init__(self, path: Path, state: State, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._path, self._state, self._monotonic = path, state, monotonic
        self._written = float("-inf")

    def begin(self) -> None:
        """Write the first state, before a message is sent.

        Raises:
            ConfigurationError: the file cannot be written, or is not a state.
        """
        _require_place(self._path)
        self._write()

    def reached(self, position: int) -> None:
        """Note that every message before ``position`` is acknowledged."""
        if position > self._state.position:
            self._state = replace(self._state, position=position)
            if self._monotonic() - self._written >= _EVERY:
                self._write()

    def close(self, *, finished: bool) -> None:
        """Write the last state."""
        self._state = replace(self._state, finished=finished)
        self._write()

    def _write(self) -> None:
        try:
            write_whole(self._path, msgspec.json.encode(asdict(self._state)) + b"\n")
        except OSError as error:
            raise ConfigurationError(
                f"{self._path} cannot be written: {error.strerror}.", remedy="Give --state another file."
            ) from error
        self._written = self._monotonic()


def _require_place(path: Path) -> None:
    """Check that the path may be overwritten by a state.

    Raises:
        ConfigurationError: the path is a device, a folder, a recording or another file that is not a state.
    """
    try:
        if not is_replaceable(path):
            raise ConfigurationError(f"{path} is not a file.", remedy="Give --state another file.")
        if path.exists() and path.stat().st_size:
            read_state(path)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}.", remedy="Give --state another file.") from error


def read_state(path: Path) -> State:
    """Read the state of a replay from a file.

    Raises:
        ConfigurationError: there is no file, or it is not a state.
    """
    try:
        return msgspec.json.decode(bounded_content(path, maximum=16 * MIB), type=State)
    except FileNotFoundError:
        raise ConfigurationError(f"There is no {path} to resume from.", remedy="Omit --resume to start a replay.") from None
    except (OSError, msgspec.DecodeError, ValueError) as error:  # ValueError: bytes that are not UTF-8
        raise ConfigurationError(
            f"{path} is not a state of a replay: {error}.", remedy="Give --state another file, or delete it."
        ) from error


def resumed(path: Path, *, plan: str) -> State:
    """The state from which the replay ``plan`` resumes.

    Raises:
        ConfigurationError: the state belongs to another plan, or its replay is finished.
    """
    state = read_state(path)
    if state.plan != plan:
        raise ConfigurationError(
            f"{path} belongs to another replay ({state.plan}).",
            remedy="Resume with the same source, --topic, --times, --speed or --rate and --time, or start without --resume.",
        )
    if state.finished:
        raise ConfigurationError(f"The replay of {path} is finished.", remedy="Omit --resume to start it again.")
    return state
