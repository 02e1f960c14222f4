"""Judges many dossiers by their messages and decisions in the index, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from domain.dossier_milestones import DossierMilestones, milestones_of, without_messages
from domain.dossiers import MAX_EVENTS, ExcludedDossier, TooManyEvents, judge
from domain.exclusions import is_excluded
from pipeline.ingest.histories import History, dossiers_in
from sinks.contract.dossier_table import MANY, DossierHistories
from sinks.contract.level_notes import is_level_note


def judged_rows(source: DossierHistories, dossiers: pa.Table) -> dict[bytes, DossierMilestones]:
    """Number of a dossier -> its row for the table of dossiers.

    Dossiers whose messages expired are omitted: their stored rows must stay as they are.

    Args:
        source: reads messages and decisions of dossiers.
        dossiers: a table with the columns ``dossier`` (number) and ``dossier_code`` (empty: not known).
    """
    rows = source.histories(dossiers)
    counted = pc.value_counts(rows.column("dossier"))
    seen = dict(zip(counted.field("values").to_pylist(), counted.field("counts").to_pylist(), strict=True))
    codes = _codes(source, dossiers, rows)
    found: dict[bytes, DossierMilestones | None] = {}
    for history in dossiers_in(rows.to_batches()):
        if seen[history.dossier] < MANY:
            found[history.dossier] = _judged(history, codes.get(history.dossier, ""), seen[history.dossier])
    for dossier, count in seen.items():
        if count >= MANY:
            found[dossier] = _judged_alone(source, dossier, codes.get(dossier, ""))
    for dossier, code in codes.items():
        if dossier not in found:
            found[dossier] = without_messages(code, seen=0)
    return {dossier: row for dossier, row in found.items() if row is not None}


def _codes(source: DossierHistories, dossiers: pa.Table, rows: pa.Table) -> dict[bytes, str]:
    """Number of a dossier -> its code; "": the code is not known."""
    known = dict(zip(*(dossiers.column(name).to_pylist() for name in ("dossier", "dossier_code")), strict=True))
    unknown = [dossier for dossier, code in known.items() if not code]
    if unknown and rows.num_rows:
        facts = rows.column("facts").to_numpy().astype(np.uint16)
        rows = rows.filter(pa.array(~is_level_note(facts)))  # a level note has no message of its key
        numbers = rows.column("dossier").to_pylist()
        first = [at for at, number in enumerate(numbers) if not at or number != numbers[at - 1]]
        wanted = set(unknown)
        chosen = np.array([at for at in first if numbers[at] in wanted], dtype=np.int64)
        known |= source.codes(rows.take(pa.array(chosen)))
    return known


def _judged(history: History, code: str, seen: int) -> DossierMilestones | None:
    if history.expired:
        return None
    if not history.messages:
        return without_messages(code, seen=seen)
    return replace(milestones_of(judge(history.messages, history.decisions, history.level), seen=seen), code=code)


def _judged_alone(source: DossierHistories, dossier: bytes, code: str) -> DossierMilestones | None:
    """The row of a dossier with many messages. They are not read when the dossier has too many events."""
    history = source.long_history(dossier)
    read = next(_dossiers(history.rows), History(dossier))
    if read.expired or history.events <= MAX_EVENTS:
        return _judged(read, code, history.seen)
    excluded = is_excluded(read.decisions)
    judged = ExcludedDossier(code, history.events) if excluded else TooManyEvents(code, history.events)
    return milestones_of(judged, seen=history.seen)


def _dossiers(batches: Iterator[pa.RecordBatch]) -> Iterator[History]:
    """The histories of dossiers, after all batches are read: after the last one the storage checks that no row is hidden."""
    yield from list(dossiers_in(batches))
