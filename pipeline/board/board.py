"""The board of a process: a hub for each period that somebody looks at, open alerts, and the details of agencies."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from domain.clock import Clock
from domain.errors import UnavailableError
from pipeline.board.agency import Offered, agency_detail
from pipeline.board.alert_sources import AlertSources, OpenAlerts, SourceError, history_of
from pipeline.board.figures import BoardFigures
from pipeline.board.hub import Hub
from pipeline.board.periods import AnyPeriod, ChosenDays
from pipeline.board.snapshot import Page, ProcessState, build_snapshot
from pipeline.serving.requests import InThread
from pipeline.settings import ThresholdPolicy
from sinks.contract.tallies import TallyReader

#: Different chosen days at which pages may look at the same time: each has readings of its own.
MOST_CHOSEN: Final = 16


@dataclass(slots=True)
class BoardSources:
    """The sources of the board's data.

    Attributes:
        reader: reads the tallies.
        page: registry, indicator, and when figures are old.
        clock: the clock of the system or of a scenario.
        wall_clock: the clock of the system.
        policies: the thresholds below which agencies alert.
        offered: the catalogue entries of a period, for the names of procedures.
        alerts: the addresses of Prometheus and Alertmanager.
        process: returns what the process knows itself; the process sets it when its parts run.
        interval: shortest time between two updates of a page (seconds).
    """

    reader: TallyReader
    page: Page
    clock: Clock
    wall_clock: Clock
    policies: tuple[ThresholdPolicy, ...] = ()
    offered: Offered = lambda _: ()
    alerts: AlertSources = field(default_factory=AlertSources)
    process: Callable[[], ProcessState] = ProcessState
    interval: float = 0.5
    figures: BoardFigures = field(init=False)

    def __post_init__(self) -> None:
        self.figures = BoardFigures(self.reader, indicator=self.page.indicator, clock=self.clock)


def _run_in(pool: ThreadPoolExecutor, action: Callable[[], Any]) -> Awaitable[Any]:
    return asyncio.get_running_loop().run_in_executor(pool, action)


class Board:
    """Gives the board's page its data. Belongs to one event loop; ``in_thread`` runs in a thread what blocks."""

    def __init__(self, sources: BoardSources, *, in_thread: InThread) -> None:
        self._sources, self._in_thread = sources, in_thread
        # One thread for the figures of every period: they wait for each other, and must not take the threads of other readers.
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="board")
        self.alerts = OpenAlerts(sources.alerts)
        self._watch: asyncio.Task[None] | None = None
        self._hubs: dict[AnyPeriod, Hub] = {}

    @property
    def streams(self) -> int:
        """Number of open streams of all periods."""
        return sum(hub.subscribers for hub in self._hubs.values())

    def hub(self, period: AnyPeriod) -> Hub:
        """The hub of a period. A new hub of chosen days replaces one of other chosen days at which nobody looks.

        Raises:
            UnavailableError: somebody looks at each of ``MOST_CHOSEN`` hubs of other chosen days.
        """
        if period not in self._hubs:
            if isinstance(period, ChosenDays):
                self._make_room()
            build = partial(self._snapshot, period)
            self._hubs[period] = Hub(build, in_thread=partial(_run_in, self._pool), interval=self._sources.interval)
        return self._hubs[period]

    def _make_room(self) -> None:
        chosen = [period for period in self._hubs if isinstance(period, ChosenDays)]
        if len(chosen) < MOST_CHOSEN:
            return
        idle = next((period for period in chosen if not self._hubs[period].subscribers), None)
        if idle is None:
            raise UnavailableError(f"Pages show {MOST_CHOSEN} different periods already.", remedy="Close one of these pages.")
        del self._hubs[idle]

    async def agency(self, code: str, period: AnyPeriod) -> dict[str, Any] | None:
        """The details of an agency; None when ``code`` is not in force on the last day of the period, today at the latest.

        Raises:
            SinkError: the storage does not answer.
        """
        sources, now = self._sources, self._sources.clock.now()
        agency = sources.page.registry.at(code, period.day(now))
        if agency is None:
            return None

        def read() -> dict[str, Any]:
            detail = agency_detail(
                sources.reader,
                agency,
                period,
                now=now,
                indicator=sources.page.indicator,
                policies=sources.policies,
                offered=sources.offered,
            )
            return detail | {"alerts": self._history(code)}

        detail: dict[str, Any] = await self._in_thread(read)
        data = await self.hub(period).data()
        return detail | {"figures": data["agencies"].get(code)}

    def _history(self, code: str) -> dict[str, Any]:
        """When alerts of an agency fired: ``spans``, and ``source``: not_connected, silent (no answer) or answers."""
        now: dt.datetime = self._sources.wall_clock.now()
        try:
            spans = history_of(self._sources.alerts, code, now)
        except (SourceError, KeyError, TypeError, ValueError):
            return {"source": "silent", "spans": []}
        return {"source": "not_connected" if spans is None else "answers", "spans": spans or []}

    def _snapshot(self, period: AnyPeriod) -> dict[str, Any]:
        sources = self._sources
        data = build_snapshot(sources.page, period, sources.figures.read(period), sources.process())
        return data | {"alerts": dict(self.alerts.state)}

    async def refresh_alerts(self) -> None:
        """Ask for the open alerts again, unless this was done a few seconds ago."""
        await self._in_thread(self.alerts.refresh)

    def watch_alerts(self) -> None:
        """Begin to ask for the open alerts again and again, as long as a stream is open."""
        if self._watch is None or self._watch.done():
            self._watch = asyncio.ensure_future(self._watch_alerts())

    async def _watch_alerts(self) -> None:
        while self.streams:
            await self.refresh_alerts()
            await asyncio.sleep(1)
