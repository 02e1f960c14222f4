"""A row of the registry of agencies, and the rules that all rows together must keep."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from domain.periods import FIRST_DAY, LAST_DAY

#: The two blocks for which figures are pooled: khối bộ, ngành and khối địa phương.
BLOCKS = ("ministry", "province")


@dataclass(frozen=True, slots=True)
class Agency:
    """One row of the registry: an agency with its names for a span of days.

    ``name_vi`` is the name that is printed. ``valid_to`` None: still in force. ``reports_from`` None: not expected to report.
    """

    code: str
    name_vi: str
    name_en: str
    short_name_vi: str
    official_name_vi: str
    block: str
    valid_from: dt.date
    valid_to: dt.date | None
    successor_code: str | None
    reports_from: dt.date | None

    def in_force(self, day: dt.date) -> bool:
        """Whether this row is valid on ``day`` (both ends included)."""
        return self.valid_from <= day and (self.valid_to is None or day <= self.valid_to)

    def is_expected(self, day: dt.date) -> bool:
        """Whether the agency is in force on ``day`` and expected to report then, so that missing events are shown."""
        return self.in_force(day) and self.reports_from is not None and self.reports_from <= day


@dataclass(frozen=True, slots=True)
class RowFault:
    """What is wrong with a row. ``row``: position of the row. ``problem``: a sentence without its full stop."""

    row: int
    column: str
    problem: str
    remedy: str


def first_fault(rows: Sequence[Agency]) -> RowFault | None:
    """The first fault found in the rows, each by itself and all together; None: they keep every rule."""
    for number, row in enumerate(rows):
        if (fault := _span_fault(number, row)) is not None:
            return fault
    return _overlap(rows) or _unknown_successor(rows) or _circle(rows)


def _span_fault(number: int, row: Agency) -> RowFault | None:
    for column, day in (("valid_from", row.valid_from), ("valid_to", row.valid_to), ("reports_from", row.reports_from)):
        if day is not None and not FIRST_DAY <= day <= LAST_DAY:
            return RowFault(
                number,
                column,
                f"{day} of {row.code} is not a day from {FIRST_DAY} to {LAST_DAY}",
                "No event outside these days can be counted; an empty valid_to means still in force.",
            )
    if row.valid_to is not None and row.valid_to < row.valid_from:
        return RowFault(
            number,
            "valid_to",
            f"{row.code} ends on {row.valid_to}, before it begins on {row.valid_from}",
            "Correct one of the days.",
        )
    if row.successor_code is not None and row.valid_to is None:
        return RowFault(
            number,
            "successor_code",
            f"{row.code} has the successor {row.successor_code} and does not end",
            "Write its last day into valid_to, or remove the successor.",
        )
    return None


def _overlap(rows: Sequence[Agency]) -> RowFault | None:
    before: Agency | None = None
    for number in sorted(range(len(rows)), key=lambda number: (rows[number].code, rows[number].valid_from)):
        row = rows[number]
        if before is not None and before.code == row.code and (before.valid_to is None or before.valid_to >= row.valid_from):
            return RowFault(
                number,
                "valid_from",
                f"there are two rows for {row.code} on {row.valid_from}",
                "End the earlier row (valid_to) before the later one begins.",
            )
        before = row
    return None


def _unknown_successor(rows: Sequence[Agency]) -> RowFault | None:
    codes = {row.code for row in rows}
    for number, row in enumerate(rows):
        if row.successor_code is not None and row.successor_code not in codes:
            return RowFault(
                number,
                "successor_code",
                f"{row.successor_code}, the successor of {row.code}, is not in the registry",
                "Add the successor or correct successor_code.",
            )
    return None


def _circle(rows: Sequence[Agency]) -> RowFault | None:
    """The fault of a code that through its successors succeeds itself, so that nobody is responsible for it; None: no such code.

    A renamed agency does not need a successor: it has a later row under the same code.
    """
    last: dict[str, int] = {}
    for number, row in enumerate(rows):
        if row.code not in last or rows[last[row.code]].valid_from < row.valid_from:
            last[row.code] = number
    for code, number in last.items():
        path = [code]
        while (successor := rows[last[path[-1]]].successor_code) is not None:
            path.append(successor)
            if successor == code:
                return RowFault(
                    number,
                    "successor_code",
                    f"the successions run in a circle: {' -> '.join(path)}",
                    "One of these agencies must stay in force; a renamed one needs a later row.",
                )
            if successor in path[:-1]:
                break  # a circle that this code leads to; it is reported for a code on it
    return None
