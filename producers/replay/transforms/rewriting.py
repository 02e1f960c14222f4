"""Gives a recorded event another id or time and leaves every other byte of its message unchanged."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any, Final

import msgspec

from domain.periods import VIETNAM
from producers.portals.event_ids import derived_id

_ID: Final = re.compile(rb'"event_id"\s*:\s*"([^"\\]*)"')
_TIME: Final = re.compile(rb'"occurred_at"\s*:\s*"([^"\\]*)"')


class _Fields(msgspec.Struct):
    event_id: str
    occurred_at: str = ""


_DECODER: Final = msgspec.json.Decoder(_Fields)


def rewritten(value: bytes, *, label: str | None = None, at: int | None = None) -> bytes:
    """The message with its id derived under ``label`` and its time set to ``at`` (epoch milliseconds); None leaves id or time.

    A message that is not an event is returned unchanged: the worker validates messages.
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
        else:  # escaped, nested or there twice: only a JSON library finds it
            whole: dict[str, Any] = msgspec.json.decode(value)
            whole[name] = after
            value = msgspec.json.encode(whole)
    return value


def local_text(milliseconds: int) -> str:
    """The text of an instant as events carry it: Vietnamese time with milliseconds and offset."""
    seconds, rest = divmod(milliseconds, 1000)
    return f"{dt.datetime.fromtimestamp(seconds, VIETNAM):%Y-%m-%dT%H:%M:%S}.{rest:03d}+07:00"
