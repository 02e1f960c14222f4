"""Tallies: what a recount covers, the counts, and a reader of figures."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np


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
    settled_full_any_return: int = 0
    refused: int = 0
    withdrawn: int = 0
    stopped: int = 0
    given_back: int = 0


@dataclass(frozen=True, slots=True)
class TallyTotals:
    """Distinct events stored, and events counted in the tier that deviates more from that number.

    Of the minute and the day tallies the one that deviates more is reported, so that over-counting in one cannot hide lag in the
    other. Both numbers are totals: only the audit finds differences that cancel each other out.
    """

    stored: int
    tallied: int


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Distinct messages received within a span of arrival time."""

    events: int
    dead_letters: int


@dataclass(frozen=True, slots=True)
class ServicesWithDossiers:
    """Services, as (agency, procedure), that had a dossier submitted, and submitted online; the agency of the submitted event."""

    submitted: frozenset[tuple[str, str]]
    submitted_online: frozenset[tuple[str, str]]


class PeriodReader(Protocol):
    """Where the figures of a report are read."""

    def counts_of_days(self, first: dt.date, last: dt.date) -> Mapping[str, Counts]:
        """Counts by agency, both days included."""
        ...

    def services_with_dossiers(self, first: dt.date, last: dt.date) -> ServicesWithDossiers:
        """The services with a dossier in a period, both days included."""
        ...

    def active_days(self, first: dt.date, last: dt.date) -> Mapping[str, np.ndarray]:
        """For each agency with an event from ``first`` to ``last``: which of these civil days have one, an array of bool."""
        ...


class TallyReader(PeriodReader, Protocol):
    """Where figures are read. Tallies are recounts of the stored events, never sums of increments."""

    def counts_between(self, start: dt.datetime, end: dt.datetime) -> Mapping[str, Counts]:
        """Counts by agency from the minute tallies, ``start`` included, ``end`` not (whole minutes)."""
        ...

    def counts_by_step(self, first: dt.date, last: dt.date, seconds: int) -> Mapping[tuple[str, int], Counts]:
        """Counts by agency and step of so many seconds (whole minutes), from the minute tallies of civil days, both included.

        Steps are numbered from the first midnight on; there are none without an event.
        """
        ...

    def events_by_day(self) -> Mapping[tuple[str, dt.date], int]:
        """Distinct events by agency and civil day, from all day tallies; nothing where there are none."""
        ...

    def counts_by_day(self, first: dt.date, last: dt.date) -> Mapping[tuple[str, dt.date], Counts]:
        """Counts by agency and civil day, both days included; nothing where there are none."""
        ...

    def counts_of_procedures(self, agencies: Sequence[str], first: dt.date, last: dt.date) -> Mapping[str, Counts]:
        """Counts by procedure of some agencies together, from the procedure tallies, both days included."""
        ...

    def last_events(self, until: dt.datetime) -> Mapping[str, dt.datetime]:
        """Time of each agency's newest event that is not later than ``until``."""
        ...

    def totals(self) -> TallyTotals:
        """Distinct events stored and events tallied. The answer may be as old as a few times the duration of counting."""
        ...

    def dead_letters_by_reason(self) -> Mapping[str, int]:
        """Dead-lettered messages so far, replayed and dropped ones included, so that the number never falls."""
        ...

    def dead_letter_agencies(self, within: dt.timedelta) -> Mapping[str, int]:
        """Messages that were dead-lettered within the last ``within`` by the level-1 code that they name, "" without one.

        Counted are at most 10,000 of them, so that a flood costs no more.
        """
        ...

    def arrivals(self, within: dt.timedelta) -> Arrivals:
        """Messages that arrived within the last ``within``, by the storage's clock; the events are an estimate (1 %)."""
        ...

    def events(self, first: dt.date, last: dt.date, agencies: Sequence[str] | None) -> Iterator[bytes]:
        """Distinct events of whole civil days as messages of the event contract: chunks of NDJSON, in the order of time.

        Raises:
            ConfigurationError: messages of these days have expired.
        """
        ...

    def free_space(self) -> float | None:
        """Share of the storage's fullest disk that is free; None where the storage does not tell."""
        ...

    def ping(self) -> None:
        """Return when the storage answers a query."""
        ...
