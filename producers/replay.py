"""Replays a file of events (NDJSON, plain, gzip or zstd) into the topic, at its own speed or faster.

Lines are sent as they are. A line that is no event goes out without a key, for setting it aside is the worker's decision.
"""

from __future__ import annotations

import datetime as dt
import gzip
import io
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final, cast

import msgspec

from pipeline.core.errors import ConfigurationError
from producers.messages import Kind, Message

#: Waits shorter than this are left out (seconds).
_SHORTEST_WAIT: Final = 0.002


class _Line(msgspec.Struct):
    dossier_code: str
    occurred_at: str = ""


_DECODER: Final = msgspec.json.Decoder(_Line)


@contextmanager
def opened(source: str) -> Iterator[BinaryIO]:
    """The lines of a file by its name (``.gz`` and ``.zst`` are unpacked), or of standard input for ``-``.

    Raises:
        ConfigurationError: the file cannot be read.
    """
    try:
        if source == "-":
            yield sys.stdin.buffer
            return
        path = Path(source)
        if path.suffix == ".gz":
            with gzip.open(path) as file:
                yield cast("BinaryIO", file)
        elif path.suffix in {".zst", ".zstd"}:
            import pyarrow as pa  # noqa: PLC0415 - costs a third of a second that other files need not pay

            with io.BufferedReader(pa.input_stream(str(path), compression="zstd")) as file:
                yield cast("BinaryIO", file)
        else:
            with path.open("rb") as file:
                yield file
    except (OSError, EOFError) as error:
        raise ConfigurationError(
            f"{source} cannot be read: {error}.", remedy="Give an NDJSON file (plain, .gz or .zst), or - for standard input."
        ) from error


def read_messages(lines: Iterable[bytes]) -> Iterator[Message]:
    """One message for each line that is not blank."""
    for raw in lines:
        line = raw.rstrip(b"\r\n")
        if not line.strip():
            continue
        try:
            fields = _DECODER.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            yield Message(None, line, 0, Kind.RAW)
        else:
            yield Message(fields.dossier_code.encode("utf-8"), line, _milliseconds(fields.occurred_at), Kind.RAW)


def spaced(
    messages: Iterable[Message],
    *,
    speed: float | None,
    monotonic: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Message]:
    """The messages at their original spacing divided by ``speed``; None: at once.

    Spacing follows the newest time seen so far: a message that is older than its predecessors, or has no time, goes out
    together with them.
    """
    if speed is None:
        yield from messages
        return
    start = monotonic()
    first = 0
    for message in messages:
        if message.occurred_at:
            first = first or message.occurred_at
            wait = start + (message.occurred_at - first) / 1000 / speed - monotonic()
            if wait >= _SHORTEST_WAIT:
                sleep(wait)
        yield message


def _milliseconds(text: str) -> int:
    """Epoch milliseconds of a time with an offset; 0 when it is none."""
    try:
        instant = dt.datetime.fromisoformat(text)
        return int(instant.timestamp() * 1000) if instant.tzinfo is not None else 0
    except (ValueError, OverflowError):
        return 0
