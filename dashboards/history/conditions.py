"""What each alert says, as plain arithmetic on exact counts: independent of the expressions of the rules.

Every rate is compared as integers. A condition is an array of truth values over the instants of the figures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dashboards.history.feed import Feed
from dashboards.history.figures import Counts, Figures
from dashboards.rules.timing import RuleTiming
from domain.agencies import Agency
from domain.periods import Window
from domain.targets import target_of
from pipeline.serving.policies import policies_of
from pipeline.settings import ThresholdPolicy

Truth = NDArray[np.bool_]

_CALENDAR: Final = frozenset({Window.MONTH.value, Window.YEAR.value})
#: Windows in the order in which they are tried for an agency with few dossiers.
_STAND_INS: Final = (Window.DAY.value, Window.WEEK.value, Window.MONTH_OF_DAYS.value)
#: (agency, kpi, window, rung)
Series = tuple[str, str, str, str]


@dataclass(frozen=True, slots=True)
class Condition:
    """When an alert may start, and when it may end; of some alerts only the start is known."""

    starts: Truth
    ends: Truth | None = None


def limits_of(policy: ThresholdPolicy, agency: Agency, window: str, year: int) -> Mapping[str, Fraction]:
    """Rung -> the rate below which it starts. ``zero`` starts at 0."""
    ratio, low, target = (Fraction(str(value)) for value in (policy.ratio, policy.low_ratio, policy.target))
    if not target and window == Window.YEAR.value:
        target = target_of(policy.kpi, year=year, block=agency.block) or Fraction(0)
    limits = {"zero": Fraction(0), "below5": ratio}
    if low > ratio:
        limits["below10"] = low
    if target > max(limits.values()):
        limits["target"] = target
    return limits


def rate_low(figures: Figures, policies: Sequence[ThresholdPolicy], timing: RuleTiming) -> Mapping[Series, Condition]:
    """The ladder of every agency: below a limit on enough dossiers, until it is one point above."""
    found: dict[Series, Condition] = {}
    year = figures.grid.day(figures.grid.steps - 1).year
    deadband = Fraction(str(timing.deadband_ratio))
    for row, agency in enumerate(figures.agencies):
        judged = policies_of(policies, agency)
        counts = {key: tuple(each[row] for each in figures.within(key[0], Window(key[1]))) for key in judged}
        enough = {key: counts[key][1] >= judged[key].min_volume for key in judged}
        for (kpi, window), policy in judged.items():
            numerator, denominator = counts[kpi, window]
            may_start = enough[kpi, window] & (denominator > 0)
            if policy.window != window:
                shorter = _STAND_INS[: _STAND_INS.index(window)]
                for other in shorter:
                    may_start &= ~enough[kpi, other]
            too_few = ~enough[kpi, window] if window in _CALENDAR else np.zeros_like(may_start)
            for rung, limit in limits_of(policy, agency, window, year).items():
                if rung == "zero":
                    low, clear = numerator == 0, numerator > 0
                else:
                    low = below(numerator, denominator, limit)
                    clear = ~below(numerator, denominator, min(limit + deadband, Fraction(1)))
                ends = ((denominator > 0) & clear) | too_few
                found[agency.code, kpi, window, rung] = Condition(low & may_start, ends)
    return found


def below(numerator: Counts, denominator: Counts, limit: Fraction) -> Truth:
    """Whether a rate is strictly below a limit."""
    result: Truth = numerator * limit.denominator < denominator * limit.numerator
    return result


def quiet_seconds(figures: Figures, feed: Feed) -> NDArray[np.float64]:
    """Seconds since the newest counted event at each instant."""
    newest = figures.last_active.max(axis=0)[feed.counted]
    step = figures.grid.step.total_seconds()
    events = figures.events.sum(axis=0)[np.maximum(newest, 0)]
    return (np.arange(figures.grid.steps + 1) - (newest + 1)) * step + step / (events + 1)  # type: ignore[no-any-return]


def pipeline(figures: Figures, feed: Feed, timing: RuleTiming) -> Mapping[str, Condition]:
    """Alerts on the pipeline that a feed can cause; of their ends nothing is said, because a cause mutes them."""
    quiet = quiet_seconds(figures, feed)
    return {
        "PipelineStalled": Condition(quiet > timing.freshness_limit_seconds),
        "LagHigh": Condition(feed.waiting > timing.backlog_limit_events),
        "ExporterDown": Condition(~feed.answers),
        "ClickHouseDown": Condition(feed.answers & ~feed.storage),
        "Watchdog": Condition(np.ones_like(feed.answers)),
    }


#: (name of the alert, seconds that it waits, seconds that it goes on) of the alerts on agencies.
WAITS: Final[Mapping[str, Callable[[RuleTiming], tuple[int, int]]]] = {
    "AgencyRateLow": lambda timing: (timing.agency_for_seconds, timing.agency_keep_firing_seconds),
}
