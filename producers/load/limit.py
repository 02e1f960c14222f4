"""Finds the highest rate that keeps the latency objective: raises the rate until the objective is missed, then bisects."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from producers.measuring.latency import Latency

#: A trial that sent less than this part of its target rate has missed it.
_REACHED: Final = 0.95
#: The search ends below this part of its first rate.
_LOWEST: Final = 1 / 64


@dataclass(frozen=True, slots=True)
class Objective:
    """The latency objective: 99 of 100 events are visible within ``seconds``."""

    seconds: float = 0.75


@dataclass(frozen=True, slots=True)
class Trial:
    """One rate that was tried: target and reached messages a second, and the measured latency."""

    wanted: float
    reached: float
    latency: Latency | None

    def broken_by(self, objective: Objective) -> str:
        """Why the objective was missed; empty when it was kept."""
        if self.reached < self.wanted * _REACHED:
            return "rate not reached"
        if self.latency is None or self.latency.unseen:
            return "not all became visible"
        # A NaN never keeps the objective.
        return "" if self.latency.p99 <= objective.seconds else f"p99 {self.latency.p99 * 1000:,.0f} ms"


@dataclass(frozen=True, slots=True)
class Limit:
    """The highest rate that kept the objective (None: none did), and every trial. ``open_ended``: no rate missed it."""

    objective: Objective
    max_sustainable_rate: float | None
    open_ended: bool
    trials: Sequence[Trial]

    def as_dict(self) -> dict[str, Any]:
        """The limit and its trials as JSON values for the report."""
        return {
            "objective_p99_seconds": self.objective.seconds,
            "knee_rate": None if self.max_sustainable_rate is None else round(self.max_sustainable_rate, 1),
            "open_ended": self.open_ended,
            "trials": [
                {
                    "target_rate": round(trial.wanted, 1),
                    "rate": round(trial.reached, 1),
                    "latency_seconds": trial.latency.as_dict() if trial.latency else None,
                    "broken_by": trial.broken_by(self.objective),
                }
                for trial in self.trials
            ],
        }

    def text(self) -> str:
        """The limit and its trials as text for people."""
        lines = ["  wanted/s       sent/s   p50 ms   p95 ms   p99 ms"]
        for trial in self.trials:
            lag = trial.latency
            figures = "       -        -        -"
            if lag is not None:
                figures = " ".join(f"{value * 1000:>8,.0f}" for value in (lag.p50, lag.p95, lag.p99))
            verdict = trial.broken_by(self.objective) or "holds"
            lines.append(f"{trial.wanted:>10,.0f} {trial.reached:>12,.0f} {figures}   {verdict}")
        said = f"p99 <= {self.objective.seconds:g} s"
        if self.max_sustainable_rate is None:
            lines.append(f"No rate held {said}.")
        else:
            more = " and was not broken" if self.open_ended else ""
            lines.append(f"Knee: {self.max_sustainable_rate:,.0f} events/s held {said}{more}.")
        return "\n".join(lines)


def find_limit(
    trial: Callable[[float], Trial],
    *,
    objective: Objective,
    start: float,
    max_rate: float,
    factor: float = 1.5,
    precision: float = 1.1,
) -> Limit:
    """Search between ``start`` / 64 and ``max_rate`` messages a second.

    A rate that misses the objective is tried once more, because a machine may have been busy. The search ends when the lowest
    rate that missed is at most ``precision`` times the highest that kept it.
    """
    trials: list[Trial] = []
    good: float | None = None
    bad: float | None = None
    rate: float | None = min(start, max_rate)
    while rate is not None:
        if _holds(rate, trial, objective, trials):
            good = rate
        else:
            bad = rate
        rate = _next_rate(good, bad, rate, bounds=(start * _LOWEST, max_rate), factor=factor, precision=precision)
    return Limit(objective, good, open_ended=good is not None and bad is None, trials=trials)


def _holds(rate: float, trial: Callable[[float], Trial], objective: Objective, trials: list[Trial]) -> bool:
    for _ in range(2):
        trials.append(trial(rate))
        if not trials[-1].broken_by(objective):
            return True
    return False


def _next_rate(
    good: float | None, bad: float | None, rate: float, *, bounds: tuple[float, float], factor: float, precision: float
) -> float | None:
    """The next rate to try in messages a second; None: the search is over."""
    lowest, max_rate = bounds
    if good is None:
        lower = rate / (factor * factor)
        return lower if lower >= lowest else None
    if bad is None:
        return min(rate * factor, max_rate) if rate < max_rate else None
    return math.sqrt(good * bad) if bad / good > precision else None
