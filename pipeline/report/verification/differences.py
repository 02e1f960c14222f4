"""Compares the integers of a report with recomputed ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

#: Follow from the others.
_DERIVED: Final = frozenset({"rank", "rates"})
Key = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Difference:
    """A figure of a report that is not the recomputed one.

    Attributes:
        scope, code: of the row; of a sub-unit or procedure the code of its unit and its own.
        figure: its place in the row, as counts.settled.
        reported, recomputed: both numbers.
        moved: the report changed while the figures were recomputed, or not every message was counted: it may be right.
    """

    scope: str
    code: str
    figure: str
    reported: int
    recomputed: int
    moved: bool


def integers_of(rows: Iterable[Mapping[str, Any]]) -> dict[Key, int]:
    """Every integer of the rows of a report by scope, code and place. Ranks follow from the others and are omitted."""
    return {
        (str(row["scope"]), f"{row['unit']} {row['code']}" if "unit" in row else str(row["code"]), place): number
        for row in rows
        for place, number in _integers(row, "")
    }


def differences(
    before: Mapping[Key, int], after: Mapping[Key, int], recomputed: Mapping[Key, int], *, counted: bool
) -> list[Difference]:
    """The figures of a report that are not the recomputed ones.

    Args:
        before: the report, asked for before figures were recomputed.
        after: the same report, asked for afterwards.
        recomputed: what was recomputed in between. A figure that is missing somewhere is 0.
        counted: whether every message that lay in the topic before ``after`` was counted. Then a figure that did not change
            meanwhile must be the recomputed one.
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
