"""Bounds the messages held in memory. The consumer pauses fetching while the budget is used up."""

from __future__ import annotations

import threading


class MemoryBudget:
    """Counts messages that are fetched and not yet stored. Thread-safe.

    Args:
        rows: messages at which the budget is used up.
        size: bytes at which the budget is used up.
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
        """Count messages that were fetched."""
        with self._lock:
            self.rows += rows
            self.size += size

    def release(self, rows: int, size: int) -> None:
        """Stop counting messages that are stored."""
        with self._lock:
            self.rows -= rows
            self.size -= size
