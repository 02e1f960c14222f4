"""Which rows and indicators of a report are printed, and in which order. Blocks and nation are always sums of all units."""

from __future__ import annotations

import difflib
import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from domain.agencies import BLOCKS
from domain.errors import ConfigurationError
from domain.indicators import ALL_INDICATORS, INDICATORS


class Order(enum.StrEnum):
    """The order of units; the value is the name of the option."""

    CODE = "code"
    NAME = "name"
    RANK = "rank"  # by the first indicator that is printed
    VOLUME = "volume"  # the largest denominator first


@dataclass(frozen=True, slots=True)
class Choice:
    """The choice of what is printed of a report.

    Attributes:
        indicators: codes of the indicators, in order.
        units: codes of the agencies; empty: all.
        block: the block of the agencies; "": both.
        order: the order of the agencies.
    """

    indicators: tuple[str, ...] = tuple(INDICATORS)
    units: tuple[str, ...] = field(default=())
    block: str = ""
    order: Order = Order.CODE

    def rows(self, report: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """The rows to print: agencies in order, then blocks and nation.

        Raises:
            ConfigurationError: the report has no agency with a chosen code, or lacks the catalogue that an indicator needs.
        """
        if missing := [name for name in self.indicators if name not in report["rows"][0]["indicators"]]:
            raise ConfigurationError(
                f"There is no service catalogue on {report['period']['to']}, which {', '.join(missing)} needs.",
                remedy="Load a catalogue: `portalpulse catalogue load FILE`.",
            )
        agencies = [row for row in report["rows"] if row["scope"] == "agency"]
        known = {row["code"] for row in agencies}
        for code in self.units:
            if code not in known:
                raise ConfigurationError(
                    f"The report has no agency {code[:40]!r}.",
                    remedy=f"Write one of its codes, for example {nearest(code, known)}.",
                )
        shown = [row for row in agencies if (not self.units or row["code"] in self.units) and self.block in {"", row["block"]}]
        pooled = [row for row in report["rows"] if row["scope"] != "agency" and self.block in {"", row["block"] or self.block}]
        return [*self._ordered(shown), *pooled]

    def _ordered(self, rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        first = self.indicators[0]
        if self.order is Order.RANK:
            return sorted(rows, key=lambda row: (row["indicators"][first]["rank"] or len(rows) + 1, row["code"]))
        if self.order is Order.NAME:
            return sorted(rows, key=lambda row: (row["name"], row["code"]))
        if self.order is Order.VOLUME:
            return sorted(rows, key=lambda row: (-row["indicators"][first]["denominator"], row["code"]))
        return list(rows)


def choice(*, indicators: Sequence[str], units: Sequence[str], block: str | None, order: Order) -> Choice:
    """Check a choice of what is printed and return it.

    Raises:
        ConfigurationError: an indicator or block does not exist; the remedy lists the existing ones.
    """
    for code in indicators:
        if code not in ALL_INDICATORS:
            raise ConfigurationError(
                f"There is no indicator {code[:40]!r}.",
                remedy=f"Write one of {', '.join(ALL_INDICATORS)}; see `portalpulse indicators`.",
            )
    if block and block not in BLOCKS:
        raise ConfigurationError(f"There is no block {block[:40]!r}.", remedy=f"Write {' or '.join(BLOCKS)}.")
    return Choice(tuple(dict.fromkeys(indicators)) or tuple(INDICATORS), tuple(units), block or "", order)


def nearest(code: str, known: set[str]) -> str:
    """The code in ``known`` that looks most like ``code``."""
    return next(iter(difflib.get_close_matches(code.upper(), sorted(known), n=1, cutoff=0.0)), min(known))
