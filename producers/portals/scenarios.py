"""Scenario files (``profiles/*.yaml``): read, typed and checked before any event is made.

A scenario states published figures; counting the events of the simulated portals gives exactly these figures. A file that
contradicts itself is refused here.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any, Literal

import msgspec
import yaml

from domain.agencies import BLOCKS, AgencyRegistry
from domain.errors import ConfigurationError
from domain.periods import Period
from domain.rounding import Rounding

#: The indicator that the simulated dossiers reproduce: settled online and end to end, of all settled.
INDICATOR = "I1"
_SCHEMA = 1
_ZONE = "Asia/Ho_Chi_Minh"
#: How a source reduces percentages to their decimals.
_ROUNDINGS = {"HU": Rounding.HALF_UP, "TR": Rounding.CUT}


class _Period(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    id: str
    start: dt.date
    end: dt.date
    texts: tuple[str, ...] = ()


class _Block(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    block: str
    units: int
    text: str = ""


class _Printed(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    text: str
    value: str
    decimals: int


class _Fact(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    indicator: str
    period: str
    scope: Literal["nation", "ministry", "province", "unit"]
    num: int
    den: int
    origin: str
    code: str = ""
    name: str = ""
    printed: _Printed | None = None
    bound: dict[str, Any] | None = None


class _Expected(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    top_ministries: tuple[str, ...]
    top_province: str
    zero: tuple[str, ...]
    above_0_below_5: tuple[str, ...]
    from_5_below_10: tuple[str, ...]


class _File(msgspec.Struct, forbid_unknown_fields=True, frozen=True, rename={"identifier": "id"}):
    schema: int
    identifier: str
    title: str
    document: dict[str, str]
    timezone: str
    rounding: dict[str, Any]
    regime: str
    periods: tuple[_Period, ...]
    blocks: tuple[_Block, ...]
    additive: tuple[str, ...]
    facts: tuple[_Fact, ...]
    expected: _Expected
    counts: tuple[dict[str, Any], ...] = ()
    successor_view: tuple[dict[str, Any], ...] = ()
    notes: tuple[str, ...] = ()
    claims: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Share:
    """Dossiers settled online and end to end, of all dossiers settled: the two integers behind a rate."""

    numerator: int
    denominator: int

    def __add__(self, other: Share) -> Share:
        return Share(self.numerator + other.numerator, self.denominator + other.denominator)

    def times(self, factor: int) -> Share:
        """The same rate on ``factor`` times the volume."""
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
        """What counting must give for each agency code, at ``scale`` times the volume."""
        return {unit.code: unit.settled.times(scale) for unit in self.units}


def available_scenarios() -> tuple[str, ...]:
    """Names of the packaged scenarios, sorted."""
    folder = resources.files("producers.portals").joinpath("profiles")
    return tuple(sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml")))


def load_scenario(name: str, *, registry: AgencyRegistry | None = None) -> Scenario:
    """The packaged scenario ``name``, e.g. ``emc-2024``, checked against the registry (default: the packaged one).

    Raises:
        ConfigurationError: there is no such scenario, or its file contradicts itself or the registry.
    """
    if name not in available_scenarios():
        raise ConfigurationError(f"There is no scenario {name!r}.", remedy=f"Choose one of: {', '.join(available_scenarios())}.")
    text = resources.files("producers.portals").joinpath(f"profiles/{name}.yaml").read_text(encoding="utf-8")
    return read_scenario(text, name=name, registry=registry or AgencyRegistry.packaged())


def read_scenario(text: str, *, name: str, registry: AgencyRegistry) -> Scenario:
    """The scenario in the YAML ``text``.

    Raises:
        ConfigurationError: the text is not a scenario; the problem names the first contradiction.
    """
    try:
        file = msgspec.convert(yaml.safe_load(text), _File)
        scenario = _scenario(file, name)
        _check(file, scenario, registry)
    except (yaml.YAMLError, msgspec.ValidationError, ValueError) as error:
        raise ConfigurationError(
            f"The scenario {name!r} cannot be used: {error}.",
            remedy=f"Correct profiles/{name}.yaml, or the registry of agencies if PORTALPULSE_REGISTRY_FILE is set.",
        ) from error
    return scenario


def _scenario(file: _File, name: str) -> Scenario:
    _require(file.schema == _SCHEMA, f"schema is {file.schema}, not {_SCHEMA}")
    _require(file.timezone == _ZONE, f"timezone is {file.timezone!r}, not {_ZONE!r}")
    _require(len(file.periods) == 1, "exactly one period is needed")
    period = file.periods[0]
    _require(file.rounding.get("mode") in _ROUNDINGS, f"rounding.mode is not one of {', '.join(_ROUNDINGS)}")
    facts = [fact for fact in file.facts if fact.indicator == INDICATOR]
    for fact in file.facts:
        _require(0 <= fact.num <= fact.den, f"{fact.indicator} {fact.code or fact.scope}: {fact.num} of {fact.den}")
        _require(fact.period == period.id, f"{fact.indicator} {fact.code or fact.scope}: unknown period {fact.period!r}")
        if fact.printed is not None:
            _require(
                len(fact.printed.value.partition(".")[2]) == fact.printed.decimals,
                f"{fact.indicator} {fact.code or fact.scope}: {fact.printed.value} has not {fact.printed.decimals} decimals",
            )
        _require((fact.scope == "unit") == bool(fact.code), f"{fact.indicator} {fact.scope}: a code belongs to units only")
    units = tuple(
        Unit(fact.code, fact.name, BLOCKS[0] if fact.code.startswith("G") else BLOCKS[1], Share(fact.num, fact.den))
        for fact in facts
        if fact.scope == "unit"
    )
    pooled: dict[str, Share] = {fact.scope: Share(fact.num, fact.den) for fact in facts if fact.scope != "unit"}
    _require(len(units) + len(pooled) == len(facts), f"{INDICATOR}: two figures for one block or the nation")
    return Scenario(
        name=name,
        title=file.title,
        period=Period(period.start, period.end),
        units=units,
        pooled=pooled,
        zero=frozenset(file.expected.zero),
        above_0_below_5=frozenset(file.expected.above_0_below_5),
        from_5_below_10=frozenset(file.expected.from_5_below_10),
        rounding=_ROUNDINGS[file.rounding["mode"]],
        printed={fact.code or fact.scope: fact.printed.value for fact in facts if fact.printed is not None},
    )


def _check(file: _File, scenario: Scenario, registry: AgencyRegistry) -> None:
    """Compare the figures with each other, with the expected groups and with the registry."""
    codes = [unit.code for unit in scenario.units]
    _require(len(set(codes)) == len(codes), f"{INDICATOR}: an agency is listed twice")
    _require(INDICATOR in file.additive, f"{INDICATOR} must be additive to be simulated")
    for unit in scenario.units:
        for day in (scenario.period.start, scenario.period.end):
            row = registry.at(unit.code, day)
            _require(row is not None, f"{unit.code} is not in force on {day}")
            assert row is not None
            _require(row.block == unit.block, f"{unit.code} belongs to the block {row.block}")
    for block in file.blocks:
        found = sum(unit.block == block.block for unit in scenario.units)
        _require(found == block.units, f"{found} units in the block {block.block}, not {block.units}")
    for scope, figure in scenario.pooled.items():
        total = sum((unit.settled for unit in scenario.units if scope in {unit.block, "nation"}), Share(0, 0))
        _require(total == figure, f"{scope}: the units add up to {total.numerator} of {total.denominator}")
    # Rates are compared as integers: 5 % exactly is not below 5 %.
    below = {unit.code: [unit.settled.numerator * 100 < p * unit.settled.denominator for p in (5, 10)]
             for unit in scenario.units}  # fmt: skip
    zero = frozenset(unit.code for unit in scenario.units if unit.settled.numerator == 0 < unit.settled.denominator)
    _require(scenario.zero == zero, "expected.zero does not follow from the facts")
    low = frozenset(code for code, (below_5, _) in below.items() if below_5) - zero
    _require(scenario.above_0_below_5 == low, "expected.above_0_below_5 does not follow from the facts")
    medium = frozenset(code for code, (below_5, below_10) in below.items() if below_10 and not below_5)
    _require(scenario.from_5_below_10 == medium, "expected.from_5_below_10 does not follow from the facts")


def _require(holds: bool, problem: str) -> None:  # noqa: FBT001 - reads as a sentence
    if not holds:
        raise ValueError(problem)
