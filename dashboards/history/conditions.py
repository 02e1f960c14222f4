"""The condition of each alert as plain arithmetic on exact counts, written independently of the expressions of the rules.

Every rate is compared as integers. A condition is an array of truth values over the instants of the figures.
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dashboards.history.acceptances import Acceptances
from dashboards.history.feed import Feed
from dashboards.history.figures import Counts, Figures
from dashboards.rules.timing import RuleTiming
from domain.agencies import Agency
from domain.periods import Window, day_start
from domain.targets import target_of
from domain.working_days import WorkingDays
from domain.working_time import CLOSES, OPENS, WORKING_DAY
from pipeline.serving.policies import policies_of
from pipeline.settings import ThresholdPolicy

Truth = NDArray[np.bool_]

_CALENDAR: Final = frozenset({Window.MONTH.value, Window.YEAR.value})
#: Windows in the order in which they are tried for an agency with few dossiers.
_STAND_INS: Final = (Window.DAY.value, Window.WEEK.value, Window.MONTH_OF_DAYS.value)
#: A change is told over these windows, on so many dossiers in both of them ...
_CHANGES: Final = {Window.WEEK: 2_000, Window.DAY: 200}
#: ... and from so many points on.
_POINTS: Final = 5
#: (agency, kpi, window, rung)
Series = tuple[str, str, str, str]


@dataclass(frozen=True, slots=True)
class Condition:
    """When an alert may start, and when it may end; of some alerts only the start is known."""

    starts: Truth
    ends: Truth | None = None


def limits_of(policy: ThresholdPolicy, agency: Agency, window: str, year: int) -> Mapping[str, Fraction]:
    """Rung -> the rate below which an alert of this rung starts. ``zero`` starts at a rate of 0."""
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
    """The conditions of AgencyRateLow by agency and rung: it starts below a limit on enough dossiers, and ends a point above."""
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


def change(figures: Figures, policies: Sequence[ThresholdPolicy]) -> Mapping[tuple[str, str, str, str], Condition]:
    """(alert, agency, kpi, window) -> the condition that a rate dropped or surged against the same window one week earlier.

    The end is known only in part: the change is not as large any more.
    """
    week = dt.timedelta(days=7) // figures.grid.step
    found: dict[tuple[str, str, str, str], Condition] = {}
    kpis = {policy.kpi for policy in policies}
    for kpi, (window, dossiers) in itertools.product(sorted(kpis), _CHANGES.items()):
        now, of = figures.within(kpi, window)
        past, past_of = figures.within(kpi, window, ago=week)
        enough = (of >= dossiers) & (past_of >= dossiers)
        if window is Window.WEEK:
            # 100 (past / past_of - now / of) >= points, in integers
            dropped = 100 * (past * of - now * past_of) >= _POINTS * past_of * of
        else:
            dropped = (2 * now * past_of <= past * of) & (past > 0)
        doubled = (now * past_of >= 2 * past * of) & (100 * (now * past_of - past * of) >= _POINTS * past_of * of)
        for name, changed in (("AgencyRateDropped", dropped), ("AgencyRateSurged", doubled)):
            for row, agency in enumerate(figures.agencies):
                found[name, agency.code, kpi, window.value] = Condition((changed & enough)[row], ~changed[row])
    return found


def silent(figures: Figures, working_days: WorkingDays) -> Mapping[str, Condition]:
    """Agency -> the condition that a whole working day passed without a dossier.

    An agency's usual pauses may make the limit longer.
    """
    grid = figures.grid
    opened = np.zeros(grid.steps)
    midnight = dt.timedelta(hours=7)
    for step in range(grid.steps):
        begin = grid.at(step)
        if working_days.is_working(grid.day(step)):
            since = (begin + midnight).replace(tzinfo=None) - dt.datetime.combine(grid.day(step), dt.time())
            opened[step] = max((min(since + grid.step, CLOSES) - max(since, OPENS)).total_seconds(), 0)
    passed = np.concatenate([[0], opened.cumsum()])
    # The event lies somewhere in its step.
    quiet = passed[None, :] - passed[np.maximum(figures.last_active, 0)]
    return {
        agency.code: Condition(quiet[row] >= WORKING_DAY, quiet[row] < WORKING_DAY + grid.step.total_seconds())
        for row, agency in enumerate(figures.agencies)
    }


def off_pace(figures: Figures, policies: Sequence[ThresholdPolicy]) -> Mapping[tuple[str, str], Condition]:
    """(agency, kpi) -> the condition that the year ends below its target even if the rest of it equals the last 30 days."""
    grid = figures.grid
    found: dict[tuple[str, str], Condition] = {}
    days = [grid.day(index) for index in range(grid.steps + 1)]
    ends = {year: day_start(dt.date(year + 1, 1, 1)) for year in {day.year for day in days}}
    left = np.array([(ends[day.year] - grid.at(index)) // grid.step for index, day in enumerate(days)], np.int64)
    month = dt.timedelta(days=30) // grid.step
    # The last instant begins the next year.
    target_year = grid.day(grid.steps - 1).year
    for kpi in sorted({policy.kpi for policy in policies}):
        year, month_of = figures.within(kpi, Window.YEAR), figures.within(kpi, Window.MONTH_OF_DAYS)
        for row, agency in enumerate(figures.agencies):
            policy = policies_of(policies, agency).get((kpi, Window.YEAR.value))
            target = (
                Fraction(str(policy.target)) if policy and policy.target else target_of(kpi, year=target_year, block=agency.block)
            )
            if target is None:
                continue
            numerator, denominator = (total[row] * month + last[row] * left for total, last in zip(year, month_of, strict=True))
            low = below(numerator, denominator, target)
            found[agency.code, kpi] = Condition(low & (month_of[1][row] > 0), ~low | (left > 305 * month // 30))
    return found


def accepted_late(figures: Figures, acceptances: Acceptances) -> Mapping[str, Condition]:
    """Agency -> the condition that over 10 % of at least 100 registrations were accepted late; the alert ends at 9 %.

    An exported count was made one step before: at midnight it is that of the day that ended.
    """
    shape = (len(figures.agencies), figures.grid.steps + 1)
    starts, ends = np.zeros(shape, np.bool_), np.zeros(shape, np.bool_)
    days = [figures.grid.day(max(index - 1, 0)) for index in range(figures.grid.steps + 1)]
    for day, group in itertools.groupby(range(len(days)), key=lambda index: days[index]):
        of_day = list(group)
        late, registered = acceptances.counts(day)
        starts[:, of_day] = ((10 * late > registered) & (registered >= 100))[:, None]
        ends[:, of_day] = ((100 * late <= 9 * registered) & (registered > 0))[:, None]
    return {agency.code: Condition(starts[row], ends[row]) for row, agency in enumerate(figures.agencies)}


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
    """The conditions of alerts on the pipeline that a feed can cause; their ends are not known, because a cause mutes them."""
    quiet = quiet_seconds(figures, feed)
    return {
        "PipelineStalled": Condition(quiet > timing.freshness_limit_seconds),
        "LagHigh": Condition(feed.waiting > timing.backlog_limit_events),
        "ExporterDown": Condition(~feed.answers),
        "ClickHouseDown": Condition(feed.answers & ~feed.storage),
        "Watchdog": Condition(np.ones_like(feed.answers)),
    }
