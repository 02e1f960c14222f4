"""The store step: stores the events and dead letters of a decoded batch, unless these exceed the dead-letter limit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from pipeline.ingest.dead_letter_guard import BatchGuard
from pipeline.ingest.dead_letter_rows import dead_letter_of_row
from pipeline.ingest.decode_step import DecodedBatch
from pipeline.ingest.storage_retry import StorageRetry
from sinks.contract.dead_letters import DeadLetter
from sinks.contract.events import EventStore
from sinks.errors import RefusedRows

#: Most dead letters in one insert, and the size of their messages after which it ends (bytes).
_MAX_DEAD_LETTERS_PER_INSERT = 10_000
_MAX_BYTES_PER_INSERT = 16 << 20


class StoreStep:
    """Stores events and dead letters. Several threads may call it at once, each with a batch of its own."""

    def __init__(self, store: EventStore, retrying: StorageRetry) -> None:
        self._store, self._retrying = store, retrying

    def __call__(self, batch: DecodedBatch) -> pa.Table:
        """Store the rows and the dead letters of a batch. Waits while the storage is unavailable.

        Returns:
            The stored rows: all rows except those that the storage refused, which are stored as dead letters.

        Raises:
            DeadLetterLimitError: a limit is exceeded. No dead letter of the batch is stored.
            StoppedError: the worker stops first.
        """
        if batch.dead_letters:
            batch.guard.check()
        refused: list[DeadLetter] = []
        stored: list[pa.Table] = [batch.rows.slice(0, 0)]
        if batch.rows.num_rows:
            self._insert(batch.rows, batch.positions, batch.guard, refused, stored)
        batch.guard.decide_all()
        dead_letters = [*batch.dead_letters, *refused]
        for some in _inserts(dead_letters):
            self._retrying(lambda some=some: self._store.insert_dead_letters(some))  # type: ignore[misc]
        batch.guard.finish()
        return pa.concat_tables(stored)

    def _insert(
        self,
        rows: pa.Table,
        positions: np.ndarray,
        guard: BatchGuard,
        refused: list[DeadLetter],
        stored: list[pa.Table],
    ) -> None:
        """Insert rows and add them to ``stored``. When the storage refuses them, insert each half alone, by ``positions``.

        The dead letter of a single refused row is added to ``refused``.

        Raises:
            DeadLetterLimitError: a limit is exceeded; the remaining rows are not inserted.
        """
        try:
            self._retrying(lambda: self._store.insert_events(rows))
            stored.append(rows)
        except RefusedRows as error:
            guard.begin()
            if rows.num_rows > 1:
                if (positions[1:] < positions[:-1]).any():  # rejections are counted in the order of the messages
                    order = np.argsort(positions)
                    rows, positions = rows.take(pa.array(order)), positions[order]
                half = rows.num_rows // 2
                self._insert(rows.slice(0, half), positions[:half], guard, refused, stored)
                self._insert(rows.slice(half), positions[half:], guard, refused, stored)
                return
            refused.append(dead_letter_of_row(rows, str(error)))
            guard.reject(int(positions[0]), refused[-1])


def _inserts(dead_letters: Sequence[DeadLetter]) -> Iterator[Sequence[DeadLetter]]:
    """Divide dead letters, in order, into groups that are inserted together."""
    start = size = 0
    for end, dead_letter in enumerate(dead_letters, 1):
        size += len(dead_letter.value or b"") + len(dead_letter.key or b"")
        if size >= _MAX_BYTES_PER_INSERT or end - start == _MAX_DEAD_LETTERS_PER_INSERT or end == len(dead_letters):
            yield dead_letters[start:end]
            start, size = end, 0
