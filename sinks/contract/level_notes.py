"""Levels of the service catalogue that dossiers were counted with, and how the index of dossiers holds them.

When no message of a settled dossier gives a level, the program that judges it writes the level of the catalogue into the index,
as a *level note*: a row without a status that claims nothing and makes its dossier a suspect. So each later reader of the dossier
reads that level together with the messages, and never judges by an older catalogue. Of several notes about one service and day
the note of the newest generation holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa

from domain.catalogue_levels import Generation
from domain.dossier_columns import LEVEL_RANKS
from sinks.contract.dossiers import event_id_of

#: The bit of ``facts`` that tells a level note from a decision. The bits of the level are those of a message.
LEVEL_NOTE_FACT: Final = 1 << 14
_LEVEL_SHIFT: Final = 6
_OFFSET: Final = 7 * 3_600_000
_DAY: Final = 86_400_000


class NotedLevel(NamedTuple):
    """A level note: the generation of the catalogue that its level comes from, and the level's position in ``LEVEL_RANKS``."""

    generation: Generation
    level: int


def is_level_note(facts: np.ndarray) -> np.ndarray:
    """Whether each row of the index is a level note."""
    found: np.ndarray = (facts & np.uint16(LEVEL_NOTE_FACT)) != 0
    return found


def is_message(facts: np.ndarray) -> np.ndarray:
    """Whether each row of the index is a message, not a level note or a decision: it has a status."""
    found: np.ndarray = (facts & np.uint16(15)) != 0
    return found


def civil_day_numbers(occurred_at: np.ndarray) -> np.ndarray:
    """The civil day of each instant (milliseconds since 1970), in days since 1970-01-01."""
    found: np.ndarray = (occurred_at + _OFFSET) // _DAY
    return found


def note_rows(settled: pa.Table, generations: Sequence[Generation], levels: Sequence[str]) -> pa.Table:
    """Level notes as rows of the index.

    Args:
        settled: for each note the event that settles its dossier: ``dossier``, ``occurred_at``, ``agency``, ``procedure_code``.
        generations: for each note the generation of the catalogue of the event's unit.
        levels: for each note the level in the catalogue; "": the catalogue has none for the service on that day.
    """
    days = civil_day_numbers(settled.column("occurred_at").cast(pa.int64()).to_numpy())
    return pa.table(
        {
            "dossier": settled.column("dossier"),
            "occurred_at": pa.array(days * _DAY - _OFFSET).cast(pa.timestamp("ms", "UTC")),  # where the day begins
            "event_id": pa.array([generation.load for generation in generations], pa.string()),
            "agency": settled.column("agency"),
            "procedure_code": settled.column("procedure_code"),
            "due_at": pa.array([generation.loaded_at for generation in generations], pa.timestamp("ms", "UTC")),
            "facts": pa.array([LEVEL_NOTE_FACT | LEVEL_RANKS.index(level) << _LEVEL_SHIFT for level in levels], pa.uint16()),
        }
    )


def noted_levels(notes: pa.Table, dossiers: Iterable[int]) -> Mapping[tuple[int, str, str, int], NotedLevel]:
    """The level note that holds for each (dossier, unit, procedure, civil day).

    Args:
        notes: rows of ``DossierIndex.histories`` that are level notes.
        dossiers: for each note a number that stands for its dossier.
    """
    days = civil_day_numbers(notes.column("occurred_at").cast(pa.int64()).to_numpy()).tolist()
    found: dict[tuple[int, str, str, int], NotedLevel] = {}
    for dossier, agency, procedure, day, loaded_at, identity, facts in zip(
        dossiers,
        *(notes.column(name).to_pylist() for name in ("agency", "procedure_code")),
        days,
        notes.column("due_at").cast(pa.int64()).to_pylist(),
        notes.column("id").to_pylist(),
        notes.column("facts").to_pylist(),
        strict=True,
    ):
        noted = NotedLevel(Generation(loaded_at, str(event_id_of(identity))), facts >> _LEVEL_SHIFT & 3)
        key = (dossier, agency, procedure, day)
        if key not in found or found[key] < noted:
            found[key] = noted
    return found
