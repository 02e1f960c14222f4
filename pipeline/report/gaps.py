"""Finds interruptions of portals: days on which a unit has no event although most other units have events."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Final

import numpy as np

#: So many busy days in a row without an event are an interruption.
MIN_DAYS: Final = 3


def interruptions(
    active: Mapping[str, np.ndarray], *, first: dt.date, expected: int, min_days: int = MIN_DAYS
) -> dict[str, list[tuple[dt.date, dt.date]]]:
    """The spans of busy days without an event of a unit. Units without any event are omitted.

    A day is busy when at least half of the expected units have an event, so weekends and holidays do not count as interruptions.

    Args:
        active: unit -> for each civil day from ``first`` on whether the unit has an event; bool arrays of the same length.
        first: the first civil day of the arrays.
        expected: how many units are expected to report.
        min_days: shortest span, in busy days.

    Returns:
        Unit -> first and last day of each span, in order. Units without a span are omitted.
    """
    if not active:
        return {}
    busy = np.flatnonzero(2 * np.sum(list(active.values()), axis=0, dtype=np.int64) >= expected)
    found: dict[str, list[tuple[dt.date, dt.date]]] = {}
    for unit in sorted(active):
        # Without events: 1. Where the value changes a span begins or ends.
        changes = np.diff(~active[unit][busy], prepend=False, append=False)
        begins, ends = np.flatnonzero(changes)[::2], np.flatnonzero(changes)[1::2]
        spans = [
            (first + dt.timedelta(days=int(busy[begin])), first + dt.timedelta(days=int(busy[end - 1])))
            for begin, end in zip(begins, ends, strict=True)
            if end - begin >= min_days
        ]
        if spans and active[unit].any():
            found[unit] = spans
    return found
