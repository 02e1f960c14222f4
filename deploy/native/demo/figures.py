"""The demo's yardstick: what the scenario file says must come out, held against what the running stack answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any, Self

import yaml

from domain.errors import ConfigurationError

#: The indicator that the published figures of the demo are about.
INDICATOR = "I1"
#: The alert and window that the demo's agencies below their threshold are judged by.
ALERT = "AgencyRateLow"
WINDOW = "ytd"

#: How the scenario file and the report name the same scopes: scope of the file -> (scope, code) of the report.
_POOLED = {"nation": ("nation", "VN"), "ministry": ("block", "ministry"), "province": ("block", "province")}


@dataclass(frozen=True, slots=True)
class Check:
    """One rate: numerator and denominator in dossiers, and the value that the source prints, where it prints one."""

    scope: str
    code: str
    name: str
    numerator: int
    denominator: int
    printed: Decimal | None = None
    decimals: int = 2


@dataclass(frozen=True, slots=True)
class Scenario:
    """What must come out."""

    first_day: str
    last_day: str
    facts: tuple[Check, ...]
    below_threshold: frozenset[str]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the indicator's facts and the agencies that must alert from a scenario file.

        Raises:
            ConfigurationError: the file is missing or has another form.
        """
        try:
            document = yaml.safe_load(path.read_text(encoding="utf-8"))
            period = document["periods"][0]
            facts = tuple(
                _fact(entry) for entry in document["facts"] if entry["indicator"] == INDICATOR and entry["period"] == period["id"]
            )
            expected = document["expected"]
            return cls(
                first_day=str(period["start"]),
                last_day=str(period["end"]),
                facts=facts,
                below_threshold=frozenset(expected["zero"]) | frozenset(expected["above_0_below_5"]),
            )
        except (OSError, KeyError, IndexError, TypeError, yaml.YAMLError) as error:
            raise ConfigurationError(
                f"The scenario {path} cannot be read: {error!r}.", remedy="Restore it from the repository."
            ) from error


def _fact(entry: Mapping[str, Any]) -> Check:
    printed = entry.get("printed")
    scope, code = _POOLED.get(entry["scope"], ("agency", entry.get("code", "")))
    return Check(
        scope=scope,
        code=code,
        name=entry.get("name", ""),
        numerator=entry["num"],
        denominator=entry["den"],
        printed=Decimal(printed["value"]) if printed else None,
        decimals=printed["decimals"] if printed else 2,
    )


@dataclass(frozen=True, slots=True)
class ComparisonRow:
    """One row of the ranking: what came out beside what had to."""

    fact: Check
    numerator: int | None
    denominator: int | None

    @property
    def percent(self) -> Decimal | None:
        """What came out, as a percentage to as many decimals as the source prints; None when nothing came."""
        return percent(self.numerator, self.denominator, decimals=self.fact.decimals)

    @property
    def holds(self) -> bool:
        """Whether the counts are exactly the scenario's and the rate reads as printed."""
        counts = (self.numerator, self.denominator) == (self.fact.numerator, self.fact.denominator)
        return counts and (self.fact.printed is None or self.fact.printed == self.percent)


def percent(numerator: int | None, denominator: int | None, *, decimals: int) -> Decimal | None:
    """A ratio of counts as a percentage, rounded half up once at the end; None without dossiers."""
    if numerator is None or not denominator:
        return None
    return (Decimal(100 * numerator) / denominator).quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP)


def vietnamese(value: Decimal | None) -> str:
    """A percentage as Vietnamese texts print it: ``64,94 %``; a dash for no data."""
    return "—" if value is None else f"{value:f} %".replace(".", ",")


def compare(scenario: Scenario, rows: Iterable[Mapping[str, Any]]) -> tuple[ComparisonRow, ...]:
    """Every fact of the scenario beside the report's row for it: nation, blocks, then agencies from best to worst."""
    found = {(row["scope"], row["code"]): row["indicators"].get(INDICATOR, {}) for row in rows}

    def line(fact: Check) -> ComparisonRow:
        row = found.get((fact.scope, fact.code), {})
        return ComparisonRow(fact, row.get("numerator"), row.get("denominator"))

    lines = [line(fact) for fact in scenario.facts]
    scopes = {"nation": 0, "block": 1, "agency": 2}
    return tuple(sorted(lines, key=lambda line: (scopes[line.fact.scope], -(_ratio(line)), line.fact.code)))


def _ratio(line: ComparisonRow) -> Decimal:
    value = percent(line.numerator, line.denominator, decimals=12)
    return Decimal(-1) if value is None else value


@dataclass(frozen=True, slots=True)
class AlertVerdict:
    """The agencies whose alert was delivered against those that had to."""

    missing: tuple[str, ...]
    unexpected: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether exactly the right agencies were delivered."""
        return not self.missing and not self.unexpected


def judge_alerts(scenario: Scenario, delivered: Iterable[str]) -> AlertVerdict:
    """Compare the delivered agencies with the scenario's."""
    codes = frozenset(delivered)
    return AlertVerdict(
        missing=tuple(sorted(scenario.below_threshold - codes)),
        unexpected=tuple(sorted(codes - scenario.below_threshold)),
    )


def names(scenario: Scenario) -> dict[str, str]:
    """Agency code -> name."""
    return {fact.code: fact.name for fact in scenario.facts if fact.scope == "agency"}


def all_hold(lines: Sequence[ComparisonRow]) -> bool:
    """Whether there are lines and every one holds."""
    return bool(lines) and all(line.holds for line in lines)
