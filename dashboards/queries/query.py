"""A query of a board with its name and meaning, and the expressions that several queries share.

Rates are cut to hundredths of a percent in the query, never rounded: Grafana would show 4.9999 % as 5.00 %.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: A figure of the report: scope and number. ``none``: the report does not have it.
Figure = Literal[
    "agency_percent",
    "agency_numerator",
    "agency_denominator",
    "block_percent",
    "block_numerator",
    "block_denominator",
    "nation_percent",
    "nation_numerator",
    "nation_denominator",
    "none",
]


@dataclass(frozen=True, slots=True)
class BoardQuery:
    """A PromQL query. Series of agencies have the label ``agency``, of blocks ``block``; percentages are from 0 to 100."""

    name: str
    promql: str
    #: What a value means, for readers of the board's source.
    meaning: str
    equals: Figure = "none"
    #: Why an empty answer is normal; empty: it is not.
    may_be_empty: str = ""


@dataclass(frozen=True, slots=True)
class SqlQuery:
    """A ClickHouse query with the macros of its data source. ``series``: the first column is the time of the points of a line."""

    name: str
    sql: str
    meaning: str
    kind: Literal["table", "series"] = "table"
    may_be_empty: str = ""


def cut_percent(ratio: str) -> str:
    """PromQL of a ratio from 0 to 1 in percent, cut to two decimals. 1e-6 corrects 6493.999999999999 to 6494."""
    return f"floor(1e4 * {ratio} + 1e-6) / 100"


def cut_points(difference: str) -> str:
    """PromQL of a difference of two ratios in percentage points, cut to two decimals towards zero."""
    return f"sgn({difference}) * floor(1e4 * abs({difference}) + 1e-6) / 100"
