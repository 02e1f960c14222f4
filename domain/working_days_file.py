"""Reads from CSV the working days and days off that a decree exchanges. A fault is one sentence that names file and line."""

from __future__ import annotations

import csv
import datetime as dt
import io
from typing import Final

from domain.errors import ConfigurationError
from domain.periods import parse_day
from domain.working_days import WorkingDays

COLUMNS: Final = ("day", "kind")
#: Kinds of days: a working day although it is a weekend or holiday; a day off.
WORKING, OFF = "working", "off"
_REMEDY: Final = f"Write a first line day,kind and then lines such as 2026-01-10,{WORKING} or 2026-01-02,{OFF}."


def read_working_days(content: bytes, *, name: str) -> WorkingDays:
    """Read exchanged days from CSV in UTF-8 with the columns ``day`` (2026-01-10) and ``kind`` (working or off).

    Args:
        content: the bytes of the file.
        name: the name of the file in errors.

    Raises:
        ConfigurationError: the content has another form, or names a day twice.
    """
    try:
        lines = list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConfigurationError(f"{name} is not CSV in UTF-8.", remedy=_REMEDY) from error
    if not lines or tuple(map(str.strip, lines[0])) != COLUMNS:
        raise ConfigurationError(f"{name}, line 1 does not name the columns day and kind.", remedy=_REMEDY)
    found: dict[dt.date, str] = {}
    for number, fields in enumerate(lines[1:], 2):
        if not any(map(str.strip, fields)):
            continue
        try:
            text, kind = map(str.strip, fields)
            day = parse_day(text)
        except ValueError as error:
            raise ConfigurationError(
                f"{name}, line {number}: {','.join(fields)[:40]!r} is not a day and a kind.", remedy=_REMEDY
            ) from error
        if kind not in (WORKING, OFF):
            raise ConfigurationError(f"{name}, line {number}: {kind[:40]!r} is not a kind of day.", remedy=_REMEDY)
        if day in found:
            raise ConfigurationError(f"{name}, line {number}: {day} is named twice.", remedy="Remove one of the lines.")
        found[day] = kind
    return WorkingDays(
        working=frozenset(day for day, kind in found.items() if kind == WORKING),
        off=frozenset(day for day, kind in found.items() if kind == OFF),
    )
