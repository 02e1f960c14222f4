"""The registry of agencies (bộ, ngành, tỉnh, thành phố) with validity dates and successions.

A code may have several rows over time (a ministry renamed), and a unit may be merged into another.
``AgencyRegistry.responsible`` returns the agency that is responsible for a code on a given day.
Source: the reorganisations of 01/03/2025 (ministries) and 01/07/2025 (provinces); see docs/domain.md.
"""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Iterable, Iterator
from importlib import resources
from typing import Self

from domain.agency_rows import BLOCKS, Agency, first_fault
from domain.errors import ConfigurationError
from domain.registry_file import read_rows

__all__ = ["BLOCKS", "Agency", "AgencyRegistry"]


class AgencyRegistry:
    """The rows of the registry, by code and day.

    Raises:
        ConfigurationError: two rows contradict each other; the error names the code (``domain.agency_rows``).
    """

    def __init__(self, rows: Iterable[Agency]) -> None:
        given = tuple(rows)
        if fault := first_fault(given):
            raise ConfigurationError(f"The registry of agencies is wrong: {fault.problem}.", remedy=fault.remedy)
        self._rows: dict[str, list[Agency]] = {}
        self._responsible = functools.lru_cache(maxsize=1 << 16)(self._find_responsible)
        for row in sorted(given, key=lambda row: (row.code, row.valid_from)):
            self._rows.setdefault(row.code, []).append(row)

    @classmethod
    def packaged(cls) -> Self:
        """The registry that ships with portalpulse."""
        return cls.from_csv(resources.files("domain").joinpath("data/agencies.csv").read_bytes(), name="agencies.csv")

    @classmethod
    def from_csv(cls, content: bytes | str, *, name: str = "The registry of agencies") -> Self:
        """Read a registry from CSV with the columns of ``data/agencies.csv``; bytes are UTF-8. Errors call the file ``name``.

        Raises:
            ConfigurationError: a line is malformed or contradicts another; the error names file, line and column.
        """
        return cls(read_rows(content, name=name))

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

    def expected(self, day: dt.date) -> tuple[Agency, ...]:
        """Every agency in force on ``day`` that is expected to report then, sorted by code."""
        return tuple(row for row in self if row.is_expected(day))

    def responsible(self, code: str, day: dt.date) -> Agency | None:
        """The agency that is responsible for ``code`` on ``day``: the agency of this code, or its successor after a merger.

        Portals continue to send old codes for months after a merger. Such events count for the successor.
        None when ``code`` is unknown, is not yet in force on ``day``, or ended before without a successor.
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
