"""Work that a background thread repeats, with pauses, beside the main work of a process."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod


class BackgroundRounds(ABC):
    """Runs rounds in a thread until ``stop`` is called. A round must not raise, and may check ``stopping`` to end early.

    Args:
        name: the name of the thread.
    """

    def __init__(self, name: str) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def stopping(self) -> bool:
        """Whether ``stop`` was called."""
        return self._stop.is_set()

    def start(self) -> None:
        """Start the thread and return at once. Call it at most once."""
        self._thread.start()

    def stop(self, *, grace: float) -> None:
        """Stop after the current round; wait at most ``grace`` seconds for it. A round only reads, so it may be left running."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(grace)

    @abstractmethod
    def round(self) -> float:
        """Do one round of work; return the pause until the next round (seconds)."""

    def _run(self) -> None:
        while not self.stopping:
            self._stop.wait(self.round())
