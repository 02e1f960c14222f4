"""The values and callbacks from which the HTTP endpoints of a worker or exporter make their answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from domain.agencies import AgencyRegistry
from domain.clock import Clock
from pipeline.serving.requests import Routes
from sinks.contract.tallies import TallyReader


@dataclass(frozen=True, slots=True)
class Health:
    """Whether a process is healthy (makes progress) and ready (Kafka, storage or whatever else it needs is available).

    ``unread_offsets``: how many offsets left the log before they were read; their messages may be lost.
    """

    healthy: bool
    ready: bool
    reason: str = ""  # for people
    unread_offsets: int = 0


@dataclass(frozen=True, slots=True)
class Progress:
    """A worker's own counters since its start, repeats included.

    Attributes:
        stored: events stored.
        visible: of these, events in the minute tallies.
        exact: of these, events in the tallies of minutes and days, with their dossiers resolved.
    """

    stored: int
    visible: int
    exact: int


@dataclass(frozen=True, slots=True)
class Api:
    """Sources of the endpoints.

    Args:
        registry: the process's own metrics; its collectors must not block.
        reader: None in a worker that serves no figures.
        figures: metrics that are read from the storage at each scrape, and served completely or not at all.
        routes: factories of the endpoints of other features.
    """

    registry: CollectorRegistry
    agencies: AgencyRegistry
    clock: Clock
    health: Callable[[], Health]
    reader: TallyReader | None = None
    figures: CollectorRegistry | None = None
    consumer_lag: Callable[[], int | None] = lambda: None
    progress: Callable[[], Progress] | None = None
    routes: Sequence[Routes] = ()
