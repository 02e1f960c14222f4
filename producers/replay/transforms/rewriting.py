"""Gives a recorded event another id or another time and leaves every other byte of its message as it is."""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from typing import Any, Final

import msgspec

from domain.periods import VIETNAM

_ID: Final = re.compile(rb'"event_id"\s*:\s*"([^"\\]*)"')
_TIME: Final = re.compile(rb'"occurred_at"\s*:\s*"([^"\\]*)"')


class _Fields(msgspec.Struct):
    event_id: str
    occurred_at: str = ""


_DECODER: Final = msgspec.json.Decoder(_Fields)


def derived_id(event_id: str, label: str) -> str:
    """The id of the same event under ``label``, a UUID of version 8: always the same for the same two texts."""
    text = hashlib.blake2b(f"{label}\0{event_id.lower()}".encode(), digest_size=16).hexdigest()
    return f"{text[:8]}-{text[8:12]}-8{text[13:16]}-a{text[17:20]}-{text[20:]}"


def rewritten(value: bytes, *, label: str | None = None, at: int | None = None) -> bytes:
    """The message with its id derived under ``label`` and its time set to ``at`` (epoch milliseconds); None leaves it.

    A message that is no event comes back as it is: judging it is the worker's business.
    """
    try:
        fields = _DECODER.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return value
    changes = {}
    if label is not None:
        changes[_ID] = ("event_id", fields.event_id, derived_id(fields.event_id, label))
    if at is not None:
        changes[_TIME] = ("occurred_at", fields.occurred_at, local_text(at))
    for pattern, (name, before, after) in changes.items():
        found = pattern.findall(value)
        if found == [before.encode("utf-8")]:
            start, end = pattern.search(value).span(1)  # type: ignore[union-attr]  # findall has just found it
            value = value[:start] + after.encode("ascii") + value[end:]
        else:  # escaped, nested or said twice: only a JSON library can tell
            whole: dict[str, Any] = msgspec.json.decode(value)
            whole[name] = after
            value = msgspec.json.encode(whole)
    return value


def local_text(milliseconds: int) -> str:
    """An instant as events carry it: Vietnamese time with milliseconds and offset."""
    seconds, rest = divmod(milliseconds, 1000)
    return f"{dt.datetime.fromtimestamp(seconds, VIETNAM):%Y-%m-%dT%H:%M:%S}.{rest:03d}+07:00"
