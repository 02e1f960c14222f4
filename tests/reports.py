"""Reports of tests: what they are made of, and one that is built at once."""

from __future__ import annotations

import datetime as dt
from functools import partial

from domain.agencies import AgencyRegistry
from domain.clock import ManualClock
from domain.indicators import ReturnAtCounter
from pipeline.report.completeness import Completeness, TopicOffsets
from pipeline.report.figures import build_report
from pipeline.report.group_figures import FigureSources
from pipeline.report.request import read_request
from pipeline.report.routes import ReportSources, report_routes
from pipeline.report.verification.routes import verification_routes
from pipeline.report.verification.service import VerificationService, VerificationSources
from tests.fakes import MemoryDossierFigures, MemoryRawMessages

#: Long after every period of the tests.
LATER = dt.date(2030, 1, 1)
FINAL = Completeness(dt.datetime(2030, 1, 1, tzinfo=dt.UTC), 0, ())
ALL_COUNTED = TopicOffsets({0: 7}, {0: 7})
EXCLUDED = ReturnAtCounter.EXCLUDED


def report_route(
    reader,
    registry,
    now,
    *,
    offsets=lambda: ALL_COUNTED,
    excluded=lambda _: (),
    catalogue=lambda _: (),
    at_counter=EXCLUDED,
    figures=None,
):
    """The endpoint of reports over a reader; every message is counted unless ``offsets`` or ``figures`` says otherwise."""
    clock, figures = ManualClock(now), figures or MemoryDossierFigures(reader)
    sources = ReportSources(
        reader, registry, clock, clock, offsets, excluded, catalogue, FigureSources(figures), figures, at_counter
    )
    return partial(report_routes, sources)


def verification_route(store, registry, now, *, catalogue=lambda _: (), at_counter=EXCLUDED):
    """The endpoints of a verification over a store in memory."""
    service = VerificationService(
        MemoryRawMessages(store), VerificationSources(store.excluded, catalogue, at_counter), shard_messages=3
    )
    return partial(verification_routes, service, registry, ManualClock(now))


def report_of(
    reader,
    *,
    registry=None,
    today=LATER,
    completeness=FINAL,
    excluded=(),
    catalogue=None,
    at_counter=EXCLUDED,
    sources=None,
    **parameters,
):
    """The report of some parameters; ``from_`` stands for ``from``."""
    registry = registry or AgencyRegistry.packaged()
    asked = {name.rstrip("_"): str(text) for name, text in parameters.items()}
    request = read_request(asked, registry=registry, today=today)
    more = {"excluded": excluded, "catalogue": catalogue, "return_at_counter": at_counter, "figures": sources}
    return build_report(reader, request, completeness, **more, today=today)
