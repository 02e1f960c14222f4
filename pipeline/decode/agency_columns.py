"""The agency registry as arrays, which gives the responsible agencies of many events at once."""

from __future__ import annotations

import datetime as dt
from typing import Final

import numpy as np
import pyarrow as pa

from domain.agencies import AgencyRegistry
from domain.periods import VIETNAM_OFFSET_MINUTES

_MILLISECONDS_OF_DAY: Final = 86_400_000


class AgencyColumns:
    """Maps the index of the agency code sent, and the time, to the index of the responsible agency.

    It handles the common cases only: the agency itself while it is in force without a gap, then its successor. For every other
    case the result is -1, and the validator decides.
    """

    def __init__(self, registry: AgencyRegistry) -> None:
        self.codes = registry.codes
        self.array = pa.array(self.codes, pa.string())
        self.index = {code: position for position, code in enumerate(self.codes)}
        first, last, successors = [], [], []
        for code in self.codes:
            spans = registry.spans(code)
            end = spans[0].valid_to
            for later in spans[1:]:
                if end is None or later.valid_from != end + dt.timedelta(days=1):
                    break
                end = later.valid_to
            first.append(_day_number(spans[0].valid_from))
            last.append(_day_number(end) if end is not None else np.iinfo(np.int32).max)
            successor = spans[-1].successor_code if end == spans[-1].valid_to else None  # after a gap, ask the registry
            successors.append(self.index.get(successor or "", -1))
        self._first = np.array(first, dtype=np.int64)
        self._last = np.array(last, dtype=np.int64)
        self._successor = np.array(successors, dtype=np.int32)
        #: Whether the first code succeeds the second one.
        self._succeeds = np.array([[registry.succeeds(later, earlier) for earlier in self.codes] for later in self.codes])

    def responsible(self, sent: np.ndarray, instants: np.ndarray) -> np.ndarray:
        """Index of the agency responsible for each row, or -1 when the validator must decide.

        Args:
            sent: index of each row's agency_code, -1 when unknown.
            instants: time of each row, epoch milliseconds.
        """
        days = (instants + VIETNAM_OFFSET_MINUTES * 60_000) // _MILLISECONDS_OF_DAY
        own = (sent >= 0) & (self._first[sent] <= days) & (days <= self._last[sent])
        if own.all():
            return sent
        successor = np.where(sent >= 0, self._successor[sent], -1)
        succeeded = (
            (sent >= 0)
            & (days > self._last[sent])
            & (successor >= 0)
            & (self._first[successor] <= days)
            & (days <= self._last[successor])
        )
        return np.where(own, sent, np.where(succeeded, successor, -1)).astype(np.int32)

    def units(self, sent: np.ndarray, named: np.ndarray, instants: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """For each row the index of its unit (-1: the validator decides), and whether the dossier code names the unit.

        Args:
            sent: index of the level-1 code in each row's agency_code, -1 when unknown.
            named: index of the level-1 code in each row's dossier code, negative when unknown.
            instants: time of each row, epoch milliseconds.
        """
        units = self.responsible(sent, instants)
        if np.array_equal(sent, named):
            return units, np.ones(len(sent), dtype=bool)
        known = named >= 0
        of_code = np.where(known, self.responsible(np.maximum(named, 0), instants), -1)
        units = np.where(known & (of_code < 0) & (sent != named), -1, units)
        # Another unit is in force under the code inside the dossier code: a successor speaks for it.
        spoken = known & (units >= 0) & (of_code == named) & self._succeeds[np.maximum(units, 0), np.maximum(named, 0)]
        units = np.where(spoken, named, units).astype(np.int32)
        return units, (sent == named) | (known & (of_code == units))


def _day_number(day: dt.date) -> int:
    return (day - dt.date(1970, 1, 1)).days
