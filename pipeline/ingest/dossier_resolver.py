"""Resolves the dossiers of stored messages: finds out what each message counts as, and stores the corrections that it needs.

The steps are a generator that pauses after every reading and writing, so that a test can let two workers take turns and end one
anywhere.
Why the result is exact with several writers, crashes and redelivery: DECISIONS.md.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Sequence
from dataclasses import dataclass
from typing import Final, cast

import numpy as np
import pyarrow as pa

from domain.catalogue_levels import CatalogueLevels
from domain.corrections import Claims, Decision, bits_alone, decide, decide_all
from domain.dossier_columns import Judged, count_bits
from domain.exclusions import ExclusionDecision
from pipeline.ingest.dossier_rows import decision_columns, distinct_messages, indexed_rows, message_columns, notes_of
from pipeline.ingest.level_notes import Filled, filled
from sinks.contract.dossiers import DossierIndex
from sinks.contract.exclusions import decision_rows, is_decision
from sinks.contract.level_notes import is_level_note, is_message

#: Dossiers whose messages are in memory at once. The storage keeps neighbouring numbers together, so pieces cost little more.
_SUSPECTS_AT_ONCE: Final = 20_000
#: What identifies a message in the index.
_IDENTITY: Final = ("dossier", "occurred_at", "event_id", "agency", "procedure_code", "due_at", "facts")


#: Decides which messages need a correction.
_Decide = Callable[[Judged, np.ndarray, Claims], Decision]


@dataclass(frozen=True, slots=True)
class Corrected:
    """Rows for ``DossierIndex.confirm``: one for each message whose correction was stored."""

    claims: pa.Table

    @property
    def agencies(self) -> pa.ChunkedArray:
        """The unit of each corrected message."""
        return self.claims.column("agency")

    @property
    def instants(self) -> np.ndarray:
        """The time of each corrected message, epoch milliseconds."""
        found: np.ndarray = self.claims.column("occurred_at").cast(pa.int64()).to_numpy()
        return found

    @classmethod
    def merged(cls, parts: Sequence[Corrected]) -> Corrected:
        """The rows of all parts together."""
        return cls(pa.concat_tables([part.claims for part in parts]).unify_dictionaries())


NOTHING: Final = Corrected(
    pa.table({"agency": pa.array([], pa.string()), "occurred_at": pa.array([], pa.timestamp("ms", "UTC"))})
)


@dataclass(frozen=True, slots=True)
class TouchedDossiers:
    """The dossiers of stored messages, which are to be resolved.

    Attributes:
        codes: the distinct dossier codes.
        messages: number of stored messages.
        unindexed: rows (``RESOLVED_COLUMNS``) that must be indexed before.
        stored_at: when the messages were stored, in seconds of the caller's clock.
    """

    codes: pa.Array
    messages: int
    unindexed: tuple[pa.Table, ...] = ()
    stored_at: float = 0.0

    @classmethod
    def nothing(cls) -> TouchedDossiers:
        """No dossiers."""
        return cls(pa.array([], pa.string()), 0)

    @classmethod
    def of(cls, rows: pa.Table, *, unindexed: bool = False) -> TouchedDossiers:
        """The dossiers of stored rows (``RESOLVED_COLUMNS``). ``unindexed``: the rows must still be indexed."""
        return cls(rows.column("dossier_code").unique(), rows.num_rows, (rows,) if unindexed else ())

    @classmethod
    def merged(cls, parts: Sequence[TouchedDossiers]) -> TouchedDossiers:
        """The dossiers of all parts together."""
        if len(parts) == 1:
            return parts[0]
        return cls(
            pa.chunked_array([part.codes for part in parts]).unique(),
            sum(part.messages for part in parts),
            tuple(rows for part in parts for rows in part.unindexed),
            min(part.stored_at for part in parts),
        )


class DossierResolver:
    """Indexes stored messages, and resolves their dossiers."""

    def __init__(self, index: DossierIndex) -> None:
        self._index = index

    def add(self, rows: pa.Table) -> TouchedDossiers:
        """Index stored rows (``RESOLVED_COLUMNS``); return their dossiers."""
        self._index.add(indexed_rows(rows))
        return TouchedDossiers.of(rows)

    def add_decisions(self, code: str, decisions: Sequence[ExclusionDecision]) -> TouchedDossiers:
        """Index stored decisions about a dossier, at least one; return this dossier."""
        self._index.add(decision_rows(code, decisions))
        return TouchedDossiers(pa.array([code]), 0)

    def resolve(self, indexed: TouchedDossiers) -> Corrected:
        """Resolve dossiers whose messages are indexed; return the corrected messages."""
        steps = self.steps(indexed)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                return cast("Corrected", end.value)

    def steps(self, indexed: TouchedDossiers) -> Generator[str, None, Corrected]:
        """The steps of ``resolve``; the generator returns ``Corrected``."""
        suspects = self._index.suspects(pa.table({"dossier_code": indexed.codes}))
        if not suspects.num_rows:
            return NOTHING
        yield "looked"
        return (yield from self._correct(suspects, decide))

    def recount_steps(self, dossiers: pa.Array) -> Generator[str, None, Corrected]:
        """The steps that resolve dossiers again because the service catalogue changed; returns ``Corrected``.

        Args:
            dossiers: numbers of the dossiers, 16 bytes each.
        """
        return (yield from self._correct(pa.table({"dossier": dossiers}), decide))

    def rewrite_steps(self, dossiers: pa.Array) -> Generator[str, None, Corrected]:
        """The steps that write a correction for every message of dossiers, also where one exists; returns ``Corrected``.

        All stored messages must be indexed. Workers may resolve the same dossiers meanwhile: the claims are written before the
        dossiers are read for the last time, so a message that is not read then is resolved by a worker that sees the claims.

        Args:
            dossiers: numbers of the dossiers, 16 bytes each.
        """

        def all_of_them(judged: Judged, _alone: np.ndarray, claims: Claims) -> Decision:
            return decide_all(judged, claims)

        return (yield from self._correct(pa.table({"dossier": dossiers}), all_of_them))

    def confirm(self, corrected: Corrected) -> None:
        """Confirm stored corrections. After they were stored, all tallies of their messages must have been recounted."""
        self._index.confirm(corrected.claims)

    def _correct(self, suspects: pa.Table, decide_on: _Decide) -> Generator[str, None, Corrected]:
        """Read dossiers, write level notes and claims, read again until there is none to write; then write all corrections."""
        corrections, corrected = [], []
        for start in range(0, suspects.num_rows, _SUSPECTS_AT_ONCE):
            piece = suspects.slice(start, _SUSPECTS_AT_ONCE)
            while piece.num_rows:
                look = _Look(self._index.histories(piece), decide_on, self._index.levels)
                yield "judged"
                if look.ready.any():
                    corrections.append(look.corrections())
                    corrected.append(look.corrected())
                if look.notes.num_rows:
                    self._index.note(look.notes)
                    yield "noted"
                if look.decision.claim.any():
                    self._index.claim(look.claims(look.decision.claim))
                    yield "claimed"
                piece = look.dossiers_to_look_at()
        if not corrected:
            return NOTHING
        self._index.correct(pa.concat_tables(corrections).unify_dictionaries())
        yield "corrected"
        return Corrected.merged(corrected)


class _Look:
    """One reading of suspect dossiers: their messages, decisions, level notes and claims, and what follows from them."""

    def __init__(self, histories: pa.Table, decide_on: _Decide, levels: Callable[[Collection[str]], CatalogueLevels]) -> None:
        columns, facts = message_columns(histories), histories.column("facts").to_numpy()
        decided = is_decision(facts)
        decisions = decision_columns(columns, np.flatnonzero(decided)) if decided.any() else None
        notes = notes_of(histories, columns, np.flatnonzero(is_level_note(facts)))
        sent = np.flatnonzero(is_message(facts))
        if len(sent) < len(facts):
            histories, columns = histories.take(pa.array(sent)), columns.take(sent)
        claim = histories.column("claim").to_numpy()
        message, first = distinct_messages(columns, claim)
        self._rows = histories.take(pa.array(first))
        self._sent = columns.take(first)
        found: Filled = filled(count_bits(self._sent, decisions), self._rows, self._sent.dossier, notes, levels)
        self._judged: Judged = found.judged
        #: Level notes that must be written before these dossiers are corrected.
        self.notes = found.notes
        self._alone = bits_alone(self._sent.status, self._sent.channel, self._sent.level, self._sent.returned)
        claimed = np.flatnonzero((claim > 0) & (message >= 0))
        confirmed = histories.column("confirmed").to_numpy(zero_copy_only=False).astype(bool)
        claims = Claims(message[claimed], claim[claimed] - np.uint16(1), confirmed[claimed])
        self.decision: Decision = decide_on(self._judged, self._alone, claims)
        self._first = self.decision.claim | found.to_note
        #: Messages to be corrected now: no message of their dossier must be noted or claimed first.
        self.ready = self.decision.correct & ~np.isin(self._sent.dossier, self._sent.dossier[self._first])

    def dossiers_to_look_at(self) -> pa.Table:
        """The dossiers that need a level note or a claim before they are corrected, in the form of ``DossierIndex.suspects``."""
        dossiers = self._rows.column("dossier").take(pa.array(np.flatnonzero(self._first)))
        return pa.table({"dossier": dossiers.unique()})

    def claims(self, where: np.ndarray) -> pa.Table:
        """Claims about the messages chosen by ``where``: what each of them is going to count as."""
        chosen = self._rows.select(_IDENTITY).take(pa.array(np.flatnonzero(where)))
        return chosen.append_column("claim", pa.array(self._judged.bits[where] + np.uint16(1)))

    def corrections(self) -> pa.Table:
        """The corrections of the messages that are ready to be corrected."""
        bits, alone = self._judged.bits[self.ready], self._alone[self.ready]
        chosen = self._rows.select(_IDENTITY).take(pa.array(np.flatnonzero(self.ready)))
        for name, values in {
            "plus": bits & ~alone,
            "minus": alone & ~bits,
            "seen": self._judged.messages[self.ready].astype(np.uint32),
        }.items():
            chosen = chosen.append_column(name, pa.array(values))
        return chosen

    def corrected(self) -> Corrected:
        """The messages that ``corrections`` corrects, with what they then count as."""
        return Corrected(self.claims(self.ready))
