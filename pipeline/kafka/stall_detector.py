"""Measures how long values have not changed, in seconds during which this process was running."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final

_NEVER: Final = object()


class StallDetector:
    """Keeps progress tokens by key, and since when each token is unchanged. Not thread-safe.

    One tick counts at most ``longest_tick`` seconds: time during which the process was suspended (for example in a paused
    virtual machine) is not counted.
    """

    def __init__(self, *, longest_tick: float) -> None:
        self._longest_tick = longest_tick
        self._last: float | None = None
        self._awake = 0.0
        self._seen: dict[Hashable, tuple[Hashable, float]] = {}

    def tick(self, now: float) -> None:
        """Advance to ``now`` (monotonic seconds). Call it before each round of ``unchanged_seconds``."""
        if self._last is not None:
            self._awake += min(now - self._last, self._longest_tick)
        self._last = now

    def unchanged_seconds(self, key: Hashable, token: Hashable) -> float:
        """Seconds for which the token of ``key`` has been equal to ``token``; 0: it has just changed."""
        known, since = self._seen.get(key, (_NEVER, 0.0))
        if known != token:
            self._seen[key] = (token, self._awake)
            return 0.0
        return self._awake - since

    def reset(self, key: Hashable) -> None:
        """Start at 0 again for ``key``, whose token need not change for now."""
        self._seen.pop(key, None)
