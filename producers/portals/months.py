"""Scenarios of one month with every agency in force in it, in any volume. Their figures are invented."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import numpy as np

from domain.agencies import BLOCKS, Agency, AgencyRegistry
from domain.periods import Period
from domain.rounding import Rounding
from producers.portals.catalogue import rng_of
from producers.portals.dossier_faults import FaultShares
from producers.portals.scenarios import Scenario, Share, Unit
from producers.portals.simulate import ScenarioStream

#: The scenarios of this kind. February 2025 is the last month of six ministries: their successors of March send it again.
MONTHS: Final[Mapping[str, Period]] = MappingProxyType({"feb-2025": Period(dt.date(2025, 2, 1), dt.date(2025, 2, 28))})
#: Events unless said otherwise.
DEFAULT_EVENTS: Final = 50_000

#: Share of the dossiers that ministries settle, and skew within a block, as in live traffic.
_MINISTRY_SHARE: Final = 0.64
_ZIPF: Final = 1.0
#: Rates of the agencies by block (full online service, of settled).
_RATES: Final = {BLOCKS[0]: (0.30, 0.80), BLOCKS[1]: (0.02, 0.60)}
#: First guess of the messages of a settled dossier. Fewer messages than asked for, or more by this factor, are planned again.
_MESSAGES: Final = 6.6
_SURPLUS: Final = 1.02
_ATTEMPTS: Final = 4


def month_scenario(name: str, *, settled: int, seed: int, registry: AgencyRegistry | None = None) -> Scenario:
    """The scenario of ``MONTHS`` with this name; see ``period_scenario``."""
    return period_scenario(name, MONTHS[name], settled=settled, seed=seed, registry=registry)


def period_scenario(name: str, period: Period, *, settled: int, seed: int, registry: AgencyRegistry | None = None) -> Scenario:
    """A scenario of a period in which all agencies together settle about ``settled`` dossiers.

    Args:
        name: the name of the scenario.
        period: every agency that is expected to report on its first day takes part.
        settled: the number of settled dossiers; each agency settles at least one.
        seed: sizes and rates of the agencies follow from it.
        registry: the registry of the agencies; None: the packaged one.
    """
    registry = registry or AgencyRegistry.packaged()
    agencies = registry.expected(period.start)
    units = []
    for block, share in zip(BLOCKS, (_MINISTRY_SHARE, 1 - _MINISTRY_SHARE), strict=True):
        members = [agency for agency in agencies if agency.block == block]
        rng = rng_of(seed, "month", name, block)
        weights = 1.0 / (rng.permutation(len(members)) + 1.0) ** _ZIPF
        counts = np.maximum(np.round(weights / weights.sum() * share * settled), 1).astype(int)
        rates = rng.uniform(*_RATES[block], size=len(members))
        units += [_unit(agency, int(count), float(rate)) for agency, count, rate in zip(members, counts, rates, strict=True)]
    pooled = {
        scope: sum((unit.settled for unit in units if scope in {unit.block, "nation"}), Share(0, 0))
        for scope in (*BLOCKS, "nation")
    }
    return Scenario(
        name=name,
        title=f"Every agency from {period.start} to {period.end}, invented figures",
        period=period,
        units=tuple(sorted(units, key=lambda unit: unit.code)),
        pooled=pooled,
        zero=frozenset(),
        above_0_below_5=frozenset(),
        from_5_below_10=frozenset(),
        rounding=Rounding.CUT,
        printed={},
    )


def month_stream(
    name: str, *, events: int, seed: int, shares: FaultShares, shuffled: bool = False, registry: AgencyRegistry | None = None
) -> ScenarioStream:
    """The messages of a month: at least ``events``, and not many more unless the smallest possible month has more."""
    settled = round(events / _MESSAGES)
    for attempt in range(_ATTEMPTS):
        scenario = month_scenario(name, settled=settled, seed=seed, registry=registry)
        stream = ScenarioStream(scenario, seed=seed, shares=shares, shuffled=shuffled, registry=registry)
        if events <= stream.total <= events * _SURPLUS or attempt + 1 == _ATTEMPTS:
            break
        corrected = int(settled * events * (1 + (_SURPLUS - 1) / 2) / stream.total)
        if corrected < len(scenario.units):
            break
        settled = corrected
    return stream


def day_stream(
    day: dt.date, *, events: int, seed: int, shares: FaultShares, registry: AgencyRegistry | None = None
) -> ScenarioStream:
    """About ``events`` messages of whole dossiers of the agencies of one day, for traffic that is dated again when it is sent.

    Dossiers are interleaved, each in the order of its steps. No message is delivered twice or sent again by a successor.
    """
    settled = max(1, round(events / _MESSAGES))
    scenario = period_scenario("load", Period(day, day), settled=settled, seed=seed, registry=registry)
    return ScenarioStream(scenario, seed=seed, shares=shares.without_copies(), interleaved=True, registry=registry)


def _unit(agency: Agency, count: int, rate: float) -> Unit:
    return Unit(agency.code, agency.name_vi, agency.block, Share(round(count * rate), count))
