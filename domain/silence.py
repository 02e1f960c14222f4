"""How many working days an agency usually sends no event, found from the days on which it sent one.

A small agency sends once a week, a large one every hour, so a fixed limit would be wrong for one of them. Days without events on
weekends and holidays are expected, so only working days count.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Final

#: Civil days before the newest event that say what is usual.
HISTORY_DAYS: Final = 70
#: An agency with fewer days with events is a rare sender: the time before the first of them counts as a pause, too.
_WELL_KNOWN_DAYS: Final = 10


def usual_pause(active: Sequence[int], working: Sequence[bool]) -> int:
    """The longest pause between two days with events, in working days; between consecutive working days the pause is 1.

    Args:
        active: numbers of the days with events, ascending, at least one; 0 is the first day of ``working``.
        working: for each day from day 0 on, whether it is a working day.

    Only the ``HISTORY_DAYS`` before the newest event are read: the silence that lasts until now does not become usual.
    """
    begin = max(0, active[-1] - HISTORY_DAYS)
    days = [day for day in active if day >= begin]
    if len(days) < _WELL_KNOWN_DAYS:
        days.insert(0, begin)
    return max((sum(working[left + 1 : right + 1]) for left, right in itertools.pairwise(days)), default=0)
