"""One simulated portal: the whole life of every dossier of one agency, from registration to the returned result.

Everything is drawn as columns, so that the dossiers of all agencies are made in seconds. The columns depend on the seed and the
agency only. The scenario fixes how many dossiers are settled within the period, and how many of them online and end to
end. All instants are epoch milliseconds (UTC).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from domain.events import Channel, ReturnedBy, ServiceLevel, Status
from domain.periods import Period
from producers.portals.catalogue import Catalogue, catalogue_of, rng_of
from producers.portals.dossier_codes import prefixes_of, sequences_of
from producers.portals.scenarios import Share, Unit
from producers.portals.schedule import (
    DAY_MS,
    HOUR_MS,
    bounds,
    durations,
    outside_instants,
    return_gaps,
    settlement_instants,
    submissions,
    working_instants,
)

#: Code lists as the columns index them. Index 0 of RETURNS: not returned yet, or not said.
LEVELS: Final = (ServiceLevel.FULL, ServiceLevel.PARTIAL, ServiceLevel.INFORMATION)
RETURNS: Final = (None, ReturnedBy.ONLINE, ReturnedBy.POST, ReturnedBy.COUNTER)
_FULL, _PARTIAL, _INFORMATION = range(3)
_ONLINE, _POST, _COUNTER = 1, 2, 3

#: What settled dossiers that are not full online service look like: (channel, level, returned by) -> share.
_OTHERS: Final = (
    ((Channel.ONLINE, _FULL, _COUNTER), 0.10),
    ((Channel.ONLINE, _PARTIAL, _COUNTER), 0.18),
    ((Channel.ONLINE, _PARTIAL, _POST), 0.07),
    ((Channel.ONLINE, _PARTIAL, _ONLINE), 0.05),
    ((Channel.IN_PERSON, _FULL, _COUNTER), 0.15),
    ((Channel.IN_PERSON, _PARTIAL, _COUNTER), 0.22),
    ((Channel.IN_PERSON, _INFORMATION, _COUNTER), 0.13),
    ((Channel.POST, _FULL, _POST), 0.03),
    ((Channel.POST, _PARTIAL, _POST), 0.05),
    ((Channel.POST, _INFORMATION, _POST), 0.02),
)
#: Between receipt and end: one or two steps of processing, sometimes with a pause for papers or payment.
_MIDDLES: Final = np.array([(4, 0, 0), (4, 4, 0), (4, 5, 4), (4, 6, 4)], dtype=np.int8)
_MIDDLE_SHARES: Final = (0.58, 0.26, 0.09, 0.07)
#: Other ends of dossiers, and their share of the settled ones.
_OTHER_ENDS: Final = np.array([Status.REFUSED, Status.WITHDRAWN, Status.STOPPED], dtype=np.int8)
_OTHER_END_SHARES: Final = (0.5, 0.3, 0.2)
_OTHER_END_RATIO: Final = 0.04
_OPEN_RATIO: Final = 0.03
_OPEN_DAYS: Final = 20
#: The newest event of a portal: between these limits before the end of the period (ms), mostly a few minutes.
_LAST_EVENT_MS: Final = (2_000, 12 * HOUR_MS)


@dataclass(frozen=True, slots=True)
class Portal:
    """The dossiers of one agency and their steps, as columns of equal length each."""

    agency: str
    procedures: tuple[str, ...]
    #: What dossier codes start with, up to the date; and whether that date has four digits for the year.
    prefixes: tuple[str, ...]
    long_codes: bool
    portal_id: str  # "": the portal sends none
    sends_legacy_level: bool
    # Dossiers.
    prefix: np.ndarray  # index into prefixes
    sequence: np.ndarray  # running number of the day and prefix, from 1
    submitted: np.ndarray
    procedure: np.ndarray  # index into procedures
    channel: np.ndarray
    level: np.ndarray  # index into LEVELS
    returned: np.ndarray  # index into RETURNS; said from status 9 on
    # Steps, grouped by dossier and in the order of each dossier's life.
    dossier: np.ndarray
    ordinal: np.ndarray  # number of the step within its dossier, from 1
    status: np.ndarray
    at: np.ndarray


@dataclass(frozen=True, slots=True)
class _DossierGroup:
    """A group of dossiers before they get codes: attributes, and a table of steps (0: no such step)."""

    submitted: np.ndarray
    channel: np.ndarray
    level: np.ndarray
    returned: np.ndarray
    status: np.ndarray  # (dossiers, 7)
    at: np.ndarray  # (dossiers, 7)


def build_portal(unit: Unit, period: Period, *, seed: int, scale: int = 1) -> Portal:
    """All dossiers of ``unit`` around ``period``; their events count to ``unit.settled.times(scale)``, exactly.

    The last instants of a portal lie before the end of the day after the period: later steps have not happened yet.
    """
    rng = rng_of(seed, "portal", unit.code)
    catalogue = catalogue_of(unit.code, seed=seed)
    goal = unit.settled.times(scale)
    _, end = bounds(period)
    groups = [
        _settled(rng, settlement_instants(rng, period, goal.denominator), goal),
        *(
            _settled(rng, instants, _outside_goal(goal, len(instants)))
            for instants in outside_instants(rng, period, goal.denominator)
        ),
        _ended_otherwise(rng, working_instants(rng, period, max(3, round(goal.denominator * _OTHER_END_RATIO)))),
        _open(rng, end, max(3, round(goal.denominator * _OPEN_RATIO))),
    ]
    return _with_codes(rng, unit.code, catalogue, groups, horizon=end + DAY_MS - 1_000)


def _outside_goal(goal: Share, count: int) -> Share:
    """About the goal's rate on ``count`` dossiers, rounded up so that wrongly counting them changes the figure."""
    return Share(-(-goal.numerator * count // max(goal.denominator, 1)), count)


def _settled(rng: np.random.Generator, settled: np.ndarray, goal: Share) -> _DossierGroup:
    """Dossiers that are settled at the given sorted instants, ``goal.numerator`` of them in full online service."""
    count = len(settled)
    full = _evenly_spread(rng, goal.numerator, count)
    others = [(kind, share) for kind, share in _OTHERS if goal.numerator or kind[1] != _FULL]
    shares = np.array([share for _, share in others])
    kinds = np.array([kind for kind, _ in others], dtype=np.int8)
    chosen = kinds[rng.choice(len(others), size=count, p=shares / shares.sum())]
    chosen[full] = (Channel.ONLINE, _FULL, _ONLINE)
    by_post = full & (rng.random(count) < 0.3)
    chosen[by_post, 2] = _POST
    channel, level, returned = chosen.T
    submitted = submissions(rng, settled, online=channel == Channel.ONLINE)
    gaps = return_gaps(rng, count)
    return _dossier_group(
        rng,
        submitted,
        settled,
        channel=channel,
        level=level,
        returned=returned,
        received=np.ones(count, dtype=bool),
        middle=_MIDDLES[rng.choice(len(_MIDDLES), size=count, p=_MIDDLE_SHARES)],
        end=np.full(count, Status.SETTLED, dtype=np.int8),
        returned_at=settled + gaps,
    )


def _evenly_spread(rng: np.random.Generator, chosen: int, count: int) -> np.ndarray:
    """A mask with exactly ``chosen`` of ``count`` set, at about the same rate everywhere.

    Evenly, so that the daily rate of an agency stays close to the rate of the whole period, as in reality: an alert rule for one
    day must not fire by chance.
    """
    mask = np.zeros(count, dtype=bool)
    if chosen:
        mask[((np.arange(chosen) + rng.random()) * count / chosen).astype(np.int64) % count] = True
    return mask[np.argsort(np.arange(count) + rng.random(count) * 16, kind="stable")]


def _ended_otherwise(rng: np.random.Generator, ended: np.ndarray) -> _DossierGroup:
    """Dossiers that are refused, withdrawn or stopped at the given instants; they never reach status 9."""
    count = len(ended)
    end = _OTHER_ENDS[rng.choice(len(_OTHER_ENDS), size=count, p=_OTHER_END_SHARES)]
    refused = end == Status.REFUSED
    # Only online dossiers can be refused before they are received (1 -> 3).
    channel = np.where(refused, Channel.ONLINE, rng.choice([1, 2, 3], size=count, p=[0.5, 0.42, 0.08])).astype(np.int8)
    middle = np.zeros((count, 3), dtype=np.int8)
    middle[:, 0] = np.where(~refused & ((end == Status.STOPPED) | (rng.random(count) < 0.5)), Status.PROCESSING, 0)
    return _dossier_group(
        rng,
        submissions(rng, ended, online=channel == Channel.ONLINE),
        ended,
        channel=channel,
        level=_any_level(rng, channel),
        returned=np.zeros(count, dtype=np.int8),
        received=~refused,
        middle=middle,
        end=end,
        returned_at=None,
    )


def _open(rng: np.random.Generator, end: int, count: int) -> _DossierGroup:
    """Dossiers of the last weeks that are still registered, received or being processed when the period ends."""
    submitted = end - 1 - (rng.random(count) * _OPEN_DAYS * DAY_MS).astype(np.int64)
    channel = rng.choice(np.array([1, 2, 3], dtype=np.int8), size=count, p=[0.35, 0.57, 0.08])
    nearest, farthest = _LAST_EVENT_MS
    submitted[-1] = end - nearest - int(rng.random() ** 4 * farthest)
    channel[-1] = Channel.ONLINE  # a registration from home, close to midnight
    stage = rng.integers(0, 3, size=count)
    stage[-1] = 0
    middle = np.zeros((count, 3), dtype=np.int8)
    middle[:, 0] = np.where(stage == 2, Status.PROCESSING, 0)
    return _dossier_group(
        rng,
        submitted,
        submitted + durations(rng, count),
        channel=channel,
        level=_any_level(rng, channel),
        returned=np.zeros(count, dtype=np.int8),
        received=(stage > 0) | (channel != Channel.ONLINE),
        middle=middle,
        end=np.zeros(count, dtype=np.int8),
        returned_at=None,
    )


def _any_level(rng: np.random.Generator, channel: np.ndarray) -> np.ndarray:
    """Random levels; information-only services do not exist online."""
    drawn = rng.choice(3, size=len(channel), p=[0.4, 0.45, 0.15])
    drawn[(channel == Channel.ONLINE) & (drawn == _INFORMATION)] = _PARTIAL
    return drawn.astype(np.int8)


def _dossier_group(
    rng: np.random.Generator,
    submitted: np.ndarray,
    ended: np.ndarray,
    *,
    channel: np.ndarray,
    level: np.ndarray,
    returned: np.ndarray,
    received: np.ndarray,
    middle: np.ndarray,
    end: np.ndarray,
    returned_at: np.ndarray | None,
) -> _DossierGroup:
    """The table of steps: registered (online only), received, up to three in between, the end, the result returned."""
    count = len(submitted)
    online = channel == Channel.ONLINE
    status = np.zeros((count, 7), dtype=np.int8)
    status[:, 0] = np.where(online, Status.REGISTERED, 0)
    status[:, 1] = np.where(received, Status.RECEIVED, 0)
    status[:, 2:5] = middle
    status[:, 5] = end
    at = np.empty((count, 7), dtype=np.int64)
    at[:, 0] = submitted
    # The shortest life is ten minutes: 99 % of it leave at least a millisecond between any two steps.
    shares = np.sort(rng.random((count, 4)) * 0.99, axis=1)
    shares[:, 0] = np.where(online, shares[:, 0], 0.0)
    at[:, 1:5] = submitted[:, None] + (shares * (ended - submitted)[:, None]).astype(np.int64)
    at[:, 1:5] += np.arange(4) + online[:, None]
    at[:, 5] = ended
    at[:, 6] = ended
    if returned_at is not None:
        status[:, 6] = Status.RETURNED
        at[:, 6] = returned_at
    return _DossierGroup(submitted, channel, level, returned, status, at)


def _with_codes(
    rng: np.random.Generator, agency: str, catalogue: Catalogue, groups: list[_DossierGroup], *, horizon: int
) -> Portal:
    """Join the groups, give every dossier its code and procedure, and drop steps later than ``horizon``."""
    submitted = np.concatenate([group.submitted for group in groups])
    level = np.concatenate([group.level for group in groups])
    status = np.concatenate([group.status for group in groups])
    at = np.concatenate([group.at for group in groups])
    count = len(submitted)
    procedure = np.zeros(count, dtype=np.int32)
    for number, name in enumerate(LEVELS):
        mask = level == number
        procedure[mask] = catalogue.draw(rng, name, int(mask.sum()))
    prefixes, long_codes = prefixes_of(rng, agency)
    prefix = np.minimum(rng.geometric(0.45, size=count) - 1, len(prefixes) - 1).astype(np.int16)
    happened = (status > 0) & (at <= horizon)
    dossier, column = np.nonzero(happened)
    return Portal(
        agency=agency,
        procedures=catalogue.codes,
        prefixes=prefixes,
        long_codes=long_codes,
        portal_id=f"dvc.{agency.lower()}" if rng.random() < 0.6 else "",
        sends_legacy_level=bool(rng.random() < 0.3),
        prefix=prefix,
        sequence=sequences_of(prefix, submitted),
        submitted=submitted,
        procedure=procedure,
        channel=np.concatenate([group.channel for group in groups]),
        level=level,
        returned=np.concatenate([group.returned for group in groups]),
        dossier=dossier.astype(np.int32),
        ordinal=np.cumsum(happened, axis=1, dtype=np.int8)[happened],
        status=status[happened],
        at=at[dossier, column],
    )
