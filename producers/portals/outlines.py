"""Draws the outlines of an agency's dossiers: settled ones, those that end otherwise, and those that are still open."""

from __future__ import annotations

from typing import Final

import numpy as np

from domain.events import Channel, Status
from producers.portals.dossier_plan import FULL, INFORMATION, PARTIAL, RETURN_COUNTER, RETURN_ONLINE, RETURN_POST
from producers.portals.outline import Outline
from producers.portals.scenarios import Share
from producers.portals.schedule import DAY_MS, HOUR_MS, durations, return_gaps, submissions

#: What settled dossiers that are not full online service look like: (channel, level, returned by) -> share.
_OTHERS: Final = (
    ((Channel.ONLINE, FULL, RETURN_COUNTER), 0.10),
    ((Channel.ONLINE, PARTIAL, RETURN_COUNTER), 0.18),
    ((Channel.ONLINE, PARTIAL, RETURN_POST), 0.07),
    ((Channel.ONLINE, PARTIAL, RETURN_ONLINE), 0.05),
    ((Channel.IN_PERSON, FULL, RETURN_COUNTER), 0.15),
    ((Channel.IN_PERSON, PARTIAL, RETURN_COUNTER), 0.22),
    ((Channel.IN_PERSON, INFORMATION, RETURN_COUNTER), 0.13),
    ((Channel.POST, FULL, RETURN_POST), 0.03),
    ((Channel.POST, PARTIAL, RETURN_POST), 0.05),
    ((Channel.POST, INFORMATION, RETURN_POST), 0.02),
)
#: Between receipt and end: one or two steps of processing, sometimes with a pause for papers or payment.
MIDDLES: Final = np.array([(4, 0, 0), (4, 4, 0), (4, 5, 4), (4, 6, 4)], dtype=np.int8)
MIDDLE_SHARES: Final = (0.58, 0.26, 0.09, 0.07)
#: Other ends of dossiers, and their share of the settled ones.
_OTHER_ENDS: Final = np.array([Status.REFUSED, Status.WITHDRAWN, Status.STOPPED], dtype=np.int8)
_OTHER_END_SHARES: Final = (0.5, 0.3, 0.2)
_OPEN_DAYS: Final = 20
#: The newest event of a portal: between these limits before the end of the period (ms), mostly a few minutes.
_LAST_EVENT_MS: Final = (2_000, 12 * HOUR_MS)


def settled_dossiers(rng: np.random.Generator, settled: np.ndarray, goal: Share) -> Outline:
    """Dossiers that are settled at the given sorted instants, ``goal.numerator`` of them in full online service."""
    count = len(settled)
    full = _evenly_spread(rng, goal.numerator, count)
    others = [(kind, share) for kind, share in _OTHERS if goal.numerator or kind[1] != FULL]
    shares = np.array([share for _, share in others])
    kinds = np.array([kind for kind, _ in others], dtype=np.int8)
    chosen = kinds[rng.choice(len(others), size=count, p=shares / shares.sum())]
    chosen[full] = (Channel.ONLINE, FULL, RETURN_ONLINE)
    by_post = full & (rng.random(count) < 0.3)
    chosen[by_post, 2] = RETURN_POST
    channel, level, returned = chosen.T
    submitted = submissions(rng, settled, online=channel == Channel.ONLINE)
    return Outline(
        submitted=submitted,
        ended=settled,
        channel=channel,
        level=level,
        returned=returned,
        received=np.ones(count, dtype=bool),
        middle=MIDDLES[rng.choice(len(MIDDLES), size=count, p=MIDDLE_SHARES)],
        end=np.full(count, Status.SETTLED, dtype=np.int8),
        returned_at=settled + return_gaps(rng, count),
        full=full,
    )


def _evenly_spread(rng: np.random.Generator, chosen: int, count: int) -> np.ndarray:
    """A random mask with exactly ``chosen`` of ``count`` elements set, spread evenly.

    The spread is even so that the daily rate of an agency stays close to the rate of the whole period, as in reality: an alert
    rule for one day must not fire by chance.
    """
    mask = np.zeros(count, dtype=bool)
    if chosen:
        mask[((np.arange(chosen) + rng.random()) * count / chosen).astype(np.int64) % count] = True
    return mask[np.argsort(np.arange(count) + rng.random(count) * 16, kind="stable")]


def dossiers_ended_otherwise(rng: np.random.Generator, ended: np.ndarray) -> Outline:
    """Dossiers that are refused, withdrawn or stopped at the given instants; they never reach status 9."""
    count = len(ended)
    end = _OTHER_ENDS[rng.choice(len(_OTHER_ENDS), size=count, p=_OTHER_END_SHARES)]
    refused = end == Status.REFUSED
    # Only online dossiers can be refused before they are received (1 -> 3).
    channel = np.where(refused, Channel.ONLINE, rng.choice([1, 2, 3], size=count, p=[0.5, 0.42, 0.08])).astype(np.int8)
    middle = np.zeros((count, 3), dtype=np.int8)
    middle[:, 0] = np.where(~refused & ((end == Status.STOPPED) | (rng.random(count) < 0.5)), Status.PROCESSING, 0)
    return Outline(
        submitted=submissions(rng, ended, online=channel == Channel.ONLINE),
        ended=ended,
        channel=channel,
        level=_any_level(rng, channel),
        returned=np.zeros(count, dtype=np.int8),
        received=~refused,
        middle=middle,
        end=end,
        returned_at=ended + return_gaps(rng, count),
        full=np.zeros(count, dtype=bool),
    )


def open_dossiers(rng: np.random.Generator, end: int, count: int) -> Outline:
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
    ended = submitted + durations(rng, count)
    return Outline(
        submitted=submitted,
        ended=ended,
        channel=channel,
        level=_any_level(rng, channel),
        returned=np.zeros(count, dtype=np.int8),
        received=(stage > 0) | (channel != Channel.ONLINE),
        middle=middle,
        end=np.zeros(count, dtype=np.int8),
        returned_at=ended,
        full=np.zeros(count, dtype=bool),
    )


def _any_level(rng: np.random.Generator, channel: np.ndarray) -> np.ndarray:
    """Random levels; information-only services do not exist online."""
    drawn = rng.choice((FULL, PARTIAL, INFORMATION), size=len(channel), p=[0.4, 0.45, 0.15])
    drawn[(channel == Channel.ONLINE) & (drawn == INFORMATION)] = PARTIAL
    return drawn.astype(np.int8)
