"""Published documents as data (``profiles/*.yaml``): the figures that they print, and the counts from which these follow.

Simulated portals reproduce a profile (``producers.portals.scenarios``, ``producers.portals.service_scenarios``), and a run of
all documents compares the profiles with the product's figures. A profile quotes a few words of its document, never the document.
"""

from __future__ import annotations

import datetime as dt
from importlib import resources
from typing import Final, Literal

import msgspec
import yaml

from domain.errors import ConfigurationError
from domain.indicators import ALL_INDICATORS
from domain.periods import Period
from domain.rounding import Rounding

_SCHEMA: Final = 1
_ZONE: Final = "Asia/Ho_Chi_Minh"


class DocumentPeriod(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A period of the document, both days included."""

    id: str
    start: dt.date
    end: dt.date
    texts: tuple[str, ...] = ()

    @property
    def period(self) -> Period:
        """The civil days of the period."""
        return Period(self.start, self.end)


class Block(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """How many units of a block take part; None: the document does not tell, and every unit that is in force takes part."""

    block: str
    units: int | None
    text: str = ""


class Printed(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A percentage as the document prints it: its words, and the number with a decimal point."""

    text: str
    value: str
    decimals: int


class Bound(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A bound: the document tells only that a percentage is above or below a number."""

    op: Literal["gt", "lt"]
    value: str
    text: str


class Fact(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The counts (numerator and denominator) behind one rate.

    ``origin``: stated (both are printed), solved (no other counts fit), chosen (other counts fit, too), derived (a sum),
    invented. ``units``: the day whose units the rate is about, or ``today``; empty: the units of the events' days.
    """

    indicator: str
    period: str
    scope: Literal["nation", "ministry", "province", "unit"]
    num: int
    den: int
    origin: Literal["stated", "solved", "chosen", "derived", "invented"]
    code: str = ""
    name: str = ""
    units: str = ""
    printed: Printed | None = None
    bound: Bound | None = None


class Count(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A printed number that follows from counts. ``formula``: the name of a formula of ``deploy.native.seeds.formulas``."""

    text: str
    name: str
    formula: str
    value: int


class Check(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A bound on the result of a formula. ``name``: what the result is called."""

    name: str
    formula: str
    op: Literal["gt", "lt"]
    value: int


class Claim(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A number of the document that is not reproduced, and why."""

    text: str
    reason: Literal["contradiction", "bound", "context", "boilerplate"]
    note: str
    check: Check | None = None


class Expected(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Groups of agencies (by rate) that follow from the facts."""

    top_ministries: tuple[str, ...]
    top_province: str
    zero: tuple[str, ...]
    above_0_below_5: tuple[str, ...]
    from_5_below_10: tuple[str, ...]


class SubUnit(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The dossiers of one receiving unit by level and channel. ``code``: the beginning of its dossier codes."""

    code: str
    online_l3: int
    online_l4: int
    other: int

    @property
    def total(self) -> int:
        """The number of all dossiers of the receiving unit."""
        return self.online_l3 + self.online_l4 + self.other


class Source(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Where the document was published."""

    publisher: str
    language: str
    published: dt.date | None = None
    texts: tuple[str, ...] = ()
    address: str = ""


class RoundingRule(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """How the document reduces percentages: HU half-up, TR cut."""

    mode: Literal["HU", "TR"]
    decimals: int


class Document(msgspec.Struct, forbid_unknown_fields=True, frozen=True, rename={"identifier": "id"}):
    """One profile: a published document. ``level_1_2``: services of levels 1 and 2 of each agency of a service scenario."""

    schema: int
    identifier: str
    title: str
    document: Source
    timezone: str
    rounding: RoundingRule
    regime: Literal["legacy", "current"]
    periods: tuple[DocumentPeriod, ...]
    blocks: tuple[Block, ...]
    additive: tuple[str, ...]
    facts: tuple[Fact, ...]
    expected: Expected | None = None
    counts: tuple[Count, ...] = ()
    level_1_2: int | None = None
    subunits: tuple[SubUnit, ...] = ()
    notes: tuple[str, ...] = ()
    claims: tuple[Claim, ...] = ()

    @property
    def rounding_mode(self) -> Rounding:
        """The rule by which the document rounds, as the product names it."""
        return Rounding.HALF_UP if self.rounding.mode == "HU" else Rounding.CUT

    def period(self, identifier: str) -> Period:
        """The civil days of the period with this identifier.

        Raises:
            KeyError: there is no such period.
        """
        found = {each.id: each.period for each in self.periods}
        return found[identifier]

    def facts_of(self, indicator: str) -> tuple[Fact, ...]:
        """The facts of one indicator about the units of the events' days."""
        return tuple(fact for fact in self.facts if fact.indicator == indicator and not fact.units)


def available_scenarios() -> tuple[str, ...]:
    """Names of the packaged profiles, sorted."""
    folder = resources.files("producers.portals").joinpath("profiles")
    return tuple(sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml")))


def load_document(name: str) -> Document:
    """The packaged profile ``name``, e.g. ``emc-2024``.

    Raises:
        ConfigurationError: there is no such profile, or it contradicts itself.
    """
    if name not in available_scenarios():
        raise ConfigurationError(f"There is no scenario {name!r}.", remedy=f"Choose one of: {', '.join(available_scenarios())}.")
    text = resources.files("producers.portals").joinpath(f"profiles/{name}.yaml").read_text(encoding="utf-8")
    return read_document(text, name=name)


def read_document(text: str, *, name: str) -> Document:
    """The profile in the YAML ``text``.

    Raises:
        ConfigurationError: the text is not a profile; the problem names the first contradiction.
    """
    try:
        document = msgspec.convert(yaml.safe_load(text), Document)
        _check(document)
    except (yaml.YAMLError, msgspec.ValidationError, ValueError) as error:
        raise contradiction(name, error) from error
    return document


def contradiction(name: str, problem: object) -> ConfigurationError:
    """The error of a profile that cannot be used."""
    return ConfigurationError(
        f"The scenario {name!r} cannot be used: {problem}.",
        remedy=f"Correct profiles/{name}.yaml, or the registry of agencies if PORTALPULSE_REGISTRY_FILE is set.",
    )


def require(holds: bool, problem: str) -> None:  # noqa: FBT001 - reads as a sentence
    """Raise an error with the text ``problem`` unless ``holds``.

    Raises:
        ValueError: ``holds`` is false.
    """
    if not holds:
        raise ValueError(problem)


def _check(document: Document) -> None:
    require(document.schema == _SCHEMA, f"schema is {document.schema}, not {_SCHEMA}")
    require(document.timezone == _ZONE, f"timezone is {document.timezone!r}, not {_ZONE!r}")
    require(bool(document.periods), "it has no period")
    known = {each.id for each in document.periods}
    for fact in document.facts:
        name = f"{fact.indicator} {fact.code or fact.scope}"
        require(fact.indicator in ALL_INDICATORS, f"{name}: unknown indicator")
        require(0 <= fact.num <= fact.den, f"{name}: {fact.num} of {fact.den}")
        require(fact.period in known, f"{name}: unknown period {fact.period!r}")
        require((fact.scope == "unit") == bool(fact.code), f"{name}: a code belongs to units only")
        if fact.printed is not None:
            decimals = len(fact.printed.value.partition(".")[2])
            require(decimals == fact.printed.decimals, f"{name}: {fact.printed.value} has not {fact.printed.decimals} decimals")
