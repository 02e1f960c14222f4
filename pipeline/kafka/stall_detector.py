"""How long something has stood still, in seconds that this process was awake to see it."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final

_NEVER: Final = object()


class StallDetector:
    """Marks that should change, and since when each has not. Not thread-safe.

    Time is counted in steps of at most ``longest_step`` seconds: a process that was suspended for an hour (a paused virtual
    machine) has seen nothing stand still meanwhile.
    """

    def __init__(self, *, longest_step: float) -> None:
        self._longest_step = longest_step
        self._last: float | None = None
        self._awake = 0.0
        self._seen: dict[Hashable, tuple[Hashable, float]] = {}

    def step(self, now: float) -> None:
        """Time has come to ``now`` (monotonic seconds); call it before a round of ``since``."""
        if self._last is not None:
            self._awake += min(now - self._last, self._longest_step)
        self._last = now

    def since(self, what: Hashable, mark: Hashable) -> float:
        """Seconds that ``mark`` has been the same for ``what``; 0 when it just changed."""
        known, at = self._seen.get(what, (_NEVER, 0.0))
        if known != mark:
            self._seen[what] = (mark, self._awake)
            return 0.0
        return self._awake - at

    def forget(self, what: Hashable) -> None:
        """It need not change for now; the next ``since`` begins anew."""
        self._seen.pop(what, None)
