"""The indicators I2 to I4 of what agencies offer online, from a service catalogue and the services that had dossiers.

I2a tỷ lệ DVCTT toàn trình:                 procedures offered toàn trình / all procedures
I2b the same, of procedures with dossiers:   ... / procedures with a dossier in the period
I2c the same, of eligible procedures:        ... / procedures that may be offered toàn trình
I3  tỷ lệ TTHC cung cấp DVCTT:               procedures offered một phần or toàn trình / all procedures
I4  tỷ lệ DVCTT có phát sinh hồ sơ:          online services with a dossier submitted online / online services

All of them are about the entries in force on the last day of the period. I4 counts services, so its counts may be summed over
units. I2 and I3 count a procedure code once in each unit, in each block and in the nation, at its highest level there, so their
counts may not be summed.
Source of the rules: docs/catalogue.md.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from domain.agencies import BLOCKS, AgencyRegistry
from domain.catalogue import LEVELS, Catalogue, ServiceKey, level_of
from domain.events import ServiceLevel
from domain.indicators import Ratio

_RANKS: Final = {str(level): rank for rank, level in enumerate(LEVELS)}
_PARTIAL: Final = _RANKS[ServiceLevel.PARTIAL]
_FULL: Final = _RANKS[ServiceLevel.FULL]
#: Which unit of a map an agency of the day belongs to; None: the map does not have it.
UnitMap = Mapping[str, str] | Callable[[str], str | None]


@dataclass(frozen=True, slots=True)
class Supply:
    """The indicators of a unit, a block or the nation. Numerators and denominators count procedures, those of I4 services."""

    i2a: Ratio
    i2b: Ratio
    i2c: Ratio
    i3: Ratio
    i4: Ratio

    def ratio(self, indicator: str) -> Ratio:
        """The numerator and denominator of an indicator, by its code: I2a, I2b, I2c, I3 or I4."""
        found: Ratio = getattr(self, indicator.lower())
        return found


@dataclass(frozen=True, slots=True)
class SupplyFigures:
    """The indicators of every unit with an entry in force, of both blocks, and of the nation."""

    units: Mapping[str, Supply]
    blocks: Mapping[str, Supply]
    nation: Supply


@dataclass(frozen=True, slots=True)
class _Service:
    """A service offered on the day, and whether it had dossiers. ``rank``: position of its level in ``LEVELS``."""

    key: ServiceKey
    block: str
    rank: int
    eligible: bool
    submitted: bool
    submitted_online: bool


def procedures_of(
    catalogue: Catalogue,
    *,
    day: dt.date,
    registry: AgencyRegistry,
    units: UnitMap | None = None,
    submitted: Collection[tuple[str, str]] = (),
    submitted_online: Collection[tuple[str, str]] = (),
) -> SupplyFigures:
    """The indicators I2a, I2b, I2c, I3 and I4 of a period that ends on ``day``.

    Agencies of entries and of dossiers are followed through the successions to ``day``. So a dossier that was submitted to a
    merged agency belongs to the service of the successor, and so does an entry of a merged agency that is in force on ``day``.
    When two merged agencies have the same procedure, it is one service of their successor, at the higher level. An agency for
    which nobody is responsible on ``day`` has no service.


    Args:
        catalogue: the service catalogue, with entries of any agencies and days.
        day: the last civil day of the period.
        registry: the agencies and their successions.
        units: agency in force on ``day`` -> the unit under which figures show it; None: each agency is its own unit.
        submitted: (agency, procedure) of each dossier submitted in the period; the agency is that of the submitted event.
        submitted_online: the same of each dossier submitted online in the period.
    """
    services = _services(
        catalogue, day, registry, _followed(submitted, day, registry), _followed(submitted_online, day, registry)
    )
    unit_of = units if callable(units) else (lambda code: code) if units is None else units.get
    by_unit: dict[str, list[_Service]] = defaultdict(list)
    for service in services:
        unit = unit_of(service.key.agency)
        if unit is not None:
            by_unit[unit].append(service)
    shown = [service for members in by_unit.values() for service in members]
    return SupplyFigures(
        units={unit: _supply(by_unit[unit]) for unit in sorted(by_unit)},
        blocks={block: _supply([service for service in shown if service.block == block]) for block in BLOCKS},
        nation=_supply(shown),
    )


def _followed(keys: Iterable[tuple[str, str]], day: dt.date, registry: AgencyRegistry) -> frozenset[ServiceKey]:
    """The services of (agency, procedure) pairs, each with the agency that is responsible on ``day``."""
    found = ((registry.responsible(agency, day), procedure) for agency, procedure in keys)
    return frozenset(ServiceKey(agency.code, procedure) for agency, procedure in found if agency is not None)


def _services(
    catalogue: Catalogue,
    day: dt.date,
    registry: AgencyRegistry,
    submitted: frozenset[ServiceKey],
    submitted_online: frozenset[ServiceKey],
) -> list[_Service]:
    found: dict[ServiceKey, _Service] = {}
    for entry in catalogue.in_force(day):
        agency = registry.responsible(entry.agency, day)
        if agency is None:
            continue
        key = ServiceKey(agency.code, entry.procedure_code)
        known = found.get(key)
        found[key] = _Service(
            key,
            agency.block,
            max(_RANKS[level_of(entry)], known.rank if known else 0),
            eligible=bool(entry.eligible) or (known is not None and known.eligible),
            submitted=key in submitted,
            submitted_online=key in submitted_online,
        )
    return list(found.values())


def _supply(services: Iterable[_Service]) -> Supply:
    """The indicators of some services together. Each procedure counts once, at its highest level; for I4 each service counts."""
    ranks: dict[str, int] = defaultdict(int)
    with_dossier, eligible, online = set(), set(), []
    for service in services:
        procedure = service.key.procedure_code
        ranks[procedure] = max(ranks[procedure], service.rank)
        if service.submitted:
            with_dossier.add(procedure)
        if service.eligible:
            eligible.add(procedure)
        if service.rank >= _PARTIAL:
            online.append(service)

    def at_least(rank: int, procedures: Collection[str]) -> Ratio:
        return Ratio(sum(ranks[procedure] >= rank for procedure in procedures), len(procedures))

    return Supply(
        i2a=at_least(_FULL, ranks.keys()),
        i2b=at_least(_FULL, with_dossier),
        i2c=at_least(_FULL, eligible),
        i3=at_least(_PARTIAL, ranks.keys()),
        i4=Ratio(sum(service.submitted_online for service in online), len(online)),
    )
