"""Plans dossiers with their faults: turns the outlines of their lives into a table of steps.

The instant at which a dossier is settled, and whether it is settled toàn trình, belong to the outline. Faults are chosen so that
both stay true: the figures of a scenario come out exactly, whatever the faults.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from domain.events import Channel, Status
from producers.portals.dossier_faults import DossierFault, FaultShares
from producers.portals.dossier_plan import NO_STEP, RETURN_ONLINE, STEPS, Again, Plan, Step, first_step, random_step
from producers.portals.outline import Outline
from producers.portals.schedule import DAY_MS, HOUR_MS, OFFSET_MS

#: Least time between two steps: times that are cut to seconds keep their order.
_GAP_MS: Final = 2_000
_MINUTE_MS: Final = 60_000
#: Steps before the end: they share nine tenths of the time until then. The shortest life is ten minutes.
_BEFORE_END: Final = 9
_UNTIL_END: Final = 0.9
_ENDS: Final = np.array([Status.REFUSED, Status.WITHDRAWN, Status.STOPPED], dtype=np.int8)
_REOPENINGS: Final = np.array([Status.PROCESSING, Status.SUPPLEMENT_REQUESTED, Status.PAYMENT_REQUESTED], dtype=np.int8)
_DUE_HOUR: Final = 17


class _Flags:
    """Which faults each dossier has."""

    def __init__(self, rng: np.random.Generator, shares: FaultShares, count: int) -> None:
        self._rng = rng
        self.count = count
        self._of = {fault: self.coin(shares[fault]) for fault in DossierFault}

    def coin(self, share: float) -> np.ndarray:
        """A random mask of about this share of all dossiers."""
        if share <= 0.0:
            return np.zeros(self.count, dtype=bool)
        found: np.ndarray = self._rng.random(self.count) < share
        return found

    def __getitem__(self, fault: DossierFault) -> np.ndarray:
        return self._of[fault]

    def only(self, fault: DossierFault, where: np.ndarray) -> None:
        """Remove the fault from the dossiers in which it is not possible, those outside ``where``."""
        self._of[fault] = self._of[fault] & where

    def exclude(self, one: DossierFault, *others: DossierFault) -> None:
        """Remove ``others`` from the dossiers that have the fault ``one``: a dossier has the one or the others."""
        both = self._of[one] & np.logical_or.reduce([self._of[other] for other in others])
        keep_one = self.coin(0.5)
        self._of[one] = self._of[one] & ~(both & ~keep_one)
        for other in others:
            self._of[other] = self._of[other] & ~(both & keep_one)


def planned(
    rng: np.random.Generator, outline: Outline, shares: FaultShares, *, horizon: int, merged: bool, procedure: np.ndarray
) -> Plan:
    """The plan of the dossiers of an outline.

    Args:
        rng: every draw comes from this generator.
        outline: the outline of the dossiers.
        shares: the shares of the faults.
        horizon: steps later than this instant (epoch milliseconds) have not happened yet, and are omitted.
        merged: whether the agency ends with the period, and a successor may send its history again.
        procedure: index of the procedure of each dossier.
    """
    count = len(outline.submitted)
    flags = _possible_faults(_Flags(rng, shares, count), outline)
    status = _statuses(rng, flags, outline)
    at = _times(rng, flags, outline)
    status[at > horizon] = 0
    settled = outline.end == Status.SETTLED
    exists = status > 0
    columns = np.arange(STEPS)
    channels, levels, other_channel_step = _attributes(rng, flags, outline, exists)
    several = exists.sum(axis=1) > 1
    none = np.full(count, NO_STEP, dtype=np.int8)

    def step(fault: DossierFault, where: np.ndarray) -> np.ndarray:
        return np.where(flags[fault], random_step(rng, where), none) if flags[fault].any() else none

    extended = flags[DossierFault.EXTENDED]
    due, due_later = _due_dates(rng, flags[DossierFault.DUE_DATE] | extended, outline.submitted)
    started = first_step(exists)
    wrong_by = np.choose(
        rng.integers(0, 3, size=count),
        [rng.integers(_GAP_MS, limit, size=count) for limit in (_MINUTE_MS, 12 * HOUR_MS, 3 * DAY_MS)],
    )
    plan = Plan(
        submitted=outline.submitted,
        channel=outline.channel,
        level=outline.level,
        returned=outline.returned,
        procedure=procedure,
        status=status,
        at=at,
        channels=channels,
        levels=levels,
        returns=_ways_of_return(rng, flags, outline, status),
        no_channel=flags[DossierFault.NO_CHANNEL],
        no_level=flags[DossierFault.NO_LEVEL],
        other_channel_step=other_channel_step,
        foreign_step=step(
            DossierFault.SEVERAL_UNITS, exists & several[:, None] & ~(settled[:, None] & (columns == Step.END)[None, :])
        ),
        other_code=flags[DossierFault.OTHER_UNIT_THAN_CODE],
        wrong_step=step(DossierFault.CORRECTED_TIME, exists),
        wrong_by=wrong_by,
        incomplete_step=step(DossierFault.INCOMPLETE_COPY, exists),
        again=_again(rng, shares, count) * (merged & ~flags[DossierFault.OTHER_UNIT_THAN_CODE]),
        due=due,
        due_later=due_later,
        extended_step=step(DossierFault.EXTENDED, exists & (columns[None, :] > started[:, None])),
        due_once=flags[DossierFault.SENT_ONCE],
        code_form=np.where(flags[DossierFault.FULL_AGENCY_CODE], rng.integers(1, 3, size=count), 0).astype(np.int8),
        by_successor=merged & flags.coin(0.5) & ~flags[DossierFault.OTHER_UNIT_THAN_CODE],
    )
    return plan.chosen(np.flatnonzero(exists.any(axis=1)))


def _possible_faults(flags: _Flags, outline: Outline) -> _Flags:
    """Remove impossible faults: those of settled dossiers from other dossiers, and one of two that contradict each other."""
    settled = outline.end == Status.SETTLED
    for fault in (
        DossierFault.SETTLED_TWICE,
        DossierFault.SETTLED_BY_RETURN,
        DossierFault.REOPENED,
        DossierFault.SETTLED_BEFORE_SUBMITTED,
    ):
        flags.only(fault, settled)
    for fault in (DossierFault.NO_CHANNEL, DossierFault.NO_LEVEL):
        flags.only(fault, ~outline.full)
    flags.exclude(DossierFault.SETTLED_BY_RETURN, DossierFault.SETTLED_TWICE, DossierFault.REOPENED)
    flags.exclude(DossierFault.SETTLED_BEFORE_SUBMITTED, DossierFault.RESUBMITTED, DossierFault.RETURNED_AFTER_REFUSAL)
    flags.exclude(DossierFault.NO_CHANNEL, DossierFault.SEVERAL_CHANNELS)
    # History that is cut to seconds would overtake the event of the unrelated agency, which nobody sends again.
    flags.exclude(DossierFault.SAME_TIME, DossierFault.SEVERAL_UNITS)
    return flags


def _statuses(rng: np.random.Generator, flags: _Flags, outline: Outline) -> np.ndarray:
    """The status of every step; 0: the dossier has no such step."""
    count = flags.count
    online = outline.channel == Channel.ONLINE
    settled, ended = outline.end == Status.SETTLED, np.isin(outline.end, _ENDS)
    resubmitted, returned = flags[DossierFault.RESUBMITTED], flags[DossierFault.RETURNED_AFTER_REFUSAL]
    taken_up = resubmitted | (returned & ~ended)
    by_return, late = flags[DossierFault.SETTLED_BY_RETURN], flags[DossierFault.SETTLED_BEFORE_SUBMITTED]
    status = np.zeros((count, STEPS), dtype=np.int8)

    def put(step: int, where: np.ndarray, value: np.ndarray | int) -> None:
        status[:, step] = np.where(where, value, status[:, step])

    put(Step.REGISTERED, online & ~late, Status.REGISTERED)
    put(Step.RECEIVED, outline.received & ~late, Status.RECEIVED)
    status[:, Step.MIDDLE : Step.MIDDLE + 3] = outline.middle
    put(Step.ENDED_EARLIER, taken_up, rng.choice(_ENDS, size=count, p=(0.6, 0.25, 0.15)))
    put(Step.RETURNED_EARLIER, taken_up & returned, Status.RETURNED)
    again_received = ~online | flags.coin(0.3)
    put(Step.TAKEN_UP, taken_up, np.where(again_received, Status.RECEIVED, Status.REGISTERED))
    put(Step.TAKEN_UP, taken_up & ~resubmitted, Status.PROCESSING)
    put(Step.PROCESSED_AGAIN, taken_up & flags.coin(0.5), Status.PROCESSING)
    put(Step.END, outline.end > 0, np.where(by_return, Status.RETURNED, outline.end))
    put(Step.REGISTERED_LATE, late & online, Status.REGISTERED)
    put(Step.RECEIVED_LATE, late, Status.RECEIVED)
    put(Step.RETURNED, (settled & ~by_return) | (ended & returned & ~taken_up), Status.RETURNED)
    put(Step.REOPENED, flags[DossierFault.REOPENED], rng.choice(_REOPENINGS, size=count))
    put(Step.SETTLED_AGAIN, flags[DossierFault.SETTLED_TWICE], Status.SETTLED)
    put(Step.RETURNED_AGAIN, flags[DossierFault.SETTLED_TWICE] & flags.coin(0.5), Status.RETURNED)
    # First seen late: without 1 and 2, and of half of these dossiers only the present state is known.
    unseen = flags[DossierFault.FIRST_SEEN_LATE]
    state_only = unseen & flags.coin(0.5)
    put(Step.REGISTERED, unseen, 0)
    put(Step.RECEIVED, unseen, 0)
    for middle in range(Step.MIDDLE, Step.MIDDLE + 3):
        put(middle, state_only, 0)
    put(Step.MIDDLE, unseen & ~status.any(axis=1), Status.PROCESSING)
    return status


def _times(rng: np.random.Generator, flags: _Flags, outline: Outline) -> np.ndarray:
    """The instant of every step, ascending from column to column, at least ``_GAP_MS`` apart but for faults."""
    count = flags.count
    online = outline.channel == Channel.ONLINE
    submitted, ended = outline.submitted, outline.ended
    at = np.empty((count, STEPS), dtype=np.int64)
    shares = np.sort(rng.random((count, _BEFORE_END - 1)) * _UNTIL_END, axis=1)
    shares[:, 0] = np.where(online, shares[:, 0], 0.0)
    at[:, Step.REGISTERED] = submitted
    at[:, Step.RECEIVED : Step.END] = submitted[:, None] + (shares * (ended - submitted)[:, None]).astype(np.int64)
    at[:, Step.RECEIVED : Step.END] += (np.arange(_BEFORE_END - 1) + online[:, None]) * _GAP_MS
    at[:, Step.END] = ended

    def after(step: int, longest: int) -> np.ndarray:
        gap = np.exp(rng.uniform(np.log(_GAP_MS), np.log(longest), size=count)).astype(np.int64)
        return at[:, step] + np.maximum(gap, _GAP_MS)

    at[:, Step.REGISTERED_LATE] = after(Step.END, 20 * _MINUTE_MS)
    at[:, Step.RECEIVED_LATE] = after(Step.REGISTERED_LATE, 20 * _MINUTE_MS)
    late = flags[DossierFault.SETTLED_BEFORE_SUBMITTED]
    earliest = np.where(late, at[:, Step.RECEIVED_LATE], ended) + _GAP_MS
    at[:, Step.RETURNED] = np.maximum(outline.returned_at, earliest)
    at[:, Step.REOPENED] = after(Step.RETURNED, 5 * DAY_MS)
    at[:, Step.SETTLED_AGAIN] = after(Step.REOPENED, 5 * DAY_MS)
    at[:, Step.RETURNED_AGAIN] = after(Step.SETTLED_AGAIN, DAY_MS)
    same = flags[DossierFault.SAME_TIME]
    for first, second in ((Step.REGISTERED, Step.RECEIVED), (Step.REGISTERED_LATE, Step.RECEIVED_LATE)):
        at[:, second] = np.where(same, at[:, first], at[:, second])
    return at


def _attributes(
    rng: np.random.Generator, flags: _Flags, outline: Outline, exists: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Channel and level in the message of each step, and the step with another channel."""
    count = flags.count
    columns = np.arange(STEPS)[None, :]
    settled = outline.end == Status.SETTLED
    channels = np.where(exists, outline.channel[:, None], 0).astype(np.int8)
    levels = np.where(exists, outline.level[:, None], 0).astype(np.int8)
    once = np.flatnonzero(flags[DossierFault.SENT_ONCE] & exists.any(axis=1))
    if len(once):
        with_channel = random_step(rng, exists[once])
        channels[once] = 0
        channels[once, with_channel] = outline.channel[once]
        counting = exists[once] & ((columns <= Step.END) | ~settled[once, None])
        with_level = random_step(rng, counting)
        # An earlier event may have another level: the one of the settled event, or the nearest before it, counts.
        earlier = random_step(rng, counting & (columns < with_level[:, None]))
        levels[once] = 0
        has = (earlier != NO_STEP) & (rng.random(len(once)) < 0.5)
        levels[once[has], earlier[has]] = outline.level[once[has]] % 3 + 1
        levels[once, with_level] = outline.level[once]
    channels[flags[DossierFault.NO_CHANNEL]] = 0
    hidden = np.where(flags.coin(0.3), Step.END, STEPS)[:, None]  # a level that comes after the end does not count
    levels[flags[DossierFault.NO_LEVEL][:, None] & ((columns <= hidden) | ~settled[:, None])] = 0
    first = first_step(channels > 0)
    several = np.flatnonzero(flags[DossierFault.SEVERAL_CHANNELS] & (first != NO_STEP))
    other = np.full(count, NO_STEP, dtype=np.int8)
    other[several] = random_step(rng, exists[several] & (columns > first[several, None]))
    several = several[other[several] != NO_STEP]
    channels[several, other[several]] = outline.channel[several] % 3 + 1
    return channels, levels, other


def _ways_of_return(rng: np.random.Generator, flags: _Flags, outline: Outline, status: np.ndarray) -> np.ndarray:
    """The way of return in the message of each step: in every 9 and 10, unless a fault puts it elsewhere."""
    final = status >= Status.SETTLED
    returns = np.where(final, outline.returned[:, None], 0).astype(np.int8)
    elsewhere = np.flatnonzero(flags[DossierFault.RETURN_ELSEWHERE])
    where = rng.integers(0, 3, size=len(elsewhere))
    columns = np.arange(STEPS)[None, :]
    alone = np.where((where == 1) & (status[elsewhere, Step.RETURNED] > 0), Step.RETURNED, Step.END)[:, None]
    rows = returns[elsewhere]
    rows[(where < 2)[:, None] & (columns != alone)] = 0
    wish = (where == 2)[:, None] & (status[elsewhere] > 0) & ~final[elsewhere]
    rows = np.where(wish, rng.integers(RETURN_ONLINE, 4, size=len(elsewhere))[:, None], rows)
    returns[elsewhere] = rows
    return returns


def _due_dates(rng: np.random.Generator, has: np.ndarray, submitted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The due date at the end of a working day, and a later one; -1: none."""
    count = len(submitted)
    midnight = (submitted + OFFSET_MS) // DAY_MS * DAY_MS - OFFSET_MS
    due = midnight + rng.integers(1, 31, size=count) * DAY_MS + _DUE_HOUR * HOUR_MS
    later = due + rng.integers(1, 16, size=count) * DAY_MS
    return np.where(has, due, -1), np.where(has, later, -1)


def _again(rng: np.random.Generator, shares: FaultShares, count: int) -> np.ndarray:
    """How the history of each dossier is sent again, if the agency has a successor."""
    same, new, seconds = (
        shares[fault] for fault in (DossierFault.AGAIN_SAME_IDS, DossierFault.AGAIN_NEW_IDS, DossierFault.AGAIN_SECONDS)
    )
    drawn = rng.random(count)
    cut = np.where(rng.random(count) < 0.5, Again.SAME_IDS_SECONDS, Again.NEW_IDS_SECONDS)
    found = np.where(drawn < same, Again.SAME_IDS, np.where(drawn < same + new, Again.NEW_IDS, cut))
    return np.where(drawn < same + new + seconds, found, Again.NOT).astype(np.int8)
