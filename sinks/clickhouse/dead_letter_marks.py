"""The SQL condition that a dead letter is marked as replayed or dropped."""

from __future__ import annotations

from typing import Literal

from sinks.tables import DEAD_LETTER_IDENTITY, DEAD_LETTER_MARKS


def is_marked(state: Literal["replayed", "dropped"], within: str = "1") -> str:
    """The SQL condition that a dead letter is marked as ``state``.

    A mark without a hash (0) was written before marks had hashes, and holds for every message at its offset.

    Args:
        state: which mark.
        within: a condition that narrows the marks to read.
    """
    marks = f"(SELECT {DEAD_LETTER_IDENTITY} FROM {DEAD_LETTER_MARKS} WHERE state = '{state}' AND {within})"  # noqa: S608 - constants
    return f"(({DEAD_LETTER_IDENTITY}) IN {marks} OR (topic, partition, offset, toUInt64(0)) IN {marks})"
