"""One simulated portal: the whole life of every dossier of one agency, from registration to the returned result.

Everything is drawn as columns, so that the dossiers of all agencies are made in seconds. The columns depend on the seed, the
agency and the shares of faults only. The scenario fixes how many dossiers are settled within the period, and how many of them
online and end to end; faults do not change that. All instants are epoch milliseconds (UTC).
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Final

import numpy as np

from domain.agencies import AgencyRegistry
from domain.events import Channel, Status
from domain.periods import Period
from producers.portals.catalogue import Catalogue, catalogue_of, rng_of
from producers.portals.dossier_codes import prefixes_of, sequences_of
from producers.portals.dossier_faults import FaultShares
from producers.portals.dossier_plan import (
    FULL,
    INFORMATION,
    LEVELS,
    PARTIAL,
    RETURN_COUNTER,
    RETURN_ONLINE,
    RETURN_POST,
    Plan,
)
from producers.portals.dossier_planning import planned
from producers.portals.outline import Outline
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
from producers.portals.succession import Succession

#: Nghị định 42/2022/NĐ-CP named the levels; before, each portal sent their numbers.
_LEVELS_NAMED: Final = dt.date(2022, 8, 15)
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
_OTHER_END_RATIO: Final = 0.04
_OPEN_RATIO: Final = 0.03
_OPEN_DAYS: Final = 20
#: Dossiers of a period, and wrong times of their events, begin at most this many days before it.
_LONGEST_DAYS: Final = 45
#: The newest event of a portal: between these limits before the end of the period (ms), mostly a few minutes.
_LAST_EVENT_MS: Final = (2_000, 12 * HOUR_MS)


@dataclass(frozen=True, slots=True)
class Portal:
    """The dossiers of one agency, and how its portal writes them. Arrays have one element for each dossier."""

    agency: str
    succession: Succession
    procedures: tuple[str, ...]
    #: What dossier codes start with, up to the date; and whether that date has four digits for the year.
    prefixes: tuple[str, ...]
    long_codes: bool
    portal_id: str  # "": the portal sends none
    sends_legacy_level: bool
    missing: str  # how an optional field without a value is written: "" (omitted), null or an empty text
    foreign: str  # the unrelated agency of ``plan.foreign_step``
    prefix: np.ndarray  # index into prefixes
    sequence: np.ndarray  # running number of the day and prefix, from 1
    plan: Plan


def build_portal(
    unit: Unit,
    period: Period,
    *,
    seed: int,
    scale: int = 1,
    shares: FaultShares | None = None,
    registry: AgencyRegistry | None = None,
) -> Portal:
    """All dossiers of ``unit`` around ``period``; those settled in it count to ``unit.settled.times(scale)``, exactly.

    The last instants of a portal lie before the end of the day after the period: later steps have not happened yet.
    """
    rng = rng_of(seed, "portal", unit.code)
    catalogue = catalogue_of(unit.code, seed=seed)
    registry = registry or AgencyRegistry.packaged()
    succession = Succession.of(registry, unit.code, period)
    goal = unit.settled.times(scale)
    _, end = bounds(period)
    outlines = [
        _settled(rng, settlement_instants(rng, period, goal.denominator), goal),
        *(
            _settled(rng, instants, _outside_goal(goal, len(instants)))
            for instants in outside_instants(rng, period, goal.denominator)
        ),
        _ended_otherwise(rng, working_instants(rng, period, max(3, round(goal.denominator * _OTHER_END_RATIO)))),
        _open(rng, end, max(3, round(goal.denominator * _OPEN_RATIO))),
    ]
    outline = Outline.joined(outlines)
    plan = planned(
        rng,
        outline,
        shares or FaultShares.regular(),
        horizon=end + DAY_MS - 1_000,
        merged=succession.merged,
        procedure=_procedures(rng, catalogue, outline.level),
    )
    return portal_of(rng, succession, catalogue.codes, plan, registry=registry, period=period)


def _procedures(rng: np.random.Generator, catalogue: Catalogue, level: np.ndarray) -> np.ndarray:
    """A procedure of the level for each dossier, the popular ones more often."""
    procedure = np.zeros(len(level), dtype=np.int16)
    for number, name in enumerate(LEVELS[1:], 1):
        mask = level == number
        procedure[mask] = catalogue.draw(rng, name, int(mask.sum()))
    return procedure


def portal_of(
    rng: np.random.Generator,
    succession: Succession,
    procedures: tuple[str, ...],
    plan: Plan,
    *,
    registry: AgencyRegistry,
    period: Period,
    receiving: tuple[tuple[str, ...], np.ndarray] | None = None,
) -> Portal:
    """Give every dossier its code, and the portal its habits.

    ``receiving``: what the dossier codes of the receiving units begin with, and the unit of each dossier; None: they are drawn.
    """
    agency = succession.codes[0]
    if receiving is None:
        prefixes, long_codes = prefixes_of(rng, agency)
        prefix = np.minimum(rng.geometric(0.45, size=len(plan)) - 1, len(prefixes) - 1).astype(np.int16)
    else:
        (prefixes, prefix), long_codes = receiving, False
    foreign, named = unrelated_agencies(rng, registry, succession, period)
    # Numbers above those of an agency's own receiving units, one for each agency that uses them.
    other = f"{named}.{400 + registry.codes.index(agency)}"
    prefix[plan.other_code] = len(prefixes)
    return Portal(
        agency=agency,
        succession=succession,
        procedures=procedures,
        prefixes=(*prefixes, other),
        long_codes=long_codes,
        portal_id=f"dvc.{agency.lower()}" if rng.random() < 0.6 else "",
        sends_legacy_level=bool(rng.random() < 0.3) or period.end < _LEVELS_NAMED,
        missing=str(rng.choice(("", "null", '""'))),
        foreign=foreign,
        prefix=prefix,
        sequence=sequences_of(prefix, plan.submitted),
        plan=plan,
    )


def unrelated_agencies(
    rng: np.random.Generator, registry: AgencyRegistry, succession: Succession, period: Period
) -> tuple[str, str]:
    """Two agencies that no succession links with this one or with each other, and that stay what they are."""
    related: list[str] = list(succession.codes)
    found: list[str] = []
    later = period.end + dt.timedelta(days=1)
    candidates = [row.code for row in registry.expected(period.start - dt.timedelta(days=_LONGEST_DAYS))]
    for code in rng.permutation(candidates).tolist():
        row = registry.at(code, later)
        if row is None or any(registry.linked(code, other) for other in related):
            continue
        found.append(code)
        related.append(code)
        if len(found) == 2:
            break
    return found[0], found[1]


def _outside_goal(goal: Share, count: int) -> Share:
    """About the goal's rate on ``count`` dossiers, rounded up so that wrongly counting them changes the figure."""
    return Share(-(-goal.numerator * count // max(goal.denominator, 1)), count)


def _settled(rng: np.random.Generator, settled: np.ndarray, goal: Share) -> Outline:
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
    """A mask with exactly ``chosen`` of ``count`` set, at about the same rate everywhere.

    Evenly, so that the daily rate of an agency stays close to the rate of the whole period, as in reality: an alert rule for one
    day must not fire by chance.
    """
    mask = np.zeros(count, dtype=bool)
    if chosen:
        mask[((np.arange(chosen) + rng.random()) * count / chosen).astype(np.int64) % count] = True
    return mask[np.argsort(np.arange(count) + rng.random(count) * 16, kind="stable")]


def _ended_otherwise(rng: np.random.Generator, ended: np.ndarray) -> Outline:
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


def _open(rng: np.random.Generator, end: int, count: int) -> Outline:
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
