"""Serves numerators and denominators by agency and time step over HTTP; used to replay history through alert rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web

from domain.errors import ConfigurationError
from domain.indicators import Indicator, ratio_of
from domain.periods import Period
from pipeline.serving.requests import Threads, answered, days, takes, whole_number
from sinks.contract.tallies import TallyReader

#: Most days of one answer: a busy month by the hour has some megabytes.
MAX_DAYS: Final = 31
#: Lengths of a step in minutes: they divide a day.
_SHORTEST, _DAY = 10, 1_440


def step_routes(reader: TallyReader, indicators: Mapping[str, Indicator], threads: Threads) -> list[web.RouteDef]:
    """The endpoint. Its answer numbers the steps from the first midnight on, and has no steps without an event."""

    @takes("from", "to", "step")
    async def steps(request: web.Request) -> web.Response:
        period = Period(*days(request))
        if period.days > MAX_DAYS:
            raise ConfigurationError(f"The period has {period.days} days.", remedy=f"Ask for at most {MAX_DAYS} days at once.")
        minutes = whole_number("The parameter 'step'", request.query.get("step", "60"), minimum=_SHORTEST, maximum=_DAY)
        if _DAY % minutes:
            raise ConfigurationError(f"A step of {minutes} minutes does not divide a day.", remedy="Choose 60, for example.")
        return web.json_response(await threads.long(lambda: _steps(reader, indicators, period, minutes)))

    return [web.get("/api/v1/steps", answered(steps))]


def _steps(reader: TallyReader, indicators: Mapping[str, Indicator], period: Period, minutes: int) -> dict[str, Any]:
    found: dict[str, list[list[int]]] = {}
    for (agency, step), counts in sorted(reader.counts_by_step(period.start, period.end, minutes * 60).items()):
        ratios = [ratio_of(indicator, counts) for indicator in indicators.values()]
        found.setdefault(agency, []).append(
            [step, *(number for ratio in ratios for number in (ratio.numerator, ratio.denominator))]
        )
    columns = ["step", *(f"{kpi}_{part}" for kpi in indicators for part in ("numerator", "denominator"))]
    period_text = {"from": period.start.isoformat(), "to": period.end.isoformat()}
    return {"period": period_text, "step": minutes, "columns": columns, "agencies": found}
