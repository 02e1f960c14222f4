"""The limit of messages held in memory. The consumer pauses fetching while this budget is used up."""

from __future__ import annotations

import threading


class MemoryBudget:
    """Counts messages that are fetched and not yet stored. Thread-safe.

    Args:
        rows: number of messages at which the budget is used up.
        size: size of messages (bytes) at which the budget is used up.
    """

    def __init__(self, *, rows: int, size: int) -> None:
        self._max_rows, self._max_size = rows, size
        self._lock = threading.Lock()
        self.rows = 0
        self.size = 0

    @property
    def full(self) -> bool:
        """Whether fetching must pause."""
        return self.rows >= self._max_rows or self.size >= self._max_size

    def reserve(self, rows: int, size: int) -> None:
        """Count ``rows`` fetched messages of ``size`` bytes."""
        with self._lock:
            self.rows += rows
            self.size += size

    def release(self, rows: int, size: int) -> None:
        """Stop counting ``rows`` messages of ``size`` bytes, which are stored."""
        with self._lock:
            self.rows -= rows
            self.size -= size
