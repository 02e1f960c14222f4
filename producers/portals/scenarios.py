"""Scenarios of settled dossiers: agencies, period and expected figures of I1, from a document that states them.

Counting the events of the simulated portals gives exactly these figures. A document that contradicts itself or the registry is
refused here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from domain.agencies import BLOCKS, AgencyRegistry
from domain.periods import Period
from domain.rounding import Rounding
from producers.portals.documents import Document, Expected, contradiction, load_document, read_document, require

#: The indicator that the simulated dossiers reproduce: settled online and end to end, of all settled.
INDICATOR = "I1"


@dataclass(frozen=True, slots=True)
class Share:
    """The counts behind a rate: dossiers settled online and end to end, and all settled dossiers."""

    numerator: int
    denominator: int

    def __add__(self, other: Share) -> Share:
        return Share(self.numerator + other.numerator, self.denominator + other.denominator)

    def times(self, factor: int) -> Share:
        """The same rate with both counts multiplied by ``factor``."""
        return Share(self.numerator * factor, self.denominator * factor)


@dataclass(frozen=True, slots=True)
class Unit:
    """One reporting agency of a scenario, with the figure that counting its events must give."""

    code: str
    name: str
    block: str
    settled: Share


@dataclass(frozen=True, slots=True)
class Scenario:
    """A checked scenario: agencies, civil period and expected figures."""

    name: str
    title: str
    period: Period
    units: tuple[Unit, ...]  # in the order of the file
    pooled: dict[str, Share]  # the file's own figures for "ministry", "province" and "nation"
    zero: frozenset[str]  # agencies at exactly 0 %
    above_0_below_5: frozenset[str]
    from_5_below_10: frozenset[str]
    rounding: Rounding  # of the percentages that the source prints
    printed: Mapping[str, str]  # agency code or pooled scope -> percentage as the source prints it, with a decimal point

    def expected(self, scale: int = 1) -> dict[str, Share]:
        """For each agency code the counts that counting must give, at ``scale`` times the volume."""
        return {unit.code: unit.settled.times(scale) for unit in self.units}


def load_scenario(name: str, *, registry: AgencyRegistry | None = None) -> Scenario:
    """The packaged scenario ``name``, e.g. ``emc-2024``, checked against the registry (default: the packaged one).

    Raises:
        ConfigurationError: there is no such scenario, or its file contradicts itself or the registry.
    """
    return scenario_of(load_document(name), name=name, registry=registry or AgencyRegistry.packaged())


def read_scenario(text: str, *, name: str, registry: AgencyRegistry) -> Scenario:
    """The scenario in the YAML ``text``.

    Raises:
        ConfigurationError: the text is not a scenario; the problem names the first contradiction.
    """
    return scenario_of(read_document(text, name=name), name=name, registry=registry)


def scenario_of(document: Document, *, name: str, registry: AgencyRegistry) -> Scenario:
    """The scenario of a document.

    Raises:
        ConfigurationError: the document states no figures of settled dossiers, or they contradict each other or the registry.
    """
    try:
        expected = document.expected
        require(expected is not None, f"it states no figures of {INDICATOR}")
        assert expected is not None
        scenario = _scenario(document, expected, name)
        _check(document, scenario, registry)
    except ValueError as error:
        raise contradiction(name, error) from error
    return scenario


def _scenario(document: Document, expected: Expected, name: str) -> Scenario:
    require(len(document.periods) == 1, "exactly one period is needed")
    facts = document.facts_of(INDICATOR)
    units = tuple(
        Unit(fact.code, fact.name, BLOCKS[0] if fact.code.startswith("G") else BLOCKS[1], Share(fact.num, fact.den))
        for fact in facts
        if fact.scope == "unit"
    )
    pooled: dict[str, Share] = {fact.scope: Share(fact.num, fact.den) for fact in facts if fact.scope != "unit"}
    require(len(units) + len(pooled) == len(facts), f"{INDICATOR}: two figures for one block or the nation")
    return Scenario(
        name=name,
        title=document.title,
        period=document.periods[0].period,
        units=units,
        pooled=pooled,
        zero=frozenset(expected.zero),
        above_0_below_5=frozenset(expected.above_0_below_5),
        from_5_below_10=frozenset(expected.from_5_below_10),
        rounding=document.rounding_mode,
        printed={fact.code or fact.scope: fact.printed.value for fact in facts if fact.printed is not None},
    )


def _check(document: Document, scenario: Scenario, registry: AgencyRegistry) -> None:
    """Check the figures against each other, the expected groups and the registry.

    Raises:
        ValueError: they contradict each other; the text names the first contradiction.
    """
    codes = [unit.code for unit in scenario.units]
    require(len(set(codes)) == len(codes), f"{INDICATOR}: an agency is listed twice")
    require(INDICATOR in document.additive, f"{INDICATOR} must be additive to be simulated")
    for unit in scenario.units:
        for day in (scenario.period.start, scenario.period.end):
            row = registry.at(unit.code, day)
            require(row is not None, f"{unit.code} is not in force on {day}")
            assert row is not None
            require(row.block == unit.block, f"{unit.code} belongs to the block {row.block}")
    for block in document.blocks:
        found = sum(unit.block == block.block for unit in scenario.units)
        require(found == block.units, f"{found} units in the block {block.block}, not {block.units}")
    for scope, figure in scenario.pooled.items():
        total = sum((unit.settled for unit in scenario.units if scope in {unit.block, "nation"}), Share(0, 0))
        require(total == figure, f"{scope}: the units add up to {total.numerator} of {total.denominator}")
    # Rates are compared as integers: 5 % exactly is not below 5 %.
    below = {unit.code: [unit.settled.numerator * 100 < p * unit.settled.denominator for p in (5, 10)]
             for unit in scenario.units}  # fmt: skip
    zero = frozenset(unit.code for unit in scenario.units if unit.settled.numerator == 0 < unit.settled.denominator)
    require(scenario.zero == zero, "expected.zero does not follow from the facts")
    low = frozenset(code for code, (below_5, _) in below.items() if below_5) - zero
    require(scenario.above_0_below_5 == low, "expected.above_0_below_5 does not follow from the facts")
    medium = frozenset(code for code, (below_5, below_10) in below.items() if below_10 and not below_5)
    require(scenario.from_5_below_10 == medium, "expected.from_5_below_10 does not follow from the facts")
