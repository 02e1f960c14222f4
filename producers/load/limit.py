"""Finds the rate at which freshness breaks its objective: raised geometrically until it breaks, then halved in between."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from producers.measuring.latency import Latency

#: A trial in which less than this part of the wanted rate went out has not held it.
_REACHED: Final = 0.95
#: The search gives up below this part of the rate it began with.
_LOWEST: Final = 1 / 64


@dataclass(frozen=True, slots=True)
class Objective:
    """99 of 100 events are visible within ``seconds``."""

    seconds: float = 0.75


@dataclass(frozen=True, slots=True)
class Trial:
    """One rate that was tried: messages a second wanted and reached, and the latency seen."""

    wanted: float
    reached: float
    latency: Latency | None

    def broken_by(self, objective: Objective) -> str:
        """Why the objective was missed; empty when it held."""
        if self.reached < self.wanted * _REACHED:
            return "rate not reached"
        if self.latency is None or self.latency.unseen:
            return "not all became visible"
        # A NaN is no quantile that held.
        return "" if self.latency.p99 <= objective.seconds else f"p99 {self.latency.p99 * 1000:,.0f} ms"


@dataclass(frozen=True, slots=True)
class Limit:
    """The knee: the highest rate that held (None: none did), and every trial. ``open_ended``: nothing broke it."""

    objective: Objective
    knee: float | None
    open_ended: bool
    trials: Sequence[Trial]

    def as_dict(self) -> dict[str, Any]:
        """For the JSON report."""
        return {
            "objective_p99_seconds": self.objective.seconds,
            "knee_rate": None if self.knee is None else round(self.knee, 1),
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
        """For people."""
        lines = ["  wanted/s       sent/s   p50 ms   p95 ms   p99 ms"]
        for trial in self.trials:
            lag = trial.latency
            figures = "       -        -        -"
            if lag is not None:
                figures = " ".join(f"{value * 1000:>8,.0f}" for value in (lag.p50, lag.p95, lag.p99))
            verdict = trial.broken_by(self.objective) or "holds"
            lines.append(f"{trial.wanted:>10,.0f} {trial.reached:>12,.0f} {figures}   {verdict}")
        said = f"p99 <= {self.objective.seconds:g} s"
        if self.knee is None:
            lines.append(f"No rate held {said}.")
        else:
            more = " and was not broken" if self.open_ended else ""
            lines.append(f"Knee: {self.knee:,.0f} events/s held {said}{more}.")
        return "\n".join(lines)


def find_limit(
    trial: Callable[[float], Trial],
    *,
    objective: Objective,
    start: float,
    most: float,
    factor: float = 1.5,
    precision: float = 1.1,
) -> Limit:
    """Search the knee between ``start`` / 64 and ``most`` messages a second.

    A rate that breaks is tried once more before it counts: a machine has bad seconds. The search ends when the lowest rate
    that broke is at most ``precision`` times the highest that held.
    """
    trials: list[Trial] = []
    good: float | None = None
    bad: float | None = None
    rate: float | None = min(start, most)
    while rate is not None:
        if _holds(rate, trial, objective, trials):
            good = rate
        else:
            bad = rate
        rate = _next_rate(good, bad, rate, bounds=(start * _LOWEST, most), factor=factor, precision=precision)
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
    """The next rate to try; None: the search is over."""
    lowest, most = bounds
    if good is None:
        lower = rate / (factor * factor)
        return lower if lower >= lowest else None
    if bad is None:
        return min(rate * factor, most) if rate < most else None
    return math.sqrt(good * bad) if bad / good > precision else None
