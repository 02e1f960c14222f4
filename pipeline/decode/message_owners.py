"""The portal of each message of a batch, which is the only agency that may report in this message."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from domain.errors import InvariantError
from pipeline.decode.agency_columns import AgencyColumns
from pipeline.decode.column_checks import ANY_AGENCY


class MessageOwners:
    """The portal of each message of a batch; see ``portals`` of ``Decoder.decode``."""

    def __init__(self, portals: Sequence[tuple[str | None, int]], messages: int, agencies: AgencyColumns) -> None:
        owned = [(portal, count) for portal, count in portals if count]
        self._owned = any(portal is not None for portal, _ in owned)
        self._portals = [portal for portal, _ in owned]
        self._ends = np.cumsum([count for _, count in owned]) if owned else np.zeros(0, np.int64)
        if owned and self._ends[-1] != messages:
            raise InvariantError(
                f"{messages} messages came in, and the portals of {self._ends[-1]}.",
                remedy="Nothing was acknowledged; please report it.",
            )
        unknown = len(agencies.codes)  # the index of no agency: every message in such a topic is left to the validator
        codes = [ANY_AGENCY if portal is None else agencies.index.get(portal, unknown) for portal in self._portals]
        self._indices = np.repeat(np.array(codes, np.int32), [count for _, count in owned]) if self._owned else None

    def indices(self, first: int, count: int) -> np.ndarray | None:
        """For ``count`` messages from ``first`` on the index of the only agency that may report, or ``ANY_AGENCY``.

        None: any agency may report in all messages of the batch.
        """
        return None if self._indices is None else self._indices[first : first + count]

    def portal(self, position: int) -> str | None:
        """The portal of the message at ``position``; None: any agency may report in it."""
        return self._portals[int(np.searchsorted(self._ends, position, side="right"))] if self._owned else None
