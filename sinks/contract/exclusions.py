"""Operators' decisions to exclude a dossier from the figures or to include it again, and how the index of dossiers holds them.

The table of decisions is authoritative. Each decision is also a row of the index, so that each reader of a dossier there reads
its decisions together with its messages: a *decision row* has no status, claims nothing, and makes its dossier a suspect.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

import numpy as np
import pyarrow as pa

from domain.events import DUE_NOT_SENT
from domain.exclusions import ExclusionDecision
from sinks.contract.dossiers import CLAIM, INDEX_SCHEMA
from sinks.contract.level_notes import LEVEL_NOTE_FACT

#: The bit of ``facts`` that says that a decision excludes its dossier. The bits of the status are 0.
EXCLUDED_FACT: Final = 16


def is_decision(facts: np.ndarray) -> np.ndarray:
    """Whether each row of the index is a decision: it has neither a status nor the bit of a level note."""
    found: np.ndarray = (facts & np.uint16(15 | LEVEL_NOTE_FACT)) == 0
    return found


def excludes(facts: np.ndarray) -> np.ndarray:
    """Whether each decision row excludes its dossier."""
    found: np.ndarray = (facts & np.uint16(EXCLUDED_FACT)) != 0
    return found


def decision_rows(code: str, decisions: Sequence[ExclusionDecision]) -> pa.Table:
    """The index rows (``INDEX_SCHEMA``) of decisions about the dossier with this code."""
    rows = [
        {
            "dossier_code": code,
            "occurred_at": decision.decided_at,
            "event_id": str(decision.id),
            "agency": "",
            "procedure_code": "",
            "due_at": DUE_NOT_SENT,
            "facts": EXCLUDED_FACT if decision.excluded else 0,
            "flags": CLAIM,
        }
        for decision in decisions
    ]
    plain = pa.schema([field.with_type(pa.string()) if field.name == "agency" else field for field in INDEX_SCHEMA])
    return pa.Table.from_pylist(rows, plain).cast(INDEX_SCHEMA)


class ExclusionStore(Protocol):
    """Stores operators' decisions about dossiers. No decision is ever changed or deleted."""

    def decide(self, code: str, *, excluded: bool, reason: str, name: str) -> ExclusionDecision:
        """Store a decision, and return it with its time and id.

        It is durable then, and its time is later than that of every one before.
        """
        ...

    def decisions(self, code: str) -> Sequence[ExclusionDecision]:
        """All decisions about the dossier with this code, in any order."""
        ...

    def excluded(self) -> Mapping[str, ExclusionDecision]:
        """Every dossier that is excluded now: its code -> the decision that holds."""
        ...
