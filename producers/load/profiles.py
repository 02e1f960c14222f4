"""Load shapes: the target rate over time as straight lines, so that the rate at a moment and the count up to it are exact."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from producers.measuring.result import Window
from producers.portals.daily_traffic import FLOOR, OFFICE_HOURS

#: Length of the windows of a soak (seconds): a slow decay shows from window to window.
_SOAK_WINDOW: Final = 60.0
#: Number of windows of a ramp.
_RAMP_PARTS: Final = 10


@dataclass(frozen=True, slots=True)
class Profile:
    """Target messages a second over time: straight lines between ``points`` (seconds, rate); a jump is two points of one time."""

    name: str
    points: tuple[tuple[float, float], ...]
    windows: tuple[Window, ...]

    @property
    def seconds(self) -> float:
        """The length of the profile in seconds."""
        return self.points[-1][0]

    def rate(self, at: float) -> float:
        """The target rate (messages a second) ``at`` seconds after the start; 0 after the end."""
        if at >= self.seconds:
            return 0.0
        after = bisect_right(self.points, at, key=lambda point: point[0])
        (left, low), (right, high) = self.points[after - 1], self.points[after]
        return low + (high - low) * (at - left) / (right - left)

    def count(self, until: float) -> float:
        """How many messages are due from the start until ``until`` seconds after it."""
        total = 0.0
        for (left, low), (right, high) in pairwise(self.points):
            if until <= left:
                break
            end = min(until, right)
            if right > left:
                at_end = low + (high - low) * (end - left) / (right - left)
                total += (low + at_end) / 2 * (end - left)
        return total


def steady(rate: float, seconds: float, *, name: str = "steady") -> Profile:
    """A profile with the same rate all the time."""
    return Profile(name, ((0.0, rate), (seconds, rate)), (Window(name, 0.0, seconds, rate),))


def ramp(low: float, high: float, seconds: float) -> Profile:
    """A profile that goes from one rate to another at a constant slope."""
    windows = []
    for part in range(_RAMP_PARTS):
        start, end = seconds * part / _RAMP_PARTS, seconds * (part + 1) / _RAMP_PARTS
        windows.append(Window(f"part {part + 1}", start, end, low + (high - low) * (part + 0.5) / _RAMP_PARTS))
    return Profile("ramp", ((0.0, low), (seconds, high)), tuple(windows))


def step(low: float, high: float, seconds: float, *, steps: int) -> Profile:
    """A profile that goes from one rate to another in equal steps of equal length."""
    points: list[tuple[float, float]] = []
    windows: list[Window] = []
    for number in range(steps):
        rate = low + (high - low) * number / max(steps - 1, 1)
        start, end = seconds * number / steps, seconds * (number + 1) / steps
        points += [(start, rate), (end, rate)]
        windows.append(Window(f"step {number + 1}", start, end, rate))
    return Profile("step", tuple(points), tuple(windows))


def spike(base: float, peak: float, seconds: float) -> Profile:
    """A profile with a base rate, a sudden peak for the middle fifth of the time, and the base rate again."""
    rise, fall = seconds * 0.4, seconds * 0.6
    return Profile(
        "spike",
        ((0.0, base), (rise, base), (rise, peak), (fall, peak), (fall, base), (seconds, base)),
        (Window("before", 0.0, rise, base), Window("peak", rise, fall, peak), Window("after", fall, seconds, base)),
    )


def daily(peak: float, seconds: float) -> Profile:
    """A profile of a working day (``daily_traffic.OFFICE_HOURS``), compressed into ``seconds``.

    ``peak`` is the rate of its busiest hour.
    """
    levels = [max(level, FLOOR) * peak for level in OFFICE_HOURS]
    hour = seconds / 24
    middles = [((number + 0.5) * hour, level) for number, level in enumerate(levels)]
    midnight = (levels[0] + levels[-1]) / 2
    points = ((0.0, midnight), *middles, (seconds, midnight))
    windows = tuple(Window(f"{at:02d}:00", at * hour, (at + 1) * hour, level) for at, level in enumerate(levels))
    return Profile("daily", points, windows)


def soak(rate: float, seconds: float) -> Profile:
    """A profile with the same rate for a long time, reported minute by minute."""
    windows: list[Window] = []
    start = 0.0
    while start < seconds:
        end = min(start + _SOAK_WINDOW, seconds)
        windows.append(Window(f"minute {len(windows) + 1}", start, end, rate))
        start = end
    return Profile("soak", ((0.0, rate), (seconds, rate)), tuple(windows))
