"""Compares the integers of a report with recomputed integers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

#: Follow from the others.
_DERIVED: Final = frozenset({"rank", "rates"})
Key = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Difference:
    """A figure of a report that differs from the recomputed figure.

    Attributes:
        scope, code: those of the row; for a sub-unit or procedure, ``code`` is the code of its unit, a space and its own code.
        figure: the keys that lead to the figure in the row, such as counts.settled.
        reported, recomputed: the number in the report, and the recomputed number.
        moved: whether the reported number may be right nevertheless: it changed while figures were recomputed, or not every
            message was counted.
    """

    scope: str
    code: str
    figure: str
    reported: int
    recomputed: int
    moved: bool


def integers_of(rows: Iterable[Mapping[str, Any]]) -> dict[Key, int]:
    """Every integer of the rows of a report by scope, code and place, without ranks and rates: they follow from the counts."""
    return {
        (str(row["scope"]), f"{row['unit']} {row['code']}" if "unit" in row else str(row["code"]), place): number
        for row in rows
        for place, number in _integers(row, "")
    }


def differences(
    before: Mapping[Key, int], after: Mapping[Key, int], recomputed: Mapping[Key, int], *, counted: bool
) -> list[Difference]:
    """The figures that differ from the recomputed figures both in ``before`` and in ``after``. A missing figure is 0.

    Args:
        before: the integers of the report, asked for before figures were recomputed.
        after: the integers of the same report, asked for afterwards.
        recomputed: the integers that were recomputed in between.
        counted: whether every message that lay in the topic before ``after`` was counted. If so, a figure that is the same in
            ``before`` and ``after`` must equal the recomputed figure.
    """
    found = []
    for key in sorted({*before, *after, *recomputed}):
        first, last, right = (figures.get(key, 0) for figures in (before, after, recomputed))
        if right not in (first, last):
            found.append(Difference(*key, reported=last, recomputed=right, moved=first != last or not counted))
    return found


def _integers(value: Any, place: str) -> Iterator[tuple[str, int]]:
    if isinstance(value, Mapping):
        for name, part in value.items():
            if name not in _DERIVED:
                yield from _integers(part, f"{place}.{name}" if place else str(name))
    elif isinstance(value, int) and not isinstance(value, bool):
        yield place, value
