"""Fills the levels of settled dossiers from the service catalogue, and finds which level notes must be written before."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa

from domain.catalogue_levels import AgencyLevels, CatalogueLevels, Generation
from domain.dossier_columns import LEVEL_RANKS, Judged
from domain.periods import civil_day_of_number
from sinks.contract.level_notes import NotedLevel, civil_day_numbers, note_rows, noted_levels

_FULL: Final = LEVEL_RANKS.index("toan_trinh")
#: Columns of a settled event that a note repeats.
_SERVICE: Final = ("dossier", "occurred_at", "agency", "procedure_code")


@dataclass(frozen=True, slots=True)
class Filled:
    """Judged messages with the levels of the catalogue.

    Attributes:
        judged: the messages with these levels. Its ``messages`` counts level notes, too.
        notes: level notes that must be written before these dossiers are corrected (``note_rows``).
        to_note: for each message whether one of ``notes`` is about it.
    """

    judged: Judged
    notes: pa.Table
    to_note: np.ndarray


def filled(
    judged: Judged,
    rows: pa.Table,
    dossier: np.ndarray,
    notes: tuple[pa.Table, np.ndarray],
    levels: Callable[[Collection[str]], CatalogueLevels],
) -> Filled:
    """Fill the levels of whole dossiers.

    A note whose generation is newer than the catalogue that is read here, or the same, holds: its writer knew that catalogue. A
    note of an older generation, or a missing one, is replaced by a note of this catalogue, also when the level is the same. So a
    worker that still knows an older catalogue, and writes its note later, changes nothing.

    Args:
        judged: the messages, judged without the catalogue.
        rows: the distinct messages (``DossierIndex.histories``).
        dossier: number of the dossier of each message.
        notes: the distinct level notes of these dossiers, and the number of the dossier of each note.
        levels: reads the catalogue of some agencies. It must be called after the messages were indexed.
    """
    note_table, note_dossiers = notes
    messages = judged.messages + _counted(note_dossiers, dossier)
    to_note = np.zeros(len(dossier), dtype=bool)
    if not judged.if_full.any():
        return Filled(replace(judged, messages=messages), note_table.slice(0, 0), to_note)
    full = np.zeros(len(dossier), dtype=bool)
    generations: list[Generation] = []
    written: list[str] = []
    for asking in _asking(judged, rows, dossier, notes, levels):
        noted, current = asking.noted, asking.current
        if current is None or (noted is not None and noted.generation >= current.generation):
            full[asking.position] = noted is not None and noted.level == _FULL
            continue
        full[asking.position] = asking.level == _FULL
        to_note[asking.position] = True
        generations.append(current.generation)
        written.append(LEVEL_RANKS[asking.level])
    new = note_rows(rows.select(_SERVICE).filter(pa.array(to_note)), generations, written)
    return Filled(replace(judged, bits=judged.with_levels(full), messages=messages), new, to_note)


@dataclass(frozen=True, slots=True)
class Checked:
    """What the audit finds about levels.

    Attributes:
        bits: what each message must count as.
        contradicted: for each message whether its level note has another level than the catalogue of the same generation.
    """

    bits: np.ndarray
    contradicted: np.ndarray


def checked(
    judged: Judged,
    rows: pa.Table,
    dossier: np.ndarray,
    notes: tuple[pa.Table, np.ndarray],
    levels: Callable[[Collection[str]], CatalogueLevels],
) -> Checked:
    """Fill the levels of whole dossiers for an audit; the arguments are those of ``filled``.

    The catalogue decides, whatever level notes say. But while the stored dossiers of an agency are not all counted with its last
    load, the notes decide, because they tell with which load each dossier was counted.
    """
    full, contradicted = np.zeros(len(dossier), dtype=bool), np.zeros(len(dossier), dtype=bool)
    if judged.if_full.any():
        for asking in _asking(judged, rows, dossier, notes, levels):
            noted, current = asking.noted, asking.current
            if noted is not None and current is not None and noted.generation == current.generation:
                contradicted[asking.position] = noted.level != asking.level
            by_note = 0 if noted is None else noted.level
            full[asking.position] = (asking.level if asking.recounted else by_note) == _FULL
    return Checked(judged.with_levels(full), contradicted)


class _Asking(NamedTuple):
    """A message that settles its dossier, where neither it nor an event before it has a level.

    ``position``: its row. ``noted``: the level note about it. ``current``: the catalogue of its unit. ``level``: the level of
    this catalogue, as a position in ``LEVEL_RANKS``. ``recounted``: whether all dossiers of the unit were counted with it.
    """

    position: int
    noted: NotedLevel | None
    current: AgencyLevels | None
    level: int
    recounted: bool


def _asking(
    judged: Judged,
    rows: pa.Table,
    dossier: np.ndarray,
    notes: tuple[pa.Table, np.ndarray],
    levels: Callable[[Collection[str]], CatalogueLevels],
) -> Iterator[_Asking]:
    """The messages whose dossiers need a level of the catalogue, in the order of the rows."""
    asking = np.flatnonzero(judged.if_full)
    settled = rows.select(_SERVICE).take(pa.array(asking))
    agencies, procedures = (settled.column(name).to_pylist() for name in ("agency", "procedure_code"))
    catalogue = levels(sorted(set(agencies)))
    known = noted_levels(notes[0], notes[1].tolist())
    days = civil_day_numbers(settled.column("occurred_at").cast(pa.int64()).to_numpy()).tolist()
    for position, number, agency, procedure, day in zip(
        asking.tolist(), dossier[asking].tolist(), agencies, procedures, days, strict=True
    ):
        level = LEVEL_RANKS.index(catalogue(agency, procedure, civil_day_of_number(day)))
        noted = known.get((number, agency, procedure, day))
        yield _Asking(position, noted, catalogue.agencies.get(agency), level, agency in catalogue.recounted)


def _counted(notes: np.ndarray, dossier: np.ndarray) -> np.ndarray:
    """For each message the number of level notes about its dossier."""
    if not len(notes):
        return np.zeros(len(dossier), dtype=np.int64)
    numbers, sizes = np.unique(notes, return_counts=True)
    at = np.minimum(np.searchsorted(numbers, dossier), len(numbers) - 1)
    return np.where(numbers[at] == dossier, sizes[at], 0)
