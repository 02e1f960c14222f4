"""Reports over HTTP."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web

from domain.agencies import AgencyRegistry
from domain.catalogue import Catalogue, CatalogueEntry
from domain.clock import Clock
from domain.errors import ConfigurationError
from domain.indicators import ReturnAtCounter
from domain.periods import Period, civil_day
from pipeline.report.completeness import CompletenessCheck, Scope, TopicOffsets, WaitingDossiers
from pipeline.report.definitions import PAGE_HEADERS, definition_routes, page_language
from pipeline.report.explanation import explain
from pipeline.report.figures import build_report
from pipeline.report.formats.choice import Choice, Order
from pipeline.report.formats.html_page import to_html
from pipeline.report.formats.style import Language, Style
from pipeline.report.group_figures import FigureSources
from pipeline.report.question import Question
from pipeline.report.request import PARAMETERS, PERIOD_PARAMETERS, read_request
from pipeline.serving.access import is_trusted
from pipeline.serving.requests import Threads, answered, seconds, takes
from sinks.contract.tallies import TallyReader

#: What a report says of an excluded dossier to trusted requests only: it may identify people.
_OF_PEOPLE: Final = ("dossier_code", "reason", "name")


@dataclass(frozen=True, slots=True)
class ReportSources:
    """What the endpoints of reports read from.

    Attributes:
        reader: the tallies.
        agencies: the registry.


        clock: the clock of the system or of a scenario; tells what today is.
        wall_clock: the clock of the system.
        offsets: asks Kafka for the end offsets of the topic and the committed offsets; blocks.
        excluded: the excluded dossiers that would have changed the figures of a period, as plain values.
        catalogue: what agencies offer on some day of a period.
        return_at_counter: which numerator I1 has.

        figures: the sources of the groups of figures.
        dossiers: tells which dossiers still wait to be judged.
        not_recounted: the agencies whose stored dossiers were not all counted with their catalogue; blocks.
    """

    reader: TallyReader
    agencies: AgencyRegistry
    clock: Clock
    wall_clock: Clock
    offsets: Callable[[], TopicOffsets]
    excluded: Callable[[Period], Sequence[Mapping[str, Any]]]
    catalogue: Callable[[Period], Iterable[CatalogueEntry]]
    figures: FigureSources
    dossiers: WaitingDossiers
    return_at_counter: ReturnAtCounter = ReturnAtCounter.EXCLUDED
    not_recounted: Callable[[], Collection[str]] = tuple


def report_routes(sources: ReportSources, threads: Threads) -> list[web.RouteDef]:
    """The endpoints of reports: figures, explanation of a change in a rate, page to print, definitions of the indicators."""
    check = CompletenessCheck(
        sources.offsets,
        dossiers=sources.dossiers,
        not_recounted=sources.not_recounted,
        now=sources.wall_clock.now,
        in_thread=threads.short,
    )

    async def built(request: web.Request, query: Mapping[str, str]) -> dict[str, Any]:
        today = civil_day(sources.clock.now())
        asked = read_request(query, registry=sources.agencies, today=today)
        wait = seconds("The parameter 'wait'", request.query["wait"]) if "wait" in request.query else None
        ends: list[dt.date] = [each.period.end for each in (asked.period, asked.compared) if each is not None]
        question = Question.from_text(request.query["question"]) if "question" in request.query else None
        scope = Scope(ends, sources.figures.last_answers(asked, ends), asked.reads_dossiers)
        completeness = await check(scope, today=today, wait=wait, question=question)
        is_shown = is_trusted(request)

        def read() -> dict[str, Any]:
            excluded = sources.excluded(asked.period.period)
            shown = excluded if is_shown else [{**each, **dict.fromkeys(_OF_PEOPLE)} for each in excluded]
            days = Period(min(ends), max(ends))
            catalogue = Catalogue(sources.catalogue(days))
            report = build_report(
                sources.reader,
                asked,
                completeness,
                excluded=shown,
                catalogue=catalogue,
                return_at_counter=sources.return_at_counter,
                figures=sources.figures,
                today=today,
            )
            return report.as_dict()

        found: dict[str, Any] = await threads.short(read)
        return found

    @takes(*PARAMETERS, "wait", "question")
    async def report(request: web.Request) -> web.Response:
        return web.json_response(await built(request, request.query))

    async def page(request: web.Request) -> web.Response:
        language = page_language(request.query.get("lang", Language.VI.value))
        query = {name: text for name, text in request.query.items() if name != "lang"}
        if not any(name in query for name in PERIOD_PARAMETERS):
            query["ytd"] = civil_day(sources.clock.now()).isoformat()
        unknown = sorted(set(query) - {*PARAMETERS, "wait"})
        if unknown:
            raise ConfigurationError(f"There is no parameter {unknown[0][:40]!r}.", remedy="docs/reports.md lists them.")
        found = await built(request, query)
        text: str = await threads.short(lambda: to_html(found, choice=Choice(order=Order.RANK), style=Style(language=language)))
        return web.Response(text=text, content_type="text/html", headers=PAGE_HEADERS)

    @takes(*PARAMETERS, "agency", "indicator")
    async def explanation(request: web.Request) -> web.Response:
        today = civil_day(sources.clock.now())
        asked = read_request(request.query, registry=sources.agencies, today=today)
        unit, indicator = request.query.get("agency", ""), request.query.get("indicator", "I1")

        def read() -> dict[str, Any]:
            return explain(
                sources.reader,
                sources.figures.reader,
                asked,
                unit=unit,
                indicator=indicator,
                return_at_counter=sources.return_at_counter,
                today=today,
            )

        return web.json_response(await threads.short(read))

    return [
        web.get("/api/v1/report", answered(report)),
        web.get("/api/v1/report/explanation", answered(explanation)),
        web.get("/report", answered(page)),
        *definition_routes(sources.return_at_counter),
    ]
