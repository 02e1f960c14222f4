"""Figures with due dates: on time by due day, settled before or after the due day, and formula 2.1 of the 766 index.

Three rules are in official use, and they differ. Provincial bulletins count the dossiers that fell due in a period, other sources
those that were settled in it, and formula 2.1 of the 766 index those that were in hand in it.

Source of the rules: docs/domain.md, "Due dates".
"""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from domain.dossiers import Dossier, due_date, given_back_by
from domain.events import DossierEvent, Status
from domain.periods import Period, civil_day, day_start

#: An event that shows that a dossier was accepted.
_ACCEPTED: Final = frozenset(
    {
        Status.RECEIVED,
        Status.PROCESSING,
        Status.SUPPLEMENT_REQUESTED,
        Status.PAYMENT_REQUESTED,
        Status.SETTLED,
        Status.RETURNED,
    }
)


class DueResult(enum.StrEnum):
    """Whether a dossier was settled by its due day. The value is the name of the count."""

    ON_TIME = "on_time"
    LATE_OR_OVERDUE = "late_or_overdue"


class SettledResult(enum.StrEnum):
    """Whether a dossier was settled before, on or after its due day. The value is the name of the count."""

    BEFORE_DUE = "settled_before_due"
    ON_DUE = "settled_on_due"
    AFTER_DUE = "settled_after_due"
    NO_DUE_DATE = "settled_without_due_date"


class Result766(enum.StrEnum):
    """What a dossier counts as by formula 2.1 of the 766 index. The value is the name of the count."""

    ON_TIME = "on_time_766"
    LATE = "late_766"
    NO_DUE_DATE = "no_due_date_766"  # not in the base


def by_due_day(dossier: Dossier, period: Period, *, today: dt.date) -> DueResult | None:
    """By due day (provincial bulletins): whether a dossier that fell due in the period was settled on or before its due day.

    None: the dossier did not fall due in the period, its due day is not over, or it was given back on or before the due day. It
    counts for the unit of its submitted event, followed through the successions to the last day of the period.

    Args:
        dossier: the dossier.
        period: whole civil days.
        today: only due days before it are over.
    """
    if dossier.due_at is None:
        return None
    due = civil_day(dossier.due_at)
    if not period.start <= due <= period.end or due >= today:
        return None
    if dossier.given_back is not None and civil_day(dossier.given_back.occurred_at) <= due:
        return None
    if dossier.settled is not None and civil_day(dossier.settled.occurred_at) <= due:
        return DueResult.ON_TIME
    return DueResult.LATE_OR_OVERDUE


def of_the_settled(dossier: Dossier, period: Period) -> SettledResult | None:
    """Whether a dossier settled in the period was settled before, on or after its due day; None: it was not settled then.

    It counts for the unit of its settled event.
    """
    if dossier.settled is None:
        return None
    settled = civil_day(dossier.settled.occurred_at)
    if not period.start <= settled <= period.end:
        return None
    if dossier.due_at is None:
        return SettledResult.NO_DUE_DATE
    due = civil_day(dossier.due_at)
    if settled == due:
        return SettledResult.ON_DUE
    return SettledResult.BEFORE_DUE if settled < due else SettledResult.AFTER_DUE


@dataclass(frozen=True, slots=True)
class _End:
    """The time up to which a dossier is measured by formula 2.1, and whether it is late whatever its due date is."""

    at: dt.datetime
    late: bool = False


def by_766(dossier: Dossier, period: Period, *, longest_days: int | None = None) -> Result766 | None:
    """Formula 2.1 of the 766 index: whether a dossier in hand in the period is on time.

    The time that it waited for supplements is subtracted. Only events up to the end of the period are read. The dossier counts
    for the unit of its submitted event, followed through the successions to the last day of the period.

    Args:
        dossier: the dossier.
        period: whole civil days.
        longest_days: longest time of the procedure in the catalogue, in calendar days; only for a dossier without a due date.

    Returns:
        None: the dossier was not in hand in the period, or not accepted by the end of the period.
    """
    period_end = day_start(period.end + dt.timedelta(days=1))
    if not _in_hand(dossier, period):
        return None
    events = _single_requests([event for event in dossier.events if event.occurred_at < period_end])
    if not any(event.status in _ACCEPTED for event in events):
        return None
    last_instant = period_end - dt.timedelta(milliseconds=1)
    end = _end_766(events, last_instant)
    if end.late:
        return Result766.LATE
    worked = end.at - _waited(events, end.at)
    due = due_date(events, dossier.closed)
    if due is not None:
        return Result766.ON_TIME if civil_day(worked) <= civil_day(due) else Result766.LATE
    if longest_days is None:
        return Result766.NO_DUE_DATE
    begin = next((event for event in events if event.status == Status.RECEIVED), events[0]).occurred_at
    return Result766.ON_TIME if worked - begin <= dt.timedelta(days=longest_days) else Result766.LATE


def _in_hand(dossier: Dossier, period: Period) -> bool:
    if civil_day(dossier.submitted.occurred_at) > period.end:
        return False
    return dossier.closed is None or civil_day(dossier.closed.occurred_at) >= period.start


def _single_requests(events: Sequence[DossierEvent]) -> list[DossierEvent]:
    """The events without each 5 that directly follows another 5: of several 5 in succession only the first stays."""
    request = Status.SUPPLEMENT_REQUESTED
    return [event for before, event in pairwise([None, *events]) if event is not None and not _both(before, event, request)]


def _both(before: DossierEvent | None, event: DossierEvent, status: Status) -> bool:
    return before is not None and before.status == event.status == status


def _end_766(events: Sequence[DossierEvent], last_instant: dt.datetime) -> _End:
    for status in (Status.SETTLED, Status.RETURNED):
        found = next((event for event in events if event.status == status), None)
        if found is not None:
            return _End(found.occurred_at)
    given_back = given_back_by(events)
    if given_back is not None:
        return _End(given_back.occurred_at)
    if events[-1].status == Status.SUPPLEMENT_REQUESTED:
        requests = sum(event.status == Status.SUPPLEMENT_REQUESTED for event in events)
        return _End(events[-1].occurred_at, late=requests > 1)
    return _End(last_instant)


def _waited(events: Sequence[DossierEvent], end: dt.datetime) -> dt.timedelta:
    """The time that a dossier waited for supplements: the sum from each 5 to the next event, not beyond ``end``."""
    waited = dt.timedelta(0)
    for event, following in pairwise([*events, None]):
        if event is not None and event.status == Status.SUPPLEMENT_REQUESTED and event.occurred_at < end:
            until = end if following is None else min(following.occurred_at, end)
            waited += until - event.occurred_at
    return waited
