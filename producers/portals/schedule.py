"""When simulated dossiers are submitted, settled and returned: office hours, holidays, durations, and the bounds of a period.

All instants are epoch milliseconds (UTC); those of dossiers are drawn as arrays.
"""

from __future__ import annotations

import datetime as dt
from typing import Final

import numpy as np

from domain.periods import VIETNAM_OFFSET_MINUTES, Period, day_start
from producers.portals.daily_traffic import OFFICE_HOURS, ONLINE_HOURS, WEEKEND

DAY_MS: Final = 86_400_000
HOUR_MS: Final = 3_600_000
_MINUTE_MS: Final = 60_000
OFFSET_MS: Final = VIETNAM_OFFSET_MINUTES * _MINUTE_MS
_EPOCH: Final = dt.date(1970, 1, 1)

#: Public holidays of the simulated periods: little is settled then (Tết Giáp Thìn was 8 to 14 February 2024, Tết Ất Tỵ 25 January
#: to 2 February 2025).
_HOLIDAYS: Final = frozenset(
    [dt.date(2024, 1, 1), dt.date(2024, 4, 18), dt.date(2024, 4, 29), dt.date(2024, 4, 30), dt.date(2024, 5, 1)]
    + [dt.date(2024, 2, day) for day in range(8, 15)]
    + [dt.date(2025, 1, 25) + dt.timedelta(days=day) for day in range(9)]
)
_HOLIDAY: Final = 0.02
#: From submission to the end of a dossier: median, spread (log-normal), bounds.
_DURATION_MEDIAN_MS: Final = int(2.5 * DAY_MS)
_DURATION_SIGMA: Final = 1.0
_DURATION_MS: Final = (10 * _MINUTE_MS, 38 * DAY_MS)
#: From settled to returned.
_RETURN_MEDIAN_MS: Final = 5 * HOUR_MS
_RETURN_SIGMA: Final = 1.4
_RETURN_MS: Final = (_MINUTE_MS, 20 * DAY_MS)
#: Dossiers settled on the day before the period, and on the day after it, relative to those settled in it.
_OUTSIDE_RATIO: Final = 0.004
#: How far from the bounds of the period its first and last dossier are settled (ms).
_NEAR_MIDNIGHT: Final = (0, 1, 999, 30_000, 240_000)


def bounds(period: Period) -> tuple[int, int]:
    """The first instant of a period and the first instant after it, in epoch milliseconds."""
    first, end = period.instants()
    return int(first.timestamp() * 1000), int(end.timestamp() * 1000)


def settlement_instants(rng: np.random.Generator, period: Period, count: int) -> np.ndarray:
    """Sorted instants of settlement within the period; the first and the last lie close to the period's bounds."""
    instants = working_instants(rng, period, count)
    first, end = bounds(period)
    if count >= 2:
        instants[0] = first + int(rng.choice(_NEAR_MIDNIGHT))
        instants[-1] = end - 1 - int(rng.choice(_NEAR_MIDNIGHT))
    return np.sort(instants)


def working_instants(rng: np.random.Generator, period: Period, count: int) -> np.ndarray:
    """Sorted instants over the working days and office hours of the period."""
    days = [period.start + dt.timedelta(days=offset) for offset in range(period.days)]
    weights = np.array([_weight(day) for day in days])
    chosen = rng.choice(len(days), size=count, p=weights / weights.sum())
    midnight = int(day_start(period.start).timestamp() * 1000)
    return np.sort(midnight + chosen * DAY_MS + times_of_day(rng, count, OFFICE_HOURS))


def _weight(day: dt.date) -> float:
    if day in _HOLIDAYS:
        return _HOLIDAY
    return WEEKEND if day.isoweekday() > 5 else 1.0


def times_of_day(rng: np.random.Generator, count: int, hours: tuple[float, ...]) -> np.ndarray:
    """Draw milliseconds since midnight, distributed like the weights of the 24 hours."""
    cumulated = np.cumsum(hours)
    hour = np.searchsorted(cumulated / cumulated[-1], rng.random(count), side="right")
    return hour.astype(np.int64) * HOUR_MS + rng.integers(0, HOUR_MS, size=count)


def outside_instants(rng: np.random.Generator, period: Period, settled: int) -> tuple[np.ndarray, np.ndarray]:
    """Instants of settlement on the day before and on the day after the period, including the instants next to its bounds."""
    first, end = bounds(period)
    count = max(2, round(settled * _OUTSIDE_RATIO))
    before = first - DAY_MS + times_of_day(rng, count, OFFICE_HOURS)
    before[:2] = (first - DAY_MS, first - 1)
    after = end + times_of_day(rng, count, OFFICE_HOURS)
    after[0] = end
    return np.sort(before), np.sort(after)


def durations(rng: np.random.Generator, count: int) -> np.ndarray:
    """Draw how long dossiers take from submission to their end (ms)."""
    return _log_normal(rng, count, _DURATION_MEDIAN_MS, _DURATION_SIGMA, _DURATION_MS)


def return_gaps(rng: np.random.Generator, count: int) -> np.ndarray:
    """Draw how long results wait to be returned (ms)."""
    return _log_normal(rng, count, _RETURN_MEDIAN_MS, _RETURN_SIGMA, _RETURN_MS)


def _log_normal(rng: np.random.Generator, count: int, median: int, sigma: float, limits: tuple[int, int]) -> np.ndarray:
    drawn: np.ndarray = np.clip(median * rng.lognormal(0.0, sigma, size=count), *limits).astype(np.int64)
    return drawn


def submissions(rng: np.random.Generator, ended: np.ndarray, *, online: np.ndarray) -> np.ndarray:
    """Draw when the dossiers that end at ``ended`` were submitted: in office hours, or at any hour when online."""
    rough = ended - durations(rng, len(ended))
    midnight = (rough + OFFSET_MS) // DAY_MS * DAY_MS - OFFSET_MS
    at_home, at_desk = (times_of_day(rng, len(ended), hours) for hours in (ONLINE_HOURS, OFFICE_HOURS))
    moved = midnight + np.where(online, at_home, at_desk)
    submitted: np.ndarray = np.where(moved <= ended - _DURATION_MS[0], moved, rough)
    return submitted


def local_day(instants: np.ndarray) -> np.ndarray:
    """The local days of instants (epoch milliseconds), as days since 1970-01-01."""
    days: np.ndarray = (instants + OFFSET_MS) // DAY_MS
    return days


def date_of(day: int) -> dt.date:
    """The date of a day number (days since 1970-01-01)."""
    return _EPOCH + dt.timedelta(days=day)


def day_number(day: dt.date) -> int:
    """The day number (days since 1970-01-01) of a date."""
    return (day - _EPOCH).days
