"""The data of the board's page at one moment, as plain values of JSON. Pure functions of figures, registry and clock.

State, rank, change and deficit, which the page shows, are decided here, from whole numbers.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

from domain.agencies import BLOCKS, Agency, AgencyRegistry
from domain.indicators import Indicator, Ratio
from domain.periods import day_start
from domain.ranking import ranks
from domain.rate_classes import RateClass, class_of, next_limit
from domain.rounding import change_in_points, decimal, percent
from domain.targets import missing_to, target_of
from domain.tiles import ISLANDS, tiles_on
from domain.working_days import WorkingDays
from domain.working_time import WorkingTime
from pipeline.board.figures import Figures
from pipeline.board.periods import AnyPeriod
from pipeline.board.sparklines import NO_LINE

#: The states of an agency, the worst first, and what they are called on the page and in its addresses.
STATES: Final[Mapping[RateClass, str]] = {
    RateClass.ZERO: "zero",
    RateClass.BELOW_5: "below5",
    RateClass.BELOW_10: "below10",
    RateClass.BELOW_TARGET: "target",
    RateClass.NO_TARGET: "above",
    RateClass.MET: "met",
    RateClass.NO_DATA: "nodata",
}
_NONE: Final = Ratio(0, 0)
#: Office hours without an event, or counting that is late, make figures old after so many seconds.
STALE_SECONDS: Final = 600.0
_QUIET_DAYS: Final = 70


@dataclass(frozen=True, slots=True)
class Page:
    """The settings of the page that stay the same while figures change.

    ``clock_fixed``: the clock is the fixed instant of a scenario. ``stale_seconds``: see ``STALE_SECONDS``.
    """

    registry: AgencyRegistry
    indicator: Indicator
    working_days: WorkingDays
    clock_fixed: bool = False
    stale_seconds: float = STALE_SECONDS


@dataclass(frozen=True, slots=True)
class ProcessState:
    """What the process that serves the board knows itself; None: not known.

    ``drift``: confirmed drift in events. ``consumer_lag``: messages of its partitions that the process has not fetched.
    """

    drift: int | None = None
    consumer_lag: int | None = None


def build_snapshot(page: Page, period: AnyPeriod, figures: Figures, process: ProcessState) -> dict[str, Any]:
    """The data of the page for a period: agencies by code; each ratio as numerator, denominator and rate (percent, cut).

    Agencies, targets and map are those of the last day of the period, today at the latest.
    """
    last = period.day(figures.at)
    listed = [
        agency
        for agency in page.registry.in_force(last)
        if agency.is_expected(last) or agency.code in figures.last_events or agency.code in figures.now
    ]
    ratios = {agency.code: figures.now.get(agency.code, _NONE) for agency in listed}
    ranked = ranks(ratios)
    kpi = page.indicator.code
    agencies = {
        agency.code: agency_figures(
            ratios[agency.code],
            None if figures.before is None else figures.before.get(agency.code, _NONE),
            target_of(kpi, year=last.year, block=agency.block),
        )
        | {
            "rank": ranked.get(agency.code),
            "sparkline": figures.sparklines.get(agency.code, NO_LINE),
            "last_event": _milliseconds(figures.last_events.get(agency.code)),
        }
        for agency in listed
    }
    days = period.days(figures.at)
    return {
        "period": {
            "name": period.value,
            "first": days.start.isoformat(),
            "last": days.end.isoformat(),
            "compared": period.compared,
        },
        "indicator": {"code": kpi, "name_vi": page.indicator.name_vi, "name_en": page.indicator.name_en},
        "clock": {"at": _milliseconds(figures.at), "fixed": page.clock_fixed},
        "freshness": _freshness(page, figures),
        "nation": _pooled(figures.now.items(), target_of(kpi, year=last.year, block=""), page.registry),
        "blocks": {
            block: _pooled(
                ((code, ratio) for code, ratio in figures.now.items() if _block_of(page.registry, code) == block),
                target_of(kpi, year=last.year, block=block),
                page.registry,
            )
            for block in BLOCKS
        },
        "states": {name: sum(row["state"] == name for row in agencies.values()) for name in STATES.values()},
        "ranked": len(ranked),
        "agencies": agencies,
        "pipeline": _pipeline(figures, process),
        "units": {agency.code: _unit(agency, last, kpi) for agency in listed},
        "map": _map(last),
    }


def agency_figures(now: Ratio, before: Ratio | None, target: Fraction | None) -> dict[str, Any]:
    """The ratio of an agency, its state, its change in points, and how many dossiers (``deficit``) it lacks to reach ``goal``."""
    state = class_of(now, target)
    goal = next_limit(state, target)
    return {
        "numerator": now.numerator,
        "denominator": now.denominator,
        "rate": percent(now),
        "state": STATES[state],
        "change": None if before is None else change_in_points(before, now),
        "deficit": None if goal is None else missing_to(now, goal),
        "goal": None if goal is None else _percent_text(goal),
    }


def _pooled(ratios: Iterable[tuple[str, Ratio]], target: Fraction | None, registry: AgencyRegistry) -> dict[str, Any]:
    """The rate of several units together: the sum of numerators over the sum of denominators, and whether it meets the target.

    Units that ended within the period are in the sums, codes that the registry does not have are not.
    """
    total = sum((ratio for code, ratio in ratios if code in registry), _NONE)
    return {
        "numerator": total.numerator,
        "denominator": total.denominator,
        "rate": percent(total),
        "target": None if target is None else _percent_text(target),
        "met": None if target is None or total.no_data else class_of(total, target) is RateClass.MET,
    }


def _block_of(registry: AgencyRegistry, code: str) -> str:
    spans = registry.spans(code)
    return spans[-1].block if spans else ""


def _unit(agency: Agency, day: dt.date, kpi: str) -> dict[str, Any]:
    target = target_of(kpi, year=day.year, block=agency.block)
    return {
        "name_vi": agency.name_vi,
        "name_en": agency.name_en,
        "short_name_vi": agency.short_name_vi,
        "block": agency.block,
        "target": None if target is None else _percent_text(target),
    }


def _map(day: dt.date) -> dict[str, Any]:
    return {
        "tiles": {code: list(place) for code, place in tiles_on(day).items()},
        "islands": [{"code": each.code, "name": each.name} for each in ISLANDS],
    }


def _freshness(page: Page, figures: Figures) -> dict[str, Any]:
    """Whether the figures are ``live``, ``stale`` (with the reason, quiet or behind, and since when), or ``empty``."""
    newest = max(figures.last_events.values(), default=None)
    found: dict[str, Any] = {"newest_event": _milliseconds(newest), "state": "live", "reason": None, "since": None}
    if newest is None:
        return found | {"state": "empty"}
    if figures.throughput.delay_seconds >= page.stale_seconds:
        since = figures.at - dt.timedelta(seconds=figures.throughput.delay_seconds)
        return found | {"state": "stale", "reason": "behind", "since": _milliseconds(since)}
    if not page.clock_fixed and (figures.at - newest).total_seconds() >= page.stale_seconds:
        quiet = WorkingTime(figures.at, page.working_days, days=_QUIET_DAYS).since(newest)
        if quiet >= page.stale_seconds:
            return found | {"state": "stale", "reason": "quiet", "since": _milliseconds(newest)}
    return found


def _pipeline(figures: Figures, process: ProcessState) -> dict[str, Any]:
    pace = figures.throughput
    return {
        "events_per_second": None if pace.per_second is None else round(pace.per_second, 1),
        "delay_seconds": round(pace.delay_seconds, 1),
        "waiting": pace.waiting,
        "consumer_lag": process.consumer_lag,
        "dead_letters": pace.dead_letters,
        "drift": process.drift,
    }


def _percent_text(ratio: Fraction) -> str:
    """A limit in percent as text without trailing zeros: 5, 12.5."""
    text = decimal(ratio * 100, decimals=2)
    return text.rstrip("0").rstrip(".")


def _milliseconds(instant: dt.datetime | None) -> int | None:
    return None if instant is None else int(instant.timestamp() * 1000)


def midnight(day: dt.date) -> int:
    """The start of a civil day in Viet Nam, in epoch milliseconds."""
    return int(day_start(day).timestamp() * 1000)
