"""The interface between sending and the display of its progress."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

#: The target rate at a moment (seconds after the start); None: as fast as possible.
TargetRate = Callable[[float], float | None]


class Progress(Protocol):
    """Displays how many messages were sent."""

    def expect(self, total: int | None) -> None:
        """Set how many messages there will be; None: no end is known."""
        ...

    def set_target(self, target: TargetRate) -> None:
        """Set what is displayed as the target rate."""
        ...

    def update(self, sent: int) -> None:
        """Set how many messages were handed to the sender."""
        ...


class NullProgress:
    """A progress display that shows nothing."""

    def expect(self, total: int | None) -> None:
        """Do nothing."""

    def set_target(self, target: TargetRate) -> None:
        """Do nothing."""

    def update(self, sent: int) -> None:
        """Do nothing."""
