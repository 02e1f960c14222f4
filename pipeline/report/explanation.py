"""Explains what moved the rate of a unit between two periods: the counts of each procedure and channel in both periods."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from domain.contributions import Contribution, contributions
from domain.errors import ConfigurationError
from domain.figure_groups import GROUPS
from domain.indicators import Indicator, Ratio, ReturnAtCounter, indicators_by, ratio_of
from pipeline.report.formats.choice import nearest
from pipeline.report.request import ReportRequest
from sinks.contract.dossier_figures import DossierFigureReader, FigureQuestion, GroupCounts
from sinks.contract.tallies import TallyReader

#: The channels as in JSON and in the counts of the group ``channels``.
CHANNELS: Final = ("in_person", "online", "post", "no_channel")
_NOTHING: Final = Ratio(0, 0)


def explain(
    reader: TallyReader,
    figures: DossierFigureReader,
    request: ReportRequest,
    *,
    unit: str,
    indicator: str,
    return_at_counter: ReturnAtCounter = ReturnAtCounter.EXCLUDED,
    today: dt.date,
) -> dict[str, Any]:
    """The counts of each procedure and each channel of a unit in both periods, as plain values.

    Args:
        reader: reads the tallies.
        figures: reads whole dossiers, for the channels.
        request: the period, and the period with which it is compared.
        unit: the code of one of the request's units.
        indicator: the code of the indicator of the rate.
        return_at_counter: which of its two numerators I1 has.
        today: the civil day of the clock.

    Raises:
        ConfigurationError: the request has no second period, or the unit or indicator does not exist.
        SinkError: the storage does not answer.
    """
    if request.compared is None:
        raise ConfigurationError("An explanation needs two periods.", remedy="Give compare, for example compare=previous.")
    indicators = indicators_by(return_at_counter)
    if indicator not in indicators:
        raise ConfigurationError(f"There is no indicator {indicator[:40]!r}.", remedy=f"Write one of {', '.join(indicators)}.")
    codes = request.units.codes_of(unit)
    if not codes:
        joined = request.units.unit_of(unit)
        best = joined.code if joined is not None else nearest(unit, {agency.code for agency in request.units.listed()})
        raise ConfigurationError(
            f"There is no unit {unit[:40]!r} in the report.",
            remedy=f"This unit is part of {best}." if joined is not None else f"Write a code of the report, for example {best}.",
        )
    chosen = indicators[indicator]
    before, after = (
        _ratios(reader, codes, chosen, period.period.start, period.period.end) for period in (request.compared, request.period)
    )
    channels = [
        _channel_ratios(figures.counts("channels", FigureQuestion(named.period, today)), codes, chosen)
        for named in (request.compared, request.period)
    ]
    return {
        "unit": unit,
        "indicator": indicator,
        "return_at_counter": return_at_counter.value,
        "procedures": [
            {"procedure": procedure, "before": _plain(before.get(procedure)), "after": _plain(after.get(procedure))}
            for procedure in sorted({*before, *after})
        ],
        "channels": [
            {"channel": channel, "before": _plain(channels[0][channel]), "after": _plain(channels[1][channel])}
            for channel in CHANNELS
            if channels[0][channel] != _NOTHING or channels[1][channel] != _NOTHING
        ],
    }


def contributions_of(explanation: Mapping[str, Any], *, by: str = "procedure") -> tuple[Contribution, ...]:
    """The contribution of each procedure (or, ``by`` "channel", channel) to the change of the rate, the largest first."""
    found = {
        when: {
            str(each[by]): Ratio(int(each[when]["numerator"]), int(each[when]["denominator"])) for each in explanation[f"{by}s"]
        }
        for when in ("before", "after")
    }
    return contributions(found["before"], found["after"])


def _ratios(reader: TallyReader, codes: Sequence[str], indicator: Indicator, first: dt.date, last: dt.date) -> dict[str, Ratio]:
    counts = reader.counts_of_procedures(codes, first, last)
    ratios = {procedure: ratio_of(indicator, found) for procedure, found in counts.items()}
    return {procedure: ratio for procedure, ratio in ratios.items() if not ratio.no_data or ratio.numerator}


def _channel_ratios(counts: GroupCounts, codes: Sequence[str], indicator: Indicator) -> dict[str, Ratio]:
    """Channel -> its ratio. A numerator that exists only for online dossiers is 0 for the other channels."""
    total: Counter[str] = Counter()
    for (code, _), found in counts.items():
        if code in codes:
            total.update(found)
    numerator = indicator.numerator.removesuffix("_online")
    online_only = numerator != indicator.numerator or f"{numerator}_post" not in GROUPS["channels"].counts
    return {
        channel: Ratio(
            total[f"{numerator}_{channel}"] if channel == "online" or not online_only else 0,
            total[f"{indicator.denominator}_{channel}"],
        )
        for channel in CHANNELS
    }


def _plain(ratio: Ratio | None) -> dict[str, int]:
    found = ratio or Ratio(0, 0)
    return {"numerator": found.numerator, "denominator": found.denominator}
