"""The places of provinces on the map of tiles, one tile for each. There are two layouts, of 63 and of 34 provinces."""

from __future__ import annotations

import csv
import datetime as dt
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Final


@dataclass(frozen=True, slots=True)
class Islands:
    """An archipelago and the code of its province. The map draws it in outline beside the tiles."""

    code: str
    name: str


#: Hoàng Sa belongs to Đà Nẵng, Trường Sa to Khánh Hòa.
ISLANDS: Final = (Islands("H17", "Hoàng Sa"), Islands("H32", "Trường Sa"))


@functools.cache
def _layouts() -> Mapping[dt.date, Mapping[str, tuple[int, int]]]:
    text = resources.files("domain").joinpath("data/tiles.csv").read_text(encoding="utf-8")
    found: dict[dt.date, dict[str, tuple[int, int]]] = {}
    for row in csv.DictReader(text.splitlines()):
        layout = found.setdefault(dt.date.fromisoformat(row["valid_from"]), {})
        layout[row["code"]] = (int(row["column"]), int(row["row"]))
    return found


def tiles_on(day: dt.date) -> Mapping[str, tuple[int, int]]:
    """Province code -> column and row of its tile, counted from 0 at the top left, for the provinces in force on ``day``."""
    layouts = _layouts()
    return layouts[max((first for first in layouts if first <= day), default=min(layouts))]
