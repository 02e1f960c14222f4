"""The answers of the running product about one document: counts of reports, changes between periods, services, sub-units."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Final, NamedTuple

from domain.agencies import BLOCKS
from domain.indicators import Ratio

#: Code of the nation in a report, and of its row in a document.
_NATION: Final = "VN"
NATION: Final = "nation"


class Key(NamedTuple):
    """Identifies a figure: indicator, identifier of the period, scope (``nation``, a block or a unit), units ("": by event)."""

    indicator: str
    period: str
    scope: str
    units: str = ""


class Change(NamedTuple):
    """A change between two periods as the report prints it."""

    points: Fraction
    percent: Fraction


@dataclass(slots=True)
class Answers:
    """All answers about one document.

    Attributes:
        ratios: the ratio of every row of the requested reports.
        changes: (indicator, period, period before, scope) -> change.
        services: (period, unit) -> number of services by level in the catalogue on the last day.
        sub_units: unit -> sub-unit -> dossiers submitted online, and those of them at level 4.
    """

    ratios: dict[Key, Ratio] = field(default_factory=dict)
    changes: dict[tuple[str, str, str, str], Change] = field(default_factory=dict)
    services: dict[tuple[str, str], Mapping[str, int]] = field(default_factory=dict)
    sub_units: dict[str, Mapping[str, Ratio]] = field(default_factory=dict)

    def add_report(self, period: str, rows: Iterable[Mapping[str, Any]], *, units: str = "", before: str = "") -> None:
        """Add the rows of a report over HTTP.

        ``before``: identifier of the period with which the report is compared; "": none.
        """
        for row in rows:
            scope = NATION if row["code"] == _NATION else str(row["code"])
            for indicator, figure in row["indicators"].items():
                self.ratios[Key(indicator, period, scope, units)] = Ratio(figure["numerator"], figure["denominator"])
                if before and figure.get("change_points") is not None and figure.get("change_percent") is not None:
                    change = Change(Fraction(figure["change_points"]), Fraction(figure["change_percent"]))
                    self.changes[indicator, period, before, scope] = change

    def ratio(self, indicator: str, period: str, scope: str, units: str = "") -> Ratio | None:
        """A figure, or None when no report has it."""
        return self.ratios.get(Key(indicator, period, scope, units))

    def of_block(self, indicator: str, period: str, block: str) -> list[Ratio]:
        """The figures of the units of a block that have data."""
        return [
            ratio
            for key, ratio in self.ratios.items()
            if (key.indicator, key.period, key.units) == (indicator, period, "")
            and key.scope not in {*BLOCKS, NATION}
            and key.scope.startswith("G" if block == BLOCKS[0] else "H")
            and not ratio.no_data
        ]
