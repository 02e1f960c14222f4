"""A report as one HTML page to print, without scripts, other files or links. It can be read in black and white on A4.

Only this module uses Jinja2.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from importlib import resources
from typing import Any, Final

import jinja2

from domain.rounding import decimal
from domain.tiles import ISLANDS, tiles_on
from domain.unit_maps import EVENT_DAY
from pipeline.report.formats.choice import Choice
from pipeline.report.formats.groups import cells, groups_of, has_indicators, heading, note, place, with_parts
from pipeline.report.formats.style import Style, ratio_of

#: Size of a tile and the space between two (units of the drawing).
_TILE, _SPACE = 46, 4
#: Length of the bar of 100 % (units of the drawing).
_BAR: Final = 300


@dataclass(frozen=True, slots=True)
class Tile:
    """A province on the map: left top corner of its tile, code, name, rate as printed, class of the rate."""

    x: int
    y: int
    code: str
    name: str
    rate: str
    rate_class: str


@dataclass(frozen=True, slots=True)
class Bar:
    """The bar of a unit in the chart. ``length`` and ``target`` (None: no target) are in units of the drawing."""

    code: str
    name: str
    rate: str
    rate_class: str
    length: str
    target: str | None


def to_html(report: Mapping[str, Any], *, choice: Choice, style: Style) -> str:
    """The page as HTML: whether figures are final; nation, map, chart and table for each indicator; a table for each group.

    Raises:
        ConfigurationError: as ``Choice.rows``.
    """
    rows = choice.rows(report)
    units = [row for row in rows if row["scope"] == "agency"]
    source = resources.files("pipeline.report.formats").joinpath("page.html").read_text(encoding="utf-8")
    # Every value is escaped; a name that is not defined is an error.
    page = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    indicators = choice.indicators if has_indicators(report) else ()
    tiles = {name: _tiles(units, name, _day_of(report), style) for name in indicators}
    first = tiles[indicators[0]] if indicators else []
    islands = _islands(first)
    return page.from_string(source).render(
        report=report,
        rows=rows,
        style=style,
        indicators=indicators,
        divided=with_parts(report, choice),
        groups=groups_of(report),
        cells=cells,
        heading=heading,
        note=note,
        place=place,
        tiles=tiles,
        islands=islands,
        tile_size=_TILE,
        map_size=_map_size(first, islands),
        bars={name: _bars(units, name, style) for name in indicators},
        bar_length=_BAR,
        pooled=[row for row in rows if row["scope"] != "agency"],
        classes=("zero", "below_5", "below_10", "below_target", "met", "no_target", "no_data"),
    )


def _day_of(report: Mapping[str, Any]) -> dt.date:
    units = report["units"]
    return dt.date.fromisoformat(report["period"]["to"] if units == EVENT_DAY else units)


def _tiles(units: Sequence[Mapping[str, Any]], indicator: str, day: dt.date, style: Style) -> list[Tile]:
    places = tiles_on(day)
    step = _TILE + _SPACE
    return [
        Tile(
            places[row["code"]][0] * step,
            places[row["code"]][1] * step,
            row["code"],
            style.short_name(row),
            style.rate(row["indicators"][indicator]),
            row["indicators"][indicator]["class"],
        )
        for row in units
        if row["code"] in places
    ]


def _islands(tiles: Sequence[Tile]) -> list[tuple[int, int, str]]:
    """Left top corner (at the right edge of the map) and name of each archipelago whose province is on the map."""
    right = max((tile.x for tile in tiles), default=0) + _TILE + 2 * _SPACE
    return [(right, tile.y, each.name) for each in ISLANDS for tile in tiles if tile.code == each.code]


def _map_size(tiles: Sequence[Tile], islands: Sequence[tuple[int, int, str]]) -> tuple[int, int]:
    right = [tile.x for tile in tiles] + [x + _TILE for x, _, _ in islands]
    return max(right, default=0) + _TILE, max((tile.y for tile in tiles), default=0) + _TILE


def _bars(units: Sequence[Mapping[str, Any]], indicator: str, style: Style) -> list[Bar]:
    """The bars of the units with data, the highest rate first."""
    found = []
    for row in units:
        figure = row["indicators"][indicator]
        ratio = ratio_of(figure)
        if ratio.no_data:
            continue
        rate = Fraction(ratio.numerator, ratio.denominator)
        target = figure["target_percent"]
        place = None if target is None else decimal(Fraction(target) / 100 * _BAR)
        bar = Bar(
            row["code"], style.name(row), style.rate(figure), figure["class"], decimal(min(rate, Fraction(1)) * _BAR), place
        )
        found.append((rate, bar))
    return [bar for _, bar in sorted(found, key=lambda each: (-each[0], each[1].code))]
