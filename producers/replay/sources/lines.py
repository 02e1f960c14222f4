"""Reads events as lines of JSON, from files, standard input and the running process."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from producers.messages import Kind, Message


class _Line(msgspec.Struct):
    dossier_code: str
    occurred_at: str = ""


_DECODER: Final = msgspec.json.Decoder(_Line)


def read_messages(lines: Iterable[bytes]) -> Iterator[Message]:
    """One message for each line that is not blank. A line that is not an event is sent unchanged, without a key."""
    for raw in lines:
        line = raw.rstrip(b"\r\n")
        if line.strip():
            yield message_of(line)


def message_of(line: bytes) -> Message:
    """One line as a message; the worker dead-letters a line that is not an event."""
    try:
        fields = _DECODER.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Message(None, line, 0, Kind.RAW)
    return Message(fields.dossier_code.encode("utf-8"), line, milliseconds(fields.occurred_at), Kind.RAW)


def milliseconds(text: str) -> int:
    """Epoch milliseconds of a time with an offset; 0 when the text is not such a time."""
    try:
        instant = dt.datetime.fromisoformat(text)
        return int(instant.timestamp() * 1000) if instant.tzinfo is not None else 0
    except (ValueError, OverflowError):
        return 0
