"""The outline of dossiers' lives (submission, steps, end), before their faults are planned."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Self

import numpy as np


@dataclass(frozen=True, slots=True)
class Outline:
    """Dossiers before their faults; arrays have one element for each dossier.

    Attributes:
        submitted, ended: epoch milliseconds, at least ten minutes apart.
        channel: 1 to 3.
        level, returned: as in ``producers.portals.dossier_plan``; 0: not returned.
        received: whether the dossier is received (2).
        middle: three columns of statuses between receipt and end; 0: none.
        end: 9, 3, 7, 8, or 0 for an open dossier.
        returned_at: when the result of a settled dossier is returned.
        full: which dossiers must count as settled toàn trình; no other dossier may.
    """

    submitted: np.ndarray
    ended: np.ndarray
    channel: np.ndarray
    level: np.ndarray
    returned: np.ndarray
    received: np.ndarray
    middle: np.ndarray
    end: np.ndarray
    returned_at: np.ndarray
    full: np.ndarray

    @classmethod
    def joined(cls, outlines: list[Self]) -> Self:
        """Several outlines joined into one."""
        return cls(**{field.name: np.concatenate([getattr(one, field.name) for one in outlines]) for field in fields(cls)})
