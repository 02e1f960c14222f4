"""Makes the sources of the live board of a process, and tells the board what the process knows about itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from domain.clock import ScenarioClock, SystemClock, parse_clock
from domain.indicators import ReturnAtCounter, indicators_by
from pipeline.board.alert_sources import AlertSources
from pipeline.board.board import BoardSources
from pipeline.board.snapshot import Page, ProcessState
from pipeline.registry import registry_of
from pipeline.serving.site import Site
from pipeline.settings import Settings
from pipeline.working_days import working_days_of
from sinks.contract.storage import Storage


class ProcessFigures:
    """The figures about the process that the board shows.

    ``consumer_lag``: returns how many messages of its partitions the process has not fetched, or None: not known.
    """

    def __init__(self, consumer_lag: Callable[[], int | None] = lambda: None) -> None:
        self._consumer_lag = consumer_lag
        self._drift: Callable[[], int] | None = None

    def audited(self, drift: Callable[[], int]) -> None:
        """Set the function that returns the confirmed drift (events); until then the drift is not known."""
        self._drift = drift

    def state(self) -> ProcessState:
        """The current figures; None: not known."""
        return ProcessState(drift=None if self._drift is None else self._drift(), consumer_lag=self._consumer_lag())


def board_sources(settings: Settings, storage: Storage, process: ProcessFigures) -> BoardSources:
    """The sources of the board's data, which read from ``storage``."""
    clock = parse_clock(settings.clock)
    page = Page(
        registry=registry_of(settings),
        indicator=indicators_by(ReturnAtCounter(settings.indicators.return_at_counter))["I1"],
        working_days=working_days_of(settings),
        clock_fixed=isinstance(clock, ScenarioClock),
        stale_seconds=settings.board.stale_seconds,
    )
    return BoardSources(
        reader=storage.tallies(),
        page=page,
        clock=clock,
        wall_clock=SystemClock(),
        policies=settings.thresholds,
        offered=storage.catalogue().entries,
        alerts=AlertSources(settings.board.prometheus_url, settings.board.alertmanager_url),
        process=process.state,
    )


def site_of(folder: Path | None) -> Site | None:
    """The files of the board's page; None when ``folder`` is None.

    Raises:
        ConfigurationError: the folder has no page.
    """
    return None if folder is None else Site(folder)
