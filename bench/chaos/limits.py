"""Time limits scaled by the speed of this machine without faults, so that a slow machine does not look like a broken product."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from domain.errors import UnavailableError

#: Live means: events created this long ago are in the minute tallies (seconds). Without faults the slowest percent takes 0.7 s.
LIVE_SECONDS: Final = 1.0
#: The time for live is at least this many times the longest delay without faults.
_LIVE_FACTOR: Final = 1.5
#: Limits are multiplied by this at most.
_MAX_FACTOR: Final = 10.0
#: This many measurements must agree, within this share of the largest, and it may take this long until they do (seconds). While
#: workers catch up with messages from before their start, every measurement is clearly smaller than the one before.
_MUST_AGREE, _AGREE_WITHIN, _MEASURE_SECONDS = 4, 0.1, 120.0


@dataclass(frozen=True, slots=True)
class Limits:
    """``behind``: the longest delay of the tallies behind the traffic without faults (seconds)."""

    behind: float = 0.0

    @property
    def live_seconds(self) -> float:
        """Tallies are live when they contain the events created this long ago."""
        return max(LIVE_SECONDS, _LIVE_FACTOR * self.behind)

    @property
    def factor(self) -> float:
        """The factor of every limit."""
        return min(_MAX_FACTOR, self.live_seconds / LIVE_SECONDS)

    def of(self, seconds: float) -> float:
        """A time limit for a fast machine, extended for this one (seconds)."""
        return seconds * self.factor

    def __str__(self) -> str:
        return (
            f"without faults the tallies are at most {self.behind:.2f} s behind; live means {self.live_seconds:.1f} s here, "
            f"and every limit is multiplied by {self.factor:.1f}"
        )


def measure(measure_delay: Callable[[], float], *, rate: float, monotonic: Callable[[], float] = time.monotonic) -> Limits:
    """Measure until the tallies are live or their delay no longer grows.

    Args:
        measure_delay: measures for some seconds; returns the longest delay of the tallies (seconds).
        rate: messages a second, for the error.
        monotonic: a clock.

    Raises:
        UnavailableError: the delay keeps growing: this machine does not keep up with the rate.
    """
    deadline, delays = monotonic() + _MEASURE_SECONDS, [measure_delay()]
    while delays[-1] > LIVE_SECONDS and not _agree(delays):
        if monotonic() >= deadline:
            if _grows(delays):
                raise UnavailableError(
                    f"Without any fault the tallies are {delays[-1]:.0f} s behind {rate:,.0f} messages a second and the delay "
                    "grows: this machine does not keep up.",
                    remedy="Choose a lower --rate.",
                )
            break  # the delay varies: other programs use this machine
        delays.append(measure_delay())
    return Limits(max(delays[-_MUST_AGREE:]) if delays[-1] > LIVE_SECONDS else delays[-1])


def _grows(delays: Sequence[float]) -> bool:
    """Whether every delay of the second half is longer than any of the first half."""
    half = len(delays) // 2
    return half == 0 or min(delays[half:]) > max(delays[:half])


def _agree(delays: Sequence[float]) -> bool:
    """Whether the latest delays are about the same."""
    last = delays[-_MUST_AGREE:]
    return len(last) == _MUST_AGREE and max(last) - min(last) <= _AGREE_WITHIN * max(last)
