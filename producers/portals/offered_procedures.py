"""A service catalogue in which I2 and I3 come out as a document prints them, around the dossiers of a scenario.

The document states I2b and I3 of the nation, and I2a of some units. Procedures with dossiers are some of those that the
simulated portals send, the most popular ones. The others have no dossiers: ministries have their own, provinces share a list.
Everything that the document does not state is invented.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from domain.agencies import BLOCKS, AgencyRegistry
from domain.catalogue import CatalogueEntry
from domain.errors import ConfigurationError
from domain.events import ServiceLevel
from domain.periods import Period
from producers.portals.catalogue import catalogue_of, rng_of
from producers.portals.documents import Document
from producers.portals.dossier_plan import FULL, INFORMATION, LEVELS, PARTIAL
from producers.portals.scenarios import Share
from producers.portals.schedule import day_number
from producers.portals.simulate import ScenarioStream

#: Procedures of a province that the document does not name, and the share that is offered toàn trình.
_PROVINCE: Final = (1_450, 1_700)
_PROVINCE_FULL: Final = (0.25, 0.70)
#: The same share for the procedures of a ministry that are not for information only.
_MINISTRY_FULL: Final = (0.30, 0.60)
#: Of the procedures that provinces share, one in so many is for information only.
_INFORMATION_EVERY: Final = 20
#: Numbers of procedures that no simulated portal sends: provinces, ministries, and those that are not in force.
_FIRST_PROVINCE, _FIRST_MINISTRY, _FIRST_ENDED = 20_000, 40_000, 90_000
_LEVEL_OF_RANK: Final = (ServiceLevel.INFORMATION, ServiceLevel.PARTIAL, ServiceLevel.FULL)
_INFORMATION_RANK, _PARTIAL_RANK, _FULL_RANK = 0, 1, 2
_DAYS: Final = (1, 60)
_ONE_DAY: Final = dt.timedelta(days=1)


@dataclass(slots=True)
class _Unit:
    """What one unit offers: its procedures with dossiers, and the level rank of every procedure (``rank``)."""

    code: str
    block: str
    size: int | None = None  # of all procedures, and those that are toàn trình; None: free
    full: int | None = None
    used: list[str] = field(default_factory=list)
    ranks: dict[str, int] = field(default_factory=dict)

    def bounds(self) -> tuple[int, int]:
        """How many of the unit's procedures with dossiers must, and how many may, be toàn trình."""
        if self.size is None or self.full is None:
            return 0, len(self.used)
        return max(0, len(self.used) - (self.size - self.full)), min(len(self.used), self.full)

    def room(self) -> bool:
        """Whether the unit may offer one procedure more."""
        return self.size is None or len(self.used) < self.size


def offered_procedures(
    document: Document, stream: ScenarioStream, *, seed: int, registry: AgencyRegistry
) -> Iterator[CatalogueEntry]:
    """The entries of the catalogue for one seed of a scenario.

    Args:
        document: states I2a of units, I2b and I3 of the nation.
        stream: the dossiers of the scenario.
        seed: the seed of the stream.
        registry: the registry of the agencies.

    Raises:
        ConfigurationError: the dossiers have too few procedures, or the stated figures contradict each other.
    """
    plan = _Plan(document, stream, seed=seed)
    plan.fill()
    period = document.periods[0].period
    rng = rng_of(seed, "offered procedures", document.identifier)
    for unit in plan.units.values():
        agency = registry.at(unit.code, period.end)
        assert agency is not None, unit.code
        for number, (procedure, rank) in enumerate(sorted(unit.ranks.items()), 1):
            yield CatalogueEntry(
                unit.code,
                procedure,
                agency.valid_from,
                name=f"Thủ tục mô phỏng {number} ({agency.short_name_vi})",
                service_level=_LEVEL_OF_RANK[rank],
                eligible=rank == _FULL_RANK or bool(rng.random() < 0.5),
                longest_days=int(rng.integers(_DAYS[0], _DAYS[1] + 1)),
            )
        yield from _not_in_force(unit.code, agency.valid_from, period)


def _not_in_force(code: str, first: dt.date, period: Period) -> Iterator[CatalogueEntry]:
    """A procedure that ends on the day before the period's last day, and one that begins on the day after it: neither counts."""
    for number, (begin, end) in enumerate(((first, period.end - _ONE_DAY), (period.end + _ONE_DAY, None))):
        procedure = f"1.{_FIRST_ENDED + number:06d}"
        yield CatalogueEntry(code, procedure, begin, end, name="Thủ tục mô phỏng", service_level=ServiceLevel.FULL)


class _Plan:
    """The procedures of all units, and their levels."""

    def __init__(self, document: Document, stream: ScenarioStream, *, seed: int) -> None:
        self._rng = rng_of(seed, "levels of procedures", document.identifier)
        stated = {fact.code: Share(fact.num, fact.den) for fact in document.facts_of("I2a")}
        nation = {each: fact for each in ("I2b", "I3") for fact in document.facts_of(each) if fact.scope == "nation"}
        self._with_dossiers = Share(nation["I2b"].num, nation["I2b"].den)
        self._online = Share(nation["I3"].num, nation["I3"].den)
        self.units = {unit.code: _Unit(unit.code, unit.block, *(_size(stated.get(unit.code)))) for unit in stream.scenario.units}
        self._dossiers = _dossiers_by_procedure(stream, document.periods[0].period)
        self._natural = _natural_ranks(self.units, self._dossiers, seed)
        self._users: dict[str, list[_Unit]] = {}

    def fill(self) -> None:
        """Choose all procedures of all units and their levels."""
        self._choose_used()
        full = self._choose_full()
        for procedure, users in self._users.items():
            rank = _FULL_RANK if procedure in full else min(self._natural[procedure], _PARTIAL_RANK)
            for unit in users:
                unit.ranks[procedure] = rank
        provinces = [unit for unit in self.units.values() if unit.block == BLOCKS[1]]
        ministries = [unit for unit in self.units.values() if unit.block == BLOCKS[0]]
        shared = self._fill_provinces(provinces)
        information = sum(min(ranks) == max(ranks) == _INFORMATION_RANK for ranks in self._ranks().values())
        self._fill_ministries(
            ministries,
            procedures=self._online.denominator - self._with_dossiers.denominator - shared,
            information=self._online.denominator - self._online.numerator - information,
        )

    def _ranks(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = defaultdict(list)
        for unit in self.units.values():
            for procedure, rank in unit.ranks.items():
                found[procedure].append(rank)
        return found

    def _choose_used(self) -> None:
        """Choose the most popular procedures of all units, as many as the document states to have dossiers."""
        users: dict[str, list[_Unit]] = defaultdict(list)
        total: Counter[str] = Counter()
        for (code, procedure), dossiers in self._dossiers.items():
            users[procedure].append(self.units[code])
            total[procedure] += dossiers
        for procedure, _ in sorted(total.items(), key=lambda each: (-each[1], each[0])):
            if len(self._users) == self._with_dossiers.denominator:
                break
            # A procedure is offered by every unit that has dossiers of it, at one level.
            stated = {unit.full == unit.size for unit in users[procedure] if unit.full in {0, unit.size} and unit.size}
            if len(stated) < 2 and all(unit.room() for unit in users[procedure]):
                self._users[procedure] = users[procedure]
                for unit in users[procedure]:
                    unit.used.append(procedure)
        _require(
            len(self._users) == self._with_dossiers.denominator,
            f"its dossiers have {len(self._users)} procedures, not {self._with_dossiers.denominator}",
        )

    def _choose_full(self) -> set[str]:
        """Choose which procedures with dossiers are toàn trình: each unit gets as many as it must, and no more than it may."""
        bounds = {unit.code: unit.bounds() for unit in self.units.values()}
        full: set[str] = set()
        number: Counter[str] = Counter()

        def take(procedure: str) -> None:
            users = self._users[procedure]
            if procedure not in full and all(number[unit.code] < bounds[unit.code][1] for unit in users):
                full.add(procedure)
                number.update(unit.code for unit in users)

        def by_nature(procedures: Sequence[str]) -> list[str]:
            return sorted(procedures, key=lambda procedure: -self._natural[procedure])

        for unit in sorted(self.units.values(), key=lambda unit: bounds[unit.code][1] - bounds[unit.code][0]):
            for procedure in by_nature(unit.used):
                if number[unit.code] < bounds[unit.code][0]:
                    take(procedure)
        for procedure in by_nature(list(self._users)):
            if len(full) < self._with_dossiers.numerator:
                take(procedure)
        _require(
            len(full) == self._with_dossiers.numerator
            and all(low <= number[code] <= high for code, (low, high) in bounds.items()),
            "the units' I2a and the nation's I2b contradict each other",
        )
        return full

    def _fill_provinces(self, provinces: Sequence[_Unit]) -> int:
        """Add procedures without dossiers from a list that all provinces share; returns the length of the list."""
        rng = self._rng
        longest = 0
        for unit in provinces:
            used_full = _number_of(unit, _FULL_RANK)
            if unit.size is None or unit.full is None:
                unit.size = int(rng.integers(_PROVINCE[0], _PROVINCE[1] + 1))
                unit.full = used_full + round((unit.size - len(unit.used)) * rng.uniform(*_PROVINCE_FULL))
            free, full = unit.size - len(unit.used), unit.full - used_full
            longest = max(longest, free)
            online = [number for number in range(free) if number % _INFORMATION_EVERY]
            _require(full <= len(online), f"{unit.code} cannot offer {unit.full} procedures toàn trình")
            chosen = set(online[:full])
            for number in range(free):
                rank = _FULL_RANK if number in chosen else _PARTIAL_RANK if number % _INFORMATION_EVERY else _INFORMATION_RANK
                unit.ranks[f"2.{_FIRST_PROVINCE + number:06d}"] = rank
        return longest

    def _fill_ministries(self, ministries: Sequence[_Unit], *, procedures: int, information: int) -> None:
        """Add procedures without dossiers to each ministry, in all as many as are missing."""
        rng = self._rng
        stated = [unit for unit in ministries if unit.size is not None]
        free = [unit for unit in ministries if unit.size is None]
        missing = procedures - sum(unit.size - len(unit.used) for unit in stated if unit.size is not None)
        _require(missing >= len(free) and 0 <= information <= missing, "the nation's I3 and the units' I2a contradict each other")
        weights = rng.uniform(0.5, 1.5, size=len(free))
        sizes = rng.multinomial(missing - len(free), weights / weights.sum()) + 1
        lowest = rng.permutation(np.repeat(np.arange(len(free)), sizes))[:information]
        number = _FIRST_MINISTRY
        for place, unit in enumerate(free):
            own, informative = int(sizes[place]), int((lowest == place).sum())
            full = round((own - informative) * rng.uniform(*_MINISTRY_FULL))
            for each in range(own):
                rank = _INFORMATION_RANK if each < informative else _FULL_RANK if each < informative + full else _PARTIAL_RANK
                unit.ranks[f"1.{number + each:06d}"] = rank
            number += own
        for unit in stated:
            assert unit.size is not None
            assert unit.full is not None
            own, full = unit.size - len(unit.used), unit.full - _number_of(unit, _FULL_RANK)
            for each in range(own):
                unit.ranks[f"1.{number + each:06d}"] = _FULL_RANK if each < full else _PARTIAL_RANK
            number += own


def _size(stated: Share | None) -> tuple[int | None, int | None]:
    return (None, None) if stated is None else (stated.denominator, stated.numerator)


def _number_of(unit: _Unit, rank: int) -> int:
    return sum(each == rank for each in unit.ranks.values())


def _dossiers_by_procedure(stream: ScenarioStream, period: Period) -> dict[tuple[str, str], int]:
    """(unit, procedure) -> number of dossiers submitted in the period, by the ledger of the portals."""
    first, last = day_number(period.start), day_number(period.end)
    found: Counter[tuple[str, str]] = Counter()
    for portal, ledger in zip(stream.portals, stream.ledgers, strict=True):
        rows = np.arange(len(portal.plan))
        step = ledger.steps["submitted"]
        day, unit = ledger.days[rows, step], ledger.units[rows, step]
        # What an unrelated agency sends is a dossier of no service: that agency does not offer the procedure.
        own = (first <= day) & (day <= last) & (unit == 0)
        numbers, dossiers = np.unique(portal.plan.procedure[own], return_counts=True)
        for number, count in zip(numbers.tolist(), dossiers.tolist(), strict=True):
            found[portal.agency, portal.procedures[number]] += count
    return found


def _natural_ranks(units: Mapping[str, _Unit], used: Mapping[tuple[str, str], int], seed: int) -> dict[str, int]:
    """For each procedure the highest level that its dossiers have."""
    found: dict[str, int] = {}
    for code in units:
        catalogue = catalogue_of(code, seed=seed)
        for level in (INFORMATION, PARTIAL, FULL):
            indices, _ = catalogue.by_level[ServiceLevel(LEVELS[level])]
            rank = _LEVEL_OF_RANK.index(ServiceLevel(LEVELS[level]))
            for index in indices.tolist():
                procedure = catalogue.codes[index]
                if (code, procedure) in used:
                    found[procedure] = max(found.get(procedure, 0), rank)
    return found


def _require(holds: bool, problem: str) -> None:  # noqa: FBT001 - reads as a sentence
    if not holds:
        raise ConfigurationError(
            f"The catalogue of the scenario cannot be made: {problem}.", remedy="Try another --seed, or a larger --scale."
        )
