"""Faults of the pipeline in a simulated year, and their effect on the feed of Prometheus."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np

from dashboards.history.feed import Feed
from dashboards.history.figures import Counts, Grid

#: Messages that portals send about one dossier, on average.
MESSAGES: Final = 3
#: Steps after which everything is counted that came during a fault.
_CATCH_UP: Final = 2


class Fault(StrEnum):
    """The kinds of faults; the value is the name in the printed table."""

    #: No event reaches Kafka.
    STALL = "portals cut off"
    #: Events wait in Kafka.
    BACKLOG = "worker stands still"
    EXPORTER = "exporter down"
    STORAGE = "storage down"
    SCRAPE = "one scrape missed"


@dataclass(frozen=True, slots=True)
class Injected:
    """A fault that lasts from one step up to, not including, another."""

    fault: Fault
    first: int
    end: int


#: The alerts that tell operations of a fault; a single missed scrape is not told.
TOLD_BY: Final = {
    Fault.STALL: ("PipelineStalled",),
    Fault.BACKLOG: ("PipelineStalled", "LagHigh"),
    Fault.EXPORTER: ("ExporterDown",),
    Fault.STORAGE: ("ClickHouseDown",),
    Fault.SCRAPE: (),
}


def feed_of(grid: Grid, faults: Sequence[Injected], settled: Counts) -> Feed:
    """The feed of Prometheus under the faults. ``settled``: (agencies, steps) dossiers."""
    feed = Feed.sound(grid)
    events = np.concatenate([[0], settled.sum(axis=0).cumsum()]) * MESSAGES
    for each in faults:
        during = slice(each.first, min(each.end, grid.steps + 1))
        if each.fault is Fault.EXPORTER or each.fault is Fault.SCRAPE:
            feed.answers[during] = False
        elif each.fault is Fault.STORAGE:
            feed.storage[during] = False
        else:
            feed.counted[during] = np.minimum(feed.counted[during], each.first)
            if each.fault is Fault.BACKLOG:
                feed.waiting[during] = events[during] - events[each.first]
            _catch_up(feed, each, events)
    return feed


def _catch_up(feed: Feed, fault: Injected, events: Counts) -> None:
    """Let the first steps after a stall count waiting events in the order in which they happened."""
    for number in range(_CATCH_UP):
        at = fault.end + number
        if at < len(feed.counted):
            reached = fault.first + (at - fault.first) * (number + 1) // (_CATCH_UP + 1)
            feed.counted[at] = min(int(feed.counted[at]), reached)
            feed.waiting[at] = events[at] - events[reached]
