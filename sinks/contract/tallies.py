"""Tallies as the pipeline asks for them: what a recount covers, the counts, and a reader of figures."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Span:
    """Minutes from ``start`` up to, not including, ``end`` (aware, whole minutes); ``agencies`` None means all."""

    start: dt.datetime
    end: dt.datetime
    agencies: tuple[str, ...] | None = None

    @property
    def minutes(self) -> int:
        """Number of minutes covered."""
        return int((self.end - self.start).total_seconds()) // 60


@dataclass(frozen=True, slots=True)
class Days:
    """Civil days to roll up, ascending; ``agencies`` None means all."""

    days: tuple[dt.date, ...]
    agencies: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Counts:
    """The counts of one agency over some span; see ``domain.tiers.COUNTS``."""

    events: int = 0
    submitted: int = 0
    submitted_online: int = 0
    settled: int = 0
    settled_full: int = 0
    refused: int = 0
    withdrawn: int = 0
    stopped: int = 0


@dataclass(frozen=True, slots=True)
class TallyTotals:
    """How far the tallies are: distinct events stored, and events counted in the tier that is farthest from that number.

    Of the minute and the day tallies the farther one is told, so that a tier that counts too much is not hidden by one
    that is late. Both are totals: only the audit sees differences that make up for each other.
    """

    stored: int
    tallied: int


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Distinct messages received within a span of arrival time."""

    events: int
    dead_letters: int


class TallyReader(Protocol):
    """Where figures are read. Everything is counted from the tallies, never from increments."""

    def counts_between(self, start: dt.datetime, end: dt.datetime) -> Mapping[str, Counts]:
        """Counts by agency from the minute tallies, ``start`` included, ``end`` not (whole minutes)."""
        ...

    def counts_of_days(self, first: dt.date, last: dt.date) -> Mapping[str, Counts]:
        """Counts by agency from the day tallies, both days included."""
        ...

    def last_events(self, until: dt.datetime) -> Mapping[str, dt.datetime]:
        """Time of each agency's newest event that is not later than ``until``."""
        ...

    def standing(self) -> TallyTotals:
        """Distinct events stored and events tallied. May be as old as a few times the cost of counting them."""
        ...

    def dead_letters_by_reason(self) -> Mapping[str, int]:
        """Messages set aside so far, replayed and dropped ones included: it never falls."""
        ...

    def arrivals(self, within: dt.timedelta) -> Arrivals:
        """Messages that arrived within the last ``within``, by the storage's own clock; the events are an estimate (1 %)."""
        ...

    def events(self, first: dt.date, last: dt.date, agencies: Sequence[str] | None) -> Iterator[bytes]:
        """Distinct events of whole civil days in the form of the contract: pieces of NDJSON, in the order of time."""
        ...

    def ping(self) -> None:
        """Return when the storage answers a query."""
        ...
