"""The details of one agency that the page shows beside its row: daily rates, procedures, channels and limits of alerts."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from typing import Any, Final

from domain.agencies import Agency
from domain.catalogue import CatalogueEntry
from domain.indicators import INDICATORS, Indicator, Ratio, ratio_of
from domain.periods import Period
from domain.rounding import percent
from domain.targets import DEADBAND
from pipeline.board.periods import AnyPeriod, BoardPeriod
from pipeline.board.snapshot import midnight
from pipeline.board.sparklines import RATE_DAYS, first_day, rolling
from pipeline.serving.policies import policies_of
from pipeline.settings import ThresholdPolicy
from sinks.contract.tallies import Counts, TallyReader

#: Civil days of the series, and procedures that are listed: those with the most dossiers.
SERIES_DAYS: Final = 90
MOST_PROCEDURES: Final = 8
_NONE: Final = Ratio(0, 0)
_SUBMITTED: Final = INDICATORS["I5"]

#: What agencies offer within a period.
Offered = Callable[[Period], Iterable[CatalogueEntry]]


def agency_detail(
    reader: TallyReader,
    agency: Agency,
    period: AnyPeriod,
    *,
    now: dt.datetime,
    indicator: Indicator,
    policies: Iterable[ThresholdPolicy],
    offered: Offered,
) -> dict[str, Any]:
    """The details of an agency, as plain values of JSON.

    Series end today, or on the last of the days that a reader chose. Each rate of a series is that of ``RATE_DAYS`` days, in
    hundredths of a percent, cut; None when these days have no data. Procedures and channels are those of the period's days.

    Raises:
        SinkError: the storage does not answer.
    """
    days = period.days(now)
    return {
        "code": agency.code,
        "names": {"name_vi": agency.name_vi, "name_en": agency.name_en, "official_name_vi": agency.official_name_vi},
        "block": agency.block,
        "series": _series(reader, agency.code, period.day(now), indicator),
        "limits": _limits(agency, period, indicator, policies),
        "procedures": _procedures(reader, agency.code, days, indicator, offered),
        "channels": _channels(reader.counts_of_days(days.start, days.end).get(agency.code, Counts())),
        "days": {"first": days.start.isoformat(), "last": days.end.isoformat()},
    }


def _series(reader: TallyReader, code: str, last: dt.date, indicator: Indicator) -> dict[str, Any]:
    first = first_day(last, SERIES_DAYS)
    counts = reader.counts_by_day(first, last)
    days = [first + dt.timedelta(days=number) for number in range((last - first).days + 1)]
    ratios = [ratio_of(indicator, counts[code, day]) if (code, day) in counts else _NONE for day in days]
    shown = days[RATE_DAYS - 1 :]
    return {
        "days": [midnight(day) for day in shown],
        "rates": rolling(ratios),
        "numerators": [ratio.numerator for ratio in ratios[RATE_DAYS - 1 :]],
        "denominators": [ratio.denominator for ratio in ratios[RATE_DAYS - 1 :]],
        "rate_days": RATE_DAYS,
    }


def _limits(
    agency: Agency, period: AnyPeriod, indicator: Indicator, policies: Iterable[ThresholdPolicy]
) -> dict[str, float | int | None]:
    """The limits of the agency's alerts: rates in percent, and the smallest number of dossiers; each None without a policy."""
    window = period.window.value if isinstance(period, BoardPeriod) else ""  # alerts know no chosen days
    policy = policies_of(policies, agency).get((indicator.code, window))
    if policy is None:
        return {"threshold": None, "ends_above": None, "low": None, "min_volume": None}
    threshold = Fraction(str(policy.ratio))
    return {
        "threshold": float(threshold * 100),
        "ends_above": float(min(threshold + DEADBAND, Fraction(1)) * 100),
        "low": float(Fraction(str(policy.low_ratio)) * 100) if policy.low_ratio > policy.ratio else None,
        "min_volume": policy.min_volume,
    }


def _procedures(reader: TallyReader, code: str, days: Period, indicator: Indicator, offered: Offered) -> list[dict[str, Any]]:
    found = {
        procedure: ratio_of(indicator, counts)
        for procedure, counts in reader.counts_of_procedures([code], days.start, days.end).items()
    }
    busiest = sorted((name for name in found if not found[name].no_data), key=lambda name: (-found[name].denominator, name))
    names = {entry.procedure_code: entry.name for entry in offered(days) if entry.agency == code and entry.name}
    return [
        {
            "code": name,
            "name": names.get(name, ""),
            "numerator": found[name].numerator,
            "denominator": found[name].denominator,
            "rate": percent(found[name]),
        }
        for name in busiest[:MOST_PROCEDURES]
    ]


def _channels(counts: Counts) -> Mapping[str, Any]:
    """How many dossiers were submitted online and otherwise, settled, refused and withdrawn."""
    submitted = ratio_of(_SUBMITTED, counts)
    return {
        "submitted": submitted.denominator,
        "online": submitted.numerator,
        "elsewhere": submitted.denominator - submitted.numerator,
        "online_rate": percent(submitted),
        "settled": counts.settled,
        "refused": counts.refused,
        "withdrawn": counts.withdrawn,
    }
