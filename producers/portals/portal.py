"""One simulated portal: the whole life of every dossier of one agency, from registration to the returned result.

All dossiers are drawn as columns, so that those of all agencies are made in seconds. The columns depend on the seed, the
agency and the shares of faults only. The scenario fixes how many dossiers are settled within the period, and how many of them
online and end to end; faults do not change these numbers. All instants are epoch milliseconds (UTC).
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Final

import numpy as np

from domain.agencies import AgencyRegistry
from domain.errors import ConfigurationError
from domain.periods import Period
from producers.portals.catalogue import Catalogue, catalogue_of, rng_of
from producers.portals.dossier_codes import prefixes_of, sequences_of
from producers.portals.dossier_faults import FaultShares
from producers.portals.dossier_plan import LEVELS, Plan
from producers.portals.dossier_planning import planned
from producers.portals.outline import Outline
from producers.portals.outlines import dossiers_ended_otherwise, open_dossiers, settled_dossiers
from producers.portals.scenarios import Share, Unit
from producers.portals.schedule import DAY_MS, bounds, outside_instants, settlement_instants, working_instants
from producers.portals.succession import Succession

#: Nghị định 42/2022/NĐ-CP named the levels; before, each portal sent their numbers.
_LEVELS_NAMED: Final = dt.date(2022, 8, 15)
_OTHER_END_RATIO: Final = 0.04
_OPEN_RATIO: Final = 0.03
#: Dossiers of a period, and wrong times of their events, begin at most this many days before it.
_LONGEST_DAYS: Final = 45


@dataclass(frozen=True, slots=True)
class Portal:
    """The dossiers of one agency, and how its portal sends them. Arrays have one element for each dossier."""

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
    """All dossiers of ``unit`` around ``period``; those settled within it count to exactly ``unit.settled.times(scale)``.

    The last instants of a portal lie before the end of the day after the period: later steps have not happened yet.
    """
    rng = rng_of(seed, "portal", unit.code)
    catalogue = catalogue_of(unit.code, seed=seed)
    registry = registry or AgencyRegistry.packaged()
    succession = Succession.of(registry, unit.code, period)
    goal = unit.settled.times(scale)
    _, end = bounds(period)
    outlines = [
        settled_dossiers(rng, settlement_instants(rng, period, goal.denominator), goal),
        *(
            settled_dossiers(rng, instants, _outside_goal(goal, len(instants)))
            for instants in outside_instants(rng, period, goal.denominator)
        ),
        dossiers_ended_otherwise(rng, working_instants(rng, period, max(3, round(goal.denominator * _OTHER_END_RATIO)))),
        open_dossiers(rng, end, max(3, round(goal.denominator * _OPEN_RATIO))),
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
    """Draw for each dossier a procedure of its level; popular procedures come more often."""
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
    """The portal of a plan: gives every dossier its code, and draws how the portal sends.

    ``receiving``: the prefixes of the receiving units' dossier codes, and the unit of each dossier; None: both are drawn.
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
    """Two agencies that no succession links with this agency or with each other, and that do not change in the period.

    Raises:
        ConfigurationError: the registry has no two such agencies.
    """
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
            return found[0], found[1]
    raise ConfigurationError(
        f"The registry has too few agencies to simulate {succession.codes[0]}: its portal needs two that no succession links.",
        remedy="Simulate with the packaged registry, or with one of more agencies (PORTALPULSE_REGISTRY_FILE).",
    )


def _outside_goal(goal: Share, count: int) -> Share:
    """About the goal's rate for ``count`` dossiers outside the period, rounded up so that counting them by mistake shows."""
    return Share(-(-goal.numerator * count // max(goal.denominator, 1)), count)
