"""Scenarios of submitted dossiers, from a document that states I4 (online services with online dossiers) and I5.

A document gives the counts of units, of blocks or of the nation. Counts of blocks and the nation are spread over their units;
the document does not tell how, so the spread is invented.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from domain.agencies import BLOCKS, Agency, AgencyRegistry
from domain.catalogue import CatalogueEntry
from domain.periods import Period
from domain.rounding import Rounding
from producers.portals.catalogue import rng_of
from producers.portals.documents import Document, Fact, SubUnit, contradiction, require
from producers.portals.dossier_faults import FaultShares
from producers.portals.portal import Portal
from producers.portals.scenarios import Scenario, Share
from producers.portals.service_stock import ServiceStock, service_stock
from producers.portals.simulate import ScenarioStream
from producers.portals.submission_portal import kept, portal_of_submissions
from producers.portals.submissions import submissions_of_services, submissions_of_units

_NATION: Final = "nation"
#: Skew of the number of services between the units of a block.
_SKEW: Final = 0.3


@dataclass(frozen=True, slots=True)
class ServiceScenario:
    """A checked scenario of submitted dossiers.

    Attributes:
        name, title: of the document.
        periods: in the order of time.
        services: for each agency and period, (services with online dossiers, services that are online on its last day).
        information: services of levels 1 and 2 of each agency.
        sub_units: the dossiers of the only agency by receiving unit; empty: their number is free.
        registry: the registry of the agencies.
    """

    name: str
    title: str
    periods: tuple[Period, ...]
    services: Mapping[str, tuple[Share, ...]]
    information: int
    sub_units: tuple[SubUnit, ...]
    registry: AgencyRegistry

    @property
    def span(self) -> Period:
        """The period from the first day of the first to the last day of the last period."""
        return Period(self.periods[0].start, self.periods[-1].end)

    def catalogue(self, *, seed: int) -> Iterator[CatalogueEntry]:
        """Every entry of the service catalogue."""
        for code in self.services:
            yield from self._stock(code, seed).entries

    def stream(self, *, seed: int, shares: FaultShares | None = None, shuffled: bool = False) -> ScenarioStream:
        """The messages of the scenario. Same seed and shares, same bytes."""
        chosen = kept(shares or FaultShares.regular())
        portals = [self._portal(code, seed, chosen) for code in self.services]
        scenario = Scenario(
            name=self.name,
            title=self.title,
            period=self.span,
            units=(),
            pooled={},
            zero=frozenset(),
            above_0_below_5=frozenset(),
            from_5_below_10=frozenset(),
            rounding=Rounding.CUT,
            printed={},
        )
        return ScenarioStream(scenario, seed=seed, shares=chosen, shuffled=shuffled, registry=self.registry, portals=portals)

    def _stock(self, code: str, seed: int) -> ServiceStock:
        agency = self.registry.at(code, self.span.end)
        assert agency is not None, code
        online = [share.denominator for share in self.services[code]]
        rng = rng_of(seed, "services", self.name, code)
        return service_stock(rng, agency, self.periods, online, information=self.information)

    def _portal(self, code: str, seed: int, shares: FaultShares) -> Portal:
        stock = self._stock(code, seed)
        rng = rng_of(seed, "submissions", self.name, code)
        goals = [share.numerator for share in self.services[code]]
        if self.sub_units:
            submissions = submissions_of_units(rng, stock, self.periods[0], goals[0], self.sub_units)
        else:
            submissions = submissions_of_services(rng, stock, self.periods, goals)
        receiving = tuple(unit.code for unit in self.sub_units)
        return portal_of_submissions(
            rng, stock, submissions, self.span, shares=shares, registry=self.registry, receiving=receiving
        )


def service_scenario_of(document: Document, *, name: str, registry: AgencyRegistry) -> ServiceScenario:
    """The scenario of a document; how counts are spread over units depends on ``name`` only.

    Raises:
        ConfigurationError: the document states no figures of I4, or they contradict each other or the registry.
    """
    try:
        return _scenario(document, name, registry)
    except ValueError as error:
        raise contradiction(name, error) from error


def _scenario(document: Document, name: str, registry: AgencyRegistry) -> ServiceScenario:
    periods = tuple(each.period for each in document.periods)
    follow = all(earlier.end < later.start for earlier, later in itertools.pairwise(periods))
    require(follow, "the periods are not in the order of time")
    stated = _stated(document)
    agencies = registry.expected(periods[-1].end)
    for block in document.blocks:
        present = sum(agency.block == block.block for agency in agencies)
        require(block.units in {None, present}, f"{present} units in the block {block.block}, not {block.units}")
    services: dict[str, tuple[Share, ...]] = {}
    for key, shares in stated.items():
        if key in {*BLOCKS, _NATION}:
            members = [agency for agency in agencies if key in {agency.block, _NATION}]
            services |= _spread(name, members, shares)
        else:
            require(registry.at(key, periods[-1].end) is not None, f"{key} is not in force on {periods[-1].end}")
            services[key] = shares
    if document.subunits:
        _check_sub_units(document, services)
    return ServiceScenario(
        name=name,
        title=document.title,
        periods=periods,
        services=services,
        information=document.level_1_2 or 0,
        sub_units=document.subunits,
        registry=registry,
    )


def _stated(document: Document) -> dict[str, tuple[Share, ...]]:
    """Unit, block or nation -> the stated counts of each period; the nation only where blocks are not stated."""
    found: dict[str, dict[str, Share]] = {}
    for fact in document.facts_of("I4"):
        found.setdefault(fact.code or fact.scope, {})[fact.period] = _share(fact)
    require(bool(found), "it states no figures of I4")
    for key, shares in found.items():
        require(len(shares) == len(document.periods), f"I4 {key}: {len(shares)} figures for {len(document.periods)} periods")
    stated = {key: tuple(shares[each.id] for each in document.periods) for key, shares in found.items()}
    blocks = [stated[block] for block in BLOCKS if block in stated]
    if blocks and (nation := stated.pop(_NATION, None)) is not None:
        for number, whole in enumerate(nation):
            total = sum((block[number] for block in blocks), Share(0, 0))
            require(total == whole, f"nation: the blocks add up to {total.numerator} of {total.denominator}")
    return stated


def _check_sub_units(document: Document, services: Mapping[str, tuple[Share, ...]]) -> None:
    require(len(services) == 1 and len(document.periods) == 1, "sub-units belong to one agency and one period")
    (submitted,) = (_share(fact) for fact in document.facts_of("I5"))
    total = sum((Share(unit.online_l3 + unit.online_l4, unit.total) for unit in document.subunits), Share(0, 0))
    require(total == submitted, f"I5: the sub-units add up to {total.numerator} of {total.denominator}")


def _share(fact: Fact) -> Share:
    return Share(fact.num, fact.den)


def _spread(name: str, agencies: Sequence[Agency], totals: Sequence[Share]) -> dict[str, tuple[Share, ...]]:
    """Spread the totals of each period over the agencies: agency code -> its counts; they sum to the totals."""
    rng = rng_of(0, "spread", name, agencies[0].block)
    weights = 1.0 / (rng.permutation(len(agencies)) + 1.0) ** _SKEW
    offered = _parts(totals[0].denominator, weights)
    shares: list[list[Share]] = [[] for _ in agencies]
    for number, total in enumerate(totals):
        change = total.denominator - totals[number - 1].denominator if number else 0
        offered = offered + np.sign(change) * _parts(abs(change), offered.astype(float))
        with_dossiers = _parts(total.numerator, offered.astype(float))
        for found, numerator, denominator in zip(shares, with_dossiers.tolist(), offered.tolist(), strict=True):
            found.append(Share(numerator, denominator))
    return {agency.code: tuple(found) for agency, found in zip(agencies, shares, strict=True)}


def _parts(total: int, weights: np.ndarray) -> np.ndarray:
    """Whole numbers that sum to ``total``, in proportion to the weights (largest remainders)."""
    exact = total * weights / weights.sum()
    parts: np.ndarray = np.floor(exact).astype(np.int64)
    missing = total - int(parts.sum())
    parts[np.argsort(-(exact - parts), kind="stable")[:missing]] += 1
    return parts
