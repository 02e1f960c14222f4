"""Turns rows of CSV and Parquet files into the JSON objects that a portal would have sent.

A row with invalid values becomes a message all the same, and the worker dead-letters it with its reason. An empty cell is a
field that was not sent.
"""

from __future__ import annotations

import math
import unicodedata
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

import msgspec

from domain.errors import ConfigurationError
from domain.events import FIELDS
from producers.messages import Message
from producers.replay.sources.formats import REQUIRED
from producers.replay.sources.lines import message_of

#: Fields that are numbers in an event.
_NUMBERS: Final = frozenset({"status", "channel", "legacy_level"})
#: A longer number fits no field; it is sent as text (digits).
_LONGEST_NUMBER: Final = 18
_EXACT: Final = 2**53
#: Letters without a glyph; Unicode calls them letters all the same (fillers of Hangul, as NFKC writes them).
_BLANK_LETTERS: Final = "\u115f\u1160"


def require_columns(found: Sequence[str], name: str, *, how: str = "") -> None:
    """Check the names of the columns.

    Args:
        found: the names.
        name: of the file, for the message.
        how: how the names were read, for the message.

    Raises:
        ConfigurationError: a required column is missing, a column is there twice, or one would be ignored because its name
            only looks like that of a field.
    """
    for column in found:  # first: beside its double a required column would be listed as missing
        if column not in FIELDS and (meant := _MEANT.get(_letters(column))):
            raise ConfigurationError(
                f"{name} has the column {column!a}, which no event has: its values would be ignored.",
                remedy=f"Write it as {meant}, or omit it.",
            )
    if missing := REQUIRED - set(found):
        shown = ", ".join(found[:8]) + (", ..." if len(found) > 8 else "") if found else "none"
        raise ConfigurationError(
            f"{name} has no column {', '.join(sorted(missing))}{how}; its columns are: {shown}.",
            remedy="Columns are named as the fields of the event contract.",
        )
    if twice := sorted(column for column, times in Counter(found).items() if column and times > 1):
        raise ConfigurationError(f"{name} has the column {twice[0]} twice.", remedy="Omit one of them.")


def _letters(column: str) -> str:
    """The letters and digits of a column's name without case, width and invisible characters: equal for names that look alike."""
    plain = unicodedata.normalize("NFKC", column).casefold()
    return "".join(char for char in plain if char.isalnum() and char not in _BLANK_LETTERS)


#: The field that a name of the same letters means.
_MEANT: Final = {_letters(name): name for name in FIELDS}


def message_of_row(row: dict[str, Any]) -> Message:
    """The message that a portal would have sent for a row.

    Raises:
        UnicodeDecodeError, ValueError, TypeError: a value cannot be expressed in JSON.
    """
    fields = {name: _value(name, cell) for name, cell in row.items() if name and not _is_empty(cell)}
    return message_of(msgspec.json.encode(fields, enc_hook=str))


def _is_empty(cell: Any) -> bool:
    return cell is None or cell == "" or (isinstance(cell, float) and math.isnan(cell))


def _value(name: str, cell: Any) -> Any:
    if isinstance(cell, bytes):
        cell = cell.decode("utf-8")
    if name in _NUMBERS:
        if isinstance(cell, str) and len(cell.strip()) <= _LONGEST_NUMBER and cell.isascii() and cell.strip().isdigit():
            return int(cell)
        # Tools without missing integers write 9.0.
        if isinstance(cell, (float, Decimal)) and math.isfinite(cell) and -_EXACT < cell < _EXACT and cell == int(cell):
            return int(cell)
    if isinstance(cell, float) and math.isinf(cell):
        return str(cell)
    return cell if isinstance(cell, int | float | str | list | dict) else str(cell)
