"""The dossier tier: resolves the dossiers of stored batches, so that each dossier counts once.

Live figures do not wait for this: a message first counts alone, and is corrected within about a second. In a flood, when messages
arrive faster than they can be stored, a batch is recounted only after its dossiers are resolved.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from domain.catalogue_levels import CatalogueLevels
from pipeline.ingest.dirty_buckets import DirtyBuckets
from pipeline.ingest.dossier_resolver import Corrected, DossierResolver, TouchedDossiers
from pipeline.ingest.dossier_rows import RESOLVED_COLUMNS
from pipeline.ingest.minute_spans import DirtyHour, dirty_hours
from pipeline.ingest.pace import dossier_rest
from pipeline.ingest.storage_retry import StorageRetry
from sinks.contract.dossiers import DossierIndex

#: Messages resolved at once. More share the cost of a look, and need more memory.
_MAX_MESSAGES = 400_000
#: In a flood, wait for this many messages, or for this long (seconds): one look at a dossier then covers more of its messages.
_FLOOD_MESSAGES, _FLOOD_SECONDS = 300_000, 5.0
#: While waiting in a flood, how often to check whether it is over (seconds).
_FLOOD_CHECK_SECONDS = 0.05
#: Stored messages that may wait to be resolved; above that storing waits.
_MAX_UNRESOLVED = 4_000_000
#: Rows that may wait in memory to be indexed, about; above that every batch is indexed at once.
_MAX_UNINDEXED = 50_000
#: How often an idle loop checks whether the worker stops (seconds).
_STOP_CHECK_SECONDS = 0.5


@dataclass(slots=True)
class DossierTier:
    """Resolves stored batches in rounds; ``run`` is the loop of a thread.

    Args:
        dirty_buckets: has the batches whose dossiers must be resolved.
        index: the index of dossiers in the storage.
        retrying: repeats a call while the storage is unavailable.
        agencies: code of each agency; ``dirty_buckets`` numbers agencies by their position in it.
        interval: the shortest time between two rounds of live traffic (seconds); see ``dossier_rest``.
        on_resolved: called after every round, from the loop's thread.
        flooded: whether messages arrive faster than they can be stored.
        max_unindexed: rows of small batches that may wait to be indexed together, about.
    """

    dirty_buckets: DirtyBuckets
    index: DossierIndex
    retrying: StorageRetry
    agencies: tuple[str, ...]
    interval: float
    on_resolved: Callable[[], None]
    flooded: Callable[[], bool]
    stopping: threading.Event
    monotonic: Callable[[], float] = time.monotonic
    max_unindexed: int = _MAX_UNINDEXED
    _due: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    #: Corrections that are stored and not confirmed, with the first batch of their round; in the order of the rounds.
    _unconfirmed: deque[tuple[int, Corrected]] = field(default_factory=deque)

    @property
    def full(self) -> bool:
        """Whether so many messages wait to be resolved that storing must wait."""
        return self.dirty_buckets.unresolved_messages() >= _MAX_UNRESOLVED

    def add(self, rows: pa.Table, *, at_once: bool) -> TouchedDossiers:
        """Return the dossiers of a batch's stored rows, which are to be resolved. A batch of dead letters only has no rows.

        The rows are indexed now (``at_once``; waits while the storage is unavailable), or in the next round together with rows of
        other small batches: in live traffic a worker stores several batches a second, and an insert costs the storage about as
        much as a thousand rows.
        """
        if not rows.num_rows:
            return TouchedDossiers.nothing()
        rows = rows.select(RESOLVED_COLUMNS)
        if at_once or self.dirty_buckets.unresolved_messages() + rows.num_rows > self.max_unindexed:
            return replace(self._resolver.add(rows), stored_at=self.monotonic())
        return replace(TouchedDossiers.of(rows, unindexed=True), stored_at=self.monotonic())

    def oldest_seconds(self) -> float:
        """How long the oldest messages whose dossiers are not resolved have waited (seconds); 0: there are none."""
        oldest = self.dirty_buckets.oldest_unresolved()
        return 0.0 if oldest is None else self.monotonic() - oldest

    @property
    def _resolver(self) -> DossierResolver:
        return DossierResolver(_Retrying(self.index, self.retrying))

    def wake(self) -> None:
        """Let the loop start a round, because a batch was stored."""
        self._due.set()

    def run(self) -> None:
        """Run rounds until the worker stops."""
        while not self.stopping.is_set():
            if not self._due.wait(timeout=_STOP_CHECK_SECONDS):
                continue
            self._due.clear()
            began = self.monotonic()
            self._gather(began + _FLOOD_SECONDS)
            messages = self.dirty_buckets.unresolved_messages()
            more = self.round()
            if more:
                self._due.set()
            if not (more and self.flooded()):
                self.stopping.wait(max(0.0, dossier_rest(self.interval, messages=messages, taken=self.monotonic() - began)))

    def _gather(self, deadline: float) -> None:
        while (
            self.flooded()
            and self.dirty_buckets.unresolved_messages() < _FLOOD_MESSAGES
            and self.monotonic() < deadline
            and not self.stopping.wait(_FLOOD_CHECK_SECONDS)
        ):
            pass

    def round(self) -> bool:
        """Resolve the dossiers of the oldest stored batches; return whether more batches wait."""
        work = self.dirty_buckets.take_dossiers(_MAX_MESSAGES)
        if work is None:
            return False
        dossiers = work.dossiers
        if dossiers.unindexed:
            self._resolver.add(pa.concat_tables(dossiers.unindexed).unify_dictionaries())
        corrected = self._resolver.resolve(dossiers)
        if corrected.claims.num_rows:
            with self._lock:  # before the hours are due, so that they are not counted without it
                self._unconfirmed.append((work.batches[0].batch, corrected))
        self.dirty_buckets.dossiers_resolved(work, self._hours(corrected))
        self.on_resolved()
        return self.dirty_buckets.unresolved_messages() > 0

    def confirm(self, counted: int) -> None:
        """Confirm the corrections of all batches up to the number ``counted``. They must be counted in every tier."""
        with self._lock:
            due = []
            while self._unconfirmed and self._unconfirmed[0][0] <= counted:
                due.append(self._unconfirmed.popleft()[1])
        if due:
            self._resolver.confirm(Corrected.merged(due))

    def _hours(self, corrected: Corrected) -> dict[int, DirtyHour]:
        """The hours whose tallies the corrections change."""
        indices = pc.fill_null(pc.index_in(corrected.agencies, pa.array(self.agencies)), -1).to_numpy().astype(np.int64)
        hours = dirty_hours(np.maximum(indices, 0), corrected.instants)
        if (indices < 0).any():  # of an agency that this program does not know: recount all of them
            return {hour: DirtyHour(content.minutes, None) for hour, content in hours.items()}
        return hours


@dataclass(frozen=True, slots=True)
class _Retrying:
    """A ``DossierIndex`` that repeats each call while the storage is unavailable."""

    index: DossierIndex
    retrying: StorageRetry

    def add(self, messages: pa.Table) -> None:
        self.retrying(lambda: self.index.add(messages))

    def suspects(self, codes: pa.Table) -> pa.Table:
        return self.retrying(lambda: self.index.suspects(codes))

    def histories(self, suspects: pa.Table) -> pa.Table:
        return self.retrying(lambda: self.index.histories(suspects))

    def levels(self, agencies: Collection[str]) -> CatalogueLevels:
        return self.retrying(lambda: self.index.levels(agencies))

    def note(self, notes: pa.Table) -> None:
        self.retrying(lambda: self.index.note(notes))

    def claim(self, claims: pa.Table) -> None:
        self.retrying(lambda: self.index.claim(claims))

    def correct(self, corrections: pa.Table) -> None:
        self.retrying(lambda: self.index.correct(corrections))

    def confirm(self, claims: pa.Table) -> None:
        self.retrying(lambda: self.index.confirm(claims))
