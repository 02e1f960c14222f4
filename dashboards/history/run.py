"""Runs figures through the rules in parts of about a month, several side by side."""

from __future__ import annotations

import datetime as dt
import os
import signal
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from typing import Final

from dashboards.history.clock import SCOPES, on_coarse_clock
from dashboards.history.engine import Program, evaluate
from dashboards.history.exported import Exporter
from dashboards.history.figures import Grid
from dashboards.history.verdict import Span, spans_of
from domain.periods import Period
from pipeline.shutdown import interrupted_by

#: Days before a part that are evaluated, so that what fires at its beginning fires.
_WARM_UP: Final = dt.timedelta(days=1)
#: A period of so many days is worth halving.
_HALVED: Final = 10


def parts(period: Period) -> list[Period]:
    """The calendar months of a period; a single month is halved, so that the halves run side by side."""
    found = list(_months(period))
    if len(found) > 1 or period.days < _HALVED:
        return found
    middle = period.start + dt.timedelta(days=period.days // 2)
    return [Period(period.start, middle - dt.timedelta(days=1)), Period(middle, period.end)]


def instants(part: Period, grid: Grid) -> tuple[int, int]:
    """The first and the last instant of a part."""
    return grid.of_day(part.start), grid.of_day(part.end + dt.timedelta(days=1))


def _months(period: Period) -> Iterator[Period]:
    """The calendar months of a period; the first and last only as far as they lie in it."""
    first = period.start
    while first <= period.end:
        next_month = (first.replace(day=1) + dt.timedelta(days=32)).replace(day=1)
        yield Period(first, min(next_month - dt.timedelta(days=1), period.end))
        first = next_month


def fired(
    exporter: Exporter,
    period: Period,
    rules: Mapping[str, str],
    *,
    scopes: Collection[str] = SCOPES,
    done: Callable[[], None] = lambda: None,
) -> list[Span]:
    """What fired in a period, part by part. ``rules``: rule files; ``scopes``: of alerts; ``done`` is called after each part.

    Raises:
        ConfigurationError: promtool is not installed, or refuses a rule.
    """
    grid = exporter.figures.grid
    groups = on_coarse_clock(rules, step_seconds=int(grid.step.total_seconds()), scopes=scopes)

    def part(month: Period) -> list[Span]:
        start, end = instants(month, grid)
        first = max(start - _WARM_UP // grid.step, 0)
        length = end - first + 1
        changes = evaluate(groups, exporter.scraped(first, end), length=length, running=running)
        return spans_of(changes, first=first, start=start, end=end)

    found: list[Span] = []
    running: set[Program] = set()
    with _interruptible(), ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        waiting = [pool.submit(part, month) for month in parts(period)]
        try:
            for each in as_completed(waiting):
                found += each.result()
                done()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for program in list(running):
                program.kill()
            raise
    return sorted(found, key=lambda span: (span.part, -1 if span.first is None else span.first, span.key.name, span.key.labels))


@contextmanager
def _interruptible() -> Iterator[None]:
    """A context in which SIGTERM ends the block as Ctrl-C does, so that no started program outlives this process."""
    if threading.current_thread() is not threading.main_thread():  # handlers can only be set and run there
        yield
        return
    with interrupted_by(signal.SIGTERM, signal.SIGHUP):
        yield
