"""A simulated year of agencies of real size: nights, weekends, Tết and other holidays, growth, noise, and faults.

Sizes and rates are those of ``sizes.csv``, the figures of the scenario ``emc-2024`` (printed rates with chosen volumes; the rest
is invented), with larger volumes. All random numbers follow from the seed.
"""

from __future__ import annotations

import csv
import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Final

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from dashboards.history.acceptances import Acceptances, acceptances
from dashboards.history.faults import Fault, Injected, feed_of
from dashboards.history.feed import Feed
from dashboards.history.figures import Figures, Grid
from domain.agencies import AgencyRegistry
from domain.errors import ConfigurationError
from domain.periods import Period, day_start
from domain.working_days import WorkingDays

#: Dossiers of ``sizes.csv`` are of so many days ...
_SIZES_DAYS: Final = 233
#: ... and a hundred thousand in all; the country settles tens of millions a year.
_VOLUME: Final = 200
#: Days before the period, so that every window is full and it is known how long an agency is usually quiet.
_HISTORY_DAYS: Final = 92
#: Share of a working day's dossiers on weekends, and on holidays.
_WEEKEND, _HOLIDAY = 0.08, 0.03
#: Relative intensity of each local hour.
_HOURS: Final = (
    0.04, 0.02, 0.02, 0.02, 0.02, 0.04, 0.10, 0.35, 0.90, 1.00, 0.95, 0.55,
    0.25, 0.60, 0.90, 0.95, 0.80, 0.40, 0.20, 0.20, 0.22, 0.20, 0.14, 0.08,
)  # fmt: skip
#: What a year adds to the volume, and to the odds of a rate (logarithm).
_GROWTH, _RISE = 0.15, 0.35
#: Noise of a day: of the volume, and of the odds of a rate, which lasts for some days.
_VOLUME_NOISE, _RATE_NOISE, _LASTING = 0.12, 0.08, 0.8
#: Online dossiers are also settled outside of office hours: what that adds to the odds.
_AT_NIGHT: Final = 0.6
#: Drops: points and days. An agency drops only where its rate leaves room.
_POINTS: Final = (3, 5, 6, 8, 10, 15, 20, 30)
_DROP_DAYS: Final = (1, 3, 7, 7, 8, 10, 14, 28)
#: Days between two drops of one agency.
_APART: Final = 24
#: Faults in thirty days: kind, number, shortest and longest duration in hours.
_FAULTS: Final = (
    (Fault.STALL, 2, 3, 30),
    (Fault.BACKLOG, 1, 3, 12),
    (Fault.EXPORTER, 1, 3, 14),
    (Fault.STORAGE, 1, 3, 10),
    (Fault.SCRAPE, 8, 0, 0),
)


@dataclass(frozen=True, slots=True)
class Drop:
    """An injected drop: the rate of an agency falls by some points from one day on, for some days."""

    agency: str
    first: dt.date
    days: int
    points: int


@dataclass(frozen=True, slots=True)
class Silence:
    """An injected silence: an agency settles no dossiers for some days."""

    agency: str
    first: dt.date
    days: int


@dataclass(frozen=True, slots=True)
class Year:
    """A simulated year: what happened, its feed, what was injected, and how soon registrations were accepted."""

    period: Period
    figures: Figures
    feed: Feed
    drops: Sequence[Drop]
    silences: Sequence[Silence]
    faults: Sequence[Injected]
    acceptances: Acceptances


def simulate(
    period: Period,
    *,
    step: dt.timedelta,
    seed: int,
    registry: AgencyRegistry,
    working_days: WorkingDays,
    agencies: int | None = None,
) -> Year:
    """Simulate a period (a year, or a part of one) and the history before it.

    Args:
        period: civil days whose alerts are judged.
        step: length of a step; it divides an hour or is whole hours of a day.
        seed: all random numbers follow from it.
        registry: names and blocks of the agencies on the first day.
        working_days: which days are working days.
        agencies: how many of the agencies to simulate, of all sizes; None: all.

    Raises:
        ConfigurationError: the registry has none of the agencies on the first day, or the holidays of a year are not known.
    """
    rng = np.random.default_rng(seed)
    first = period.start - dt.timedelta(days=_HISTORY_DAYS)
    # A year to date begins on 1 January.
    first = min(first, period.start.replace(month=1, day=1))
    days = [first + dt.timedelta(days=number) for number in range((period.end - first).days + 1)]
    steps_a_day = dt.timedelta(days=1) // step
    grid = Grid(day_start(first), step, len(days) * steps_a_day)
    sizes = _sizes(agencies)
    found = [registry.at(code, period.start) for code, _, _ in sizes]
    chosen = [agency for agency in found if agency is not None]
    if not chosen:
        raise ConfigurationError(
            f"No simulated agency is in the registry on {period.start}.", remedy="Choose another year, such as 2024."
        )
    dossiers = np.array([size for code, size, _ in sizes if registry.at(code, period.start)]) * _VOLUME / _SIZES_DAYS
    rates = np.array([rate for code, _, rate in sizes if registry.at(code, period.start)])
    drops = _drops(rng, [agency.code for agency in chosen], rates, period)
    silences = _silences(rng, [agency.code for agency in chosen], drops, period)
    rows = {agency.code: row for row, agency in enumerate(chosen)}
    volume, rate = _by_day(rng, days, dossiers, rates, working_days)
    lost = np.zeros_like(rate)
    for drop in drops:
        at = (drop.first - first).days
        lost[rows[drop.agency], at : at + drop.days] = drop.points / 100
    for silence in silences:
        at = (silence.first - first).days
        volume[rows[silence.agency], at : at + silence.days] = 0
    settled, full = _by_step(rng, volume, rate, lost, steps_a_day)
    figures = Figures(grid, chosen, {"settled": settled, "settled_full": full})
    faults = _faults(rng, period, grid)
    # Random numbers of its own: the rest of a year stays what its seed made of it.
    accepted = acceptances(
        np.random.default_rng([seed, 1]), grid, settled=volume, hours=_intensity(steps_a_day), working_days=working_days
    )
    return Year(period, figures, feed_of(grid, faults, settled), drops, silences, faults, accepted)


def _sizes(agencies: int | None) -> list[tuple[str, int, float]]:
    """(code, dossiers, rate) of each agency to simulate, the largest first."""
    text = resources.files("dashboards.history").joinpath("sizes.csv").read_text(encoding="utf-8")
    rows = [
        (row["agency"], int(row["settled"]), int(row["settled_full"]) / int(row["settled"]))
        for row in csv.DictReader(text.splitlines())
    ]
    rows.sort(key=lambda row: (-row[1], row[0]))
    if agencies is None or agencies >= len(rows):
        return rows
    return [rows[number * len(rows) // agencies] for number in range(agencies)]


def _by_day(
    rng: Generator, days: Sequence[dt.date], dossiers: NDArray[np.float64], rates: NDArray[np.float64], working_days: WorkingDays
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Expected dossiers and online rate of each agency and day: (agencies, days)."""
    shares = np.array([_share(day, working_days) for day in days])
    years = np.arange(len(days)) / 365
    shape = (len(dossiers), len(days))
    # Working days carry what weekends and holidays do not.
    volume = dossiers[:, None] * (shares / shares.mean() * (1 + _GROWTH * years))[None, :]
    volume = volume * rng.lognormal(-(_VOLUME_NOISE**2) / 2, _VOLUME_NOISE, shape)
    noise = rng.normal(0, _RATE_NOISE, shape)
    for day in range(1, len(days)):
        noise[:, day] = _LASTING * noise[:, day - 1] + (1 - _LASTING**2) ** 0.5 * noise[:, day]
    odds = np.log(np.clip(rates, 1e-9, 1 - 1e-9) / np.clip(1 - rates, 1e-9, 1))
    rate = 1 / (1 + np.exp(-(odds[:, None] + _RISE * (years - 0.5)[None, :] + noise)))
    rate[rates == 0] = 0
    return volume, rate


def _share(day: dt.date, working_days: WorkingDays) -> float:
    if working_days.is_working(day):
        return 1.0
    return _WEEKEND if day.isoweekday() > 5 and working_days.is_working(_friday_before(day)) else _HOLIDAY


def _friday_before(day: dt.date) -> dt.date:
    """The Friday before a weekend day; other days unchanged.

    If that Friday is a holiday, the weekend counts as a holiday, too (Tết).
    """
    return day - dt.timedelta(days=max(day.isoweekday() - 5, 0))


def _intensity(steps_a_day: int) -> NDArray[np.float64]:
    """The relative number of dossiers of each step of a day."""
    return np.interp((np.arange(steps_a_day) + 0.5) * 24 / steps_a_day - 0.5, np.arange(24), _HOURS)


def _by_step(
    rng: Generator, volume: NDArray[np.float64], rate: NDArray[np.float64], lost: NDArray[np.float64], steps_a_day: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Dossiers of each step, and how many of them are online: each (agencies, days * steps_a_day)."""
    hours = _intensity(steps_a_day)
    intensity = hours / hours.sum()
    settled = rng.poisson(volume[:, :, None] * intensity[None, None, :])
    at_night = np.where(hours < 0.3, _AT_NIGHT, 0.0)
    odds = np.log(np.clip(rate, 1e-12, 1) / np.clip(1 - rate, 1e-12, 1))[:, :, None] + at_night[None, None, :]
    online = np.where(rate[:, :, None] == 0, 0.0, 1 / (1 + np.exp(-odds)))
    full = rng.binomial(settled, np.clip(online - lost[:, :, None], 0, 1))
    agencies = volume.shape[0]
    return settled.reshape(agencies, -1).astype(np.int64), full.reshape(agencies, -1).astype(np.int64)


def _drops(rng: Generator, codes: Sequence[str], rates: NDArray[np.float64], period: Period) -> list[Drop]:
    """Draw drops of all sizes and durations, at most one at a time in each agency."""
    found = []
    for code, rate in zip(codes, rates, strict=True):
        possible = [points for points in _POINTS if points / 100 < rate - 0.02]
        start = int(rng.integers(2, 2 * _APART))
        while possible and start < period.days - 2:
            days = int(rng.choice(_DROP_DAYS))
            if start + days < period.days:
                found.append(Drop(code, period.start + dt.timedelta(days=start), days, int(rng.choice(possible))))
            start += days + _APART + int(rng.integers(0, 4 * _APART))
    return found


def _silences(rng: Generator, codes: Sequence[str], drops: Sequence[Drop], period: Period) -> list[Silence]:
    """Draw spans of one to five days in which an agency sends nothing."""
    dropping = {drop.agency for drop in drops}
    free = [code for code in codes if code not in dropping] or list(codes)
    number = max(1, period.days // 20)
    return [
        Silence(
            str(rng.choice(free)),
            period.start + dt.timedelta(days=int(rng.integers(1, max(period.days - 6, 2)))),
            int(rng.integers(1, 6)),
        )
        for _ in range(number)
    ]


def _faults(rng: Generator, period: Period, grid: Grid) -> list[Injected]:
    """Draw faults of the pipeline that do not overlap."""
    begin, end = grid.of_day(period.start + dt.timedelta(days=1)), grid.of_day(period.end)
    an_hour = dt.timedelta(hours=1) / grid.step
    apart = max(int(6 * an_hour), 6)
    taken = np.zeros(grid.steps + 1, np.bool_)
    found = []
    for fault, number, shortest, longest in _FAULTS:
        for _ in range(max(1, round(number * period.days / 30))):
            steps = max(int(rng.uniform(shortest, longest) * an_hour), 1 if fault is Fault.SCRAPE else 3)
            for _attempt in range(20):
                first = int(rng.integers(begin, max(end - steps, begin + 1)))
                if not taken[max(first - apart, 0) : first + steps + apart].any():
                    taken[first : first + steps] = True
                    found.append(Injected(fault, first, first + steps))
                    break
    return sorted(found, key=lambda each: each.first)
