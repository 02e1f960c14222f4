"""Finds units whose portals were interrupted: days without an event on which most other units have some."""

from __future__ import annotations

import datetime as dt
import itertools
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Final

#: So many busy days in a row without an event are an interruption.
MIN_DAYS: Final = 3


def interruptions(
    days: Mapping[str, Collection[dt.date]], *, expected: int, min_days: int = MIN_DAYS
) -> dict[str, list[tuple[dt.date, dt.date]]]:
    """The spans of busy days on which a unit has no event; only units that have one on another day.

    A day is busy when at least half of the expected units have an event. So weekends and holidays interrupt nobody.

    Args:
        days: unit -> the civil days on which it has an event.
        expected: how many units are expected to report.
        min_days: shortest span, in busy days.

    Returns:
        unit -> first and last day of each span, in order; only units that have one.
    """
    active = Counter(itertools.chain.from_iterable(set(found) for found in days.values()))
    busy = sorted(day for day, units in active.items() if 2 * units >= expected)
    interrupted: dict[str, list[tuple[dt.date, dt.date]]] = {}
    for unit, found in sorted(days.items()):
        own = set(found)
        for has_events, span in itertools.groupby(busy, key=own.__contains__):
            without = list(span)
            if own and not has_events and len(without) >= min_days:
                interrupted.setdefault(unit, []).append((without[0], without[-1]))
    return interrupted
