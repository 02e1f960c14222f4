"""Accepted late (tiếp nhận trễ): an online dossier without an answer by the end of the working day after its submission.

Source: Nghị định 118/2025/NĐ-CP, Điều 17-18; docs/domain.md, "Accepted late". The figure exists for registrations from 2025-07-01
on.
"""

from __future__ import annotations

import datetime as dt
from typing import Final

from domain.dossiers import Dossier
from domain.events import Status
from domain.periods import Period, civil_day
from domain.working_days import WorkingDays

#: The first day of registrations to which the decree applies.
FIRST_DAY: Final = dt.date(2025, 7, 1)


def accepted_late(
    dossier: Dossier, period: Period, *, today: dt.date, working_days: WorkingDays, first_day: dt.date = FIRST_DAY
) -> bool | None:
    """Whether a dossier registered online in the period was accepted late. Counts for the unit of its submitted event.

    Late: no event of another status after the submission by the end of the first working day after it. An unanswered dossier
    counts as late from the day after that working day.

    Args:
        dossier: the dossier.
        period: whole civil days.
        today: the civil day of the clock.
        working_days: which days are working days.
        first_day: for a dossier registered before this day the result is None.

    Returns:
        None when the dossier does not count for this figure: it is not online, its first event is not a 1, or it was submitted
            outside the period or before ``first_day``.

    Raises:
        ConfigurationError: the holidays of a year are not known.
    """
    submitted = civil_day(dossier.submitted.occurred_at)
    if not (dossier.online and dossier.submitted.status == Status.REGISTERED):
        return None
    if submitted < first_day or not period.start <= submitted <= period.end:
        return None
    deadline = working_days.next_after(submitted)
    if dossier.first_answer is None:
        return today > deadline
    return civil_day(dossier.first_answer.occurred_at) > deadline
