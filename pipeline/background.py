"""Work that is repeated in a thread of its own beside the process's main work, with pauses."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod


class BackgroundRounds(ABC):
    """Runs rounds until it is stopped. A round must not raise, and may check ``stopping`` to end early.

    Args:
        name: of the thread.
    """

    def __init__(self, name: str) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def stopping(self) -> bool:
        """Whether ``stop`` was called."""
        return self._stop.is_set()

    def start(self) -> None:
        """Start the thread; returns at once. Call at most once."""
        self._thread.start()

    def stop(self, *, grace: float) -> None:
        """Stop, and wait at most ``grace`` seconds. A round only reads, so it may be left running."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(grace)

    @abstractmethod
    def round(self) -> float:
        """Do a piece of work; returns the pause until the next one (seconds)."""

    def _run(self) -> None:
        while not self.stopping:
            self._stop.wait(self.round())
