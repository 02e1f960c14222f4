"""The registry of agencies (bộ, ngành, tỉnh, thành phố) with validity dates and successions.

A code may have several rows over time (a ministry renamed), and a unit may be merged into another.
``AgencyRegistry.responsible`` returns the agency that is responsible for a code on a given day.
Source: the reorganisations of 01/03/2025 (ministries) and 01/07/2025 (provinces); see docs/domain.md.
"""

from __future__ import annotations

import csv
import datetime as dt
import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import resources
from typing import Self

from domain.errors import ConfigurationError
from domain.periods import FIRST_DAY, parse_day

#: The two blocks for which figures are pooled: khối bộ, ngành and khối địa phương.
BLOCKS = ("ministry", "province")


@dataclass(frozen=True, slots=True)
class Agency:
    """One row of the registry: an agency with its name for a span of days."""

    code: str
    name_vi: str
    name_en: str
    short_name_vi: str
    block: str
    valid_from: dt.date
    valid_to: dt.date | None
    successor_code: str | None

    def in_force(self, day: dt.date) -> bool:
        """Whether this row is valid on ``day`` (both ends included)."""
        return self.valid_from <= day and (self.valid_to is None or day <= self.valid_to)


class AgencyRegistry:
    """The rows of the registry, by code and day."""

    def __init__(self, rows: Iterable[Agency]) -> None:
        self._rows: dict[str, list[Agency]] = {}
        self._responsible = functools.lru_cache(maxsize=1 << 16)(self._find_responsible)
        for row in sorted(rows, key=lambda row: (row.code, row.valid_from)):
            spans = self._rows.setdefault(row.code, [])
            if spans and (spans[-1].valid_to is None or spans[-1].valid_to >= row.valid_from):
                raise ConfigurationError(
                    f"The registry has two rows for {row.code} on {row.valid_from}.",
                    remedy="End the earlier row (valid_to) before the later one starts.",
                )
            if row.valid_from < FIRST_DAY:
                raise ConfigurationError(
                    f"The registry has {row.code} in force from {row.valid_from}, before {FIRST_DAY}.",
                    remedy=f"Set valid_from to {FIRST_DAY} or later: no event before that day can be counted.",
                )
            spans.append(row)
        for row in self:
            if row.successor_code is not None and row.successor_code not in self._rows:
                raise ConfigurationError(
                    f"The registry names {row.successor_code} as successor of {row.code}, but has no such code.",
                    remedy="Add the successor or correct successor_code.",
                )

    @classmethod
    def packaged(cls) -> Self:
        """The registry that ships with portalpulse."""
        text = resources.files("domain").joinpath("data/agencies.csv").read_text(encoding="utf-8")
        return cls.from_csv(text)

    @classmethod
    def from_csv(cls, text: str) -> Self:
        """Read a registry in the columns of ``data/agencies.csv``.

        Raises:
            ConfigurationError: a row is malformed, overlaps another or names an unknown block or successor.
        """
        rows = []
        for number, fields in enumerate(csv.DictReader(text.splitlines()), start=2):
            try:
                row = Agency(
                    code=fields["code"],
                    name_vi=fields["name_vi"],
                    name_en=fields["name_en"],
                    short_name_vi=fields["short_name_vi"],
                    block=fields["block"],
                    valid_from=parse_day(fields["valid_from"]),
                    valid_to=parse_day(fields["valid_to"]) if fields["valid_to"] else None,
                    successor_code=fields["successor_code"] or None,
                )
            except (KeyError, TypeError, ValueError) as error:
                raise ConfigurationError(
                    f"Line {number} of the agency registry cannot be read: {error}.",
                    remedy="Compare it with domain/data/agencies.csv.",
                ) from error
            if row.block not in BLOCKS:
                raise ConfigurationError(
                    f"Line {number} of the agency registry has the unknown block {row.block!r}.",
                    remedy=f"Use one of {', '.join(BLOCKS)}.",
                )
            rows.append(row)
        return cls(rows)

    def __iter__(self) -> Iterator[Agency]:
        for spans in self._rows.values():
            yield from spans

    @property
    def codes(self) -> tuple[str, ...]:
        """Every code that was ever used, sorted."""
        return tuple(self._rows)

    def __contains__(self, code: str) -> bool:
        return code in self._rows

    def spans(self, code: str) -> tuple[Agency, ...]:
        """All rows of one code in chronological order; empty for an unknown code."""
        return tuple(self._rows.get(code, ()))

    def at(self, code: str, day: dt.date) -> Agency | None:
        """The row of ``code`` in force on ``day``, or None."""
        return next((row for row in self._rows.get(code, ()) if row.in_force(day)), None)

    def in_force(self, day: dt.date) -> tuple[Agency, ...]:
        """Every agency in force on ``day``, sorted by code."""
        return tuple(row for row in self if row.in_force(day))

    def responsible(self, code: str, day: dt.date) -> Agency | None:
        """The agency that is responsible for ``code`` on ``day``: itself, or its successor after a merger.

        Portals continue to send old codes for months after a merger. Such events count for the successor.
        None when the code is unknown, was not yet in force, or ended without a successor.
        """
        if code not in self._rows:
            return None
        return self._responsible(code, day)

    def succeeds(self, later: str, earlier: str) -> bool:
        """Whether ``later`` took over ``earlier``, directly or through further successions. No code succeeds itself."""
        seen = {earlier}
        code: str | None = earlier
        while code is not None:
            code = next((row.successor_code for row in reversed(self.spans(code)) if row.successor_code is not None), None)
            if code == later:
                return later != earlier
            if code in seen:
                return False
            seen.add(code or "")
        return False

    def linked(self, one: str, other: str) -> bool:
        """Whether the codes are equal or one of them took over the other."""
        return one == other or self.succeeds(one, other) or self.succeeds(other, one)

    def _find_responsible(self, code: str, day: dt.date) -> Agency | None:
        seen: set[str] = set()
        while code not in seen:
            seen.add(code)
            row = self.at(code, day)
            if row is not None:
                return row
            ended = [row for row in self._rows.get(code, ()) if row.valid_to is not None and row.valid_to < day]
            if not ended or ended[-1].successor_code is None:
                return None
            code = ended[-1].successor_code
        return None
