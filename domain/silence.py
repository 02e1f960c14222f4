"""How long an agency is usually quiet, from the days on which it sent something.

A small agency sends once a week, a large one every hour: what is silence for one is usual for the other. Weekends and holidays
are not silence, hence working days.
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
    """The longest pause between two days with events, in working days; consecutive working days are a pause of one.

    Args:
        active: numbers of the days with events, ascending, at least one; 0 is the first day that is looked at.
        working: by the number of a day, whether it is a working day; as long as the days that are looked at.

    Only the ``HISTORY_DAYS`` before the newest event are looked at: a silence that goes on does not become usual.
    """
    begin = max(0, active[-1] - HISTORY_DAYS)
    days = [day for day in active if day >= begin]
    if len(days) < _WELL_KNOWN_DAYS:
        days.insert(0, begin)
    return max((sum(working[left + 1 : right + 1]) for left, right in itertools.pairwise(days)), default=0)
