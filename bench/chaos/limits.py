"""Limits of time that follow what the machine does without faults, so that a slow one is not taken for a broken product."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from domain.errors import UnavailableError

#: Live means: what was made this long ago is in the minute tallies (seconds). Without faults the slowest percent takes 0.7 s.
LIVE_SECONDS: Final = 1.0
#: Live means at least this many times what the slowest event took without faults.
_LIVE_FACTOR: Final = 1.5
#: Limits are multiplied by this at most.
_MOST_STRETCH: Final = 10.0
#: So many looks must agree, to this part of the largest, and this long it may take until they do (seconds). While workers catch
#: up with what was sent during their start, every look finds clearly less than the one before.
_LOOKS_AGREE, _AGREE_WITHIN, _MEASURE_SECONDS = 4, 0.1, 120.0


@dataclass(frozen=True, slots=True)
class Limits:
    """``behind``: how far the tallies were behind the traffic without faults, at most (seconds)."""

    behind: float = 0.0

    @property
    def live_seconds(self) -> float:
        """Tallies are live when they hold what was made this long ago."""
        return max(LIVE_SECONDS, _LIVE_FACTOR * self.behind)

    @property
    def stretch(self) -> float:
        """What every limit is multiplied by."""
        return min(_MOST_STRETCH, self.live_seconds / LIVE_SECONDS)

    def of(self, seconds: float) -> float:
        """A limit of so many seconds on a quick machine, as it holds on this one."""
        return seconds * self.stretch

    def __str__(self) -> str:
        return (
            f"without faults the tallies are at most {self.behind:.2f} s behind; live means {self.live_seconds:.1f} s here, "
            f"and every limit is multiplied by {self.stretch:.1f}"
        )


def measure(look: Callable[[], float], *, rate: float, monotonic: Callable[[], float] = time.monotonic) -> Limits:
    """Look until the tallies are live or fall back no further.

    Args:
        look: watches for some seconds; returns the farthest that the tallies were behind the traffic (seconds).
        rate: messages a second, for the error.
        monotonic: a clock.

    Raises:
        UnavailableError: they fall further and further back: this machine does not keep up with the rate.
    """
    deadline, looks = monotonic() + _MEASURE_SECONDS, [look()]
    while looks[-1] > LIVE_SECONDS and not _agree(looks):
        if monotonic() >= deadline:
            if _fall_back(looks):
                raise UnavailableError(
                    f"Without any fault the tallies are {looks[-1]:.0f} s behind {rate:,.0f} messages a second and fall further "
                    "back: this machine does not keep up.",
                    remedy="Choose a lower --rate.",
                )
            break  # they are behind by now more, now less: other programs take their share of this machine
        looks.append(look())
    return Limits(max(looks[-_LOOKS_AGREE:]) if looks[-1] > LIVE_SECONDS else looks[-1])


def _fall_back(looks: Sequence[float]) -> bool:
    """Whether every look of the second half found the tallies farther behind than any of the first half."""
    half = len(looks) // 2
    return half == 0 or min(looks[half:]) > max(looks[:half])


def _agree(looks: Sequence[float]) -> bool:
    """Whether the last looks found about the same."""
    last = looks[-_LOOKS_AGREE:]
    return len(last) == _LOOKS_AGREE and max(last) - min(last) <= _AGREE_WITHIN * max(last)
