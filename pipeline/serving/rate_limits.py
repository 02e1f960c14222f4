"""How many requests a token or a peer may send: buckets that fill again with time. Pure, and bounded in memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

#: Buckets that are kept; of more, those that were not used for the longest time are forgotten.
_KEPT: Final = 4_096


class RateLimit:
    """Allows each key ``burst`` requests at once, and ``per_second`` more each second; ``per_second`` 0 means no limit."""

    def __init__(self, per_second: float, *, burst: float, monotonic: Callable[[], float]) -> None:
        self._per_second, self._burst, self._monotonic = per_second, burst, monotonic
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # key -> what is left, and when

    def take(self, key: str) -> float:
        """Count one request of ``key``; return 0 when it is allowed, else the seconds until the next one is."""
        if not self._per_second:
            return 0.0
        now = self._monotonic()
        left, then = self._buckets.pop(key, (self._burst, now))
        left = min(self._burst, left + (now - then) * self._per_second)
        wait = 0.0 if left >= 1 else (1 - left) / self._per_second
        self._buckets[key] = (left - 1 if left >= 1 else left, now)
        if len(self._buckets) > _KEPT:
            self._buckets.popitem(last=False)
        return wait
