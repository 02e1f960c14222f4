"""Tallies: which minutes or days a recount covers, the counts of a tally, and a reader of figures."""

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
        """The number of minutes in the span."""
        return int((self.end - self.start).total_seconds()) // 60


@dataclass(frozen=True, slots=True)
class Days:
    """Civil days to roll up, ascending; ``agencies`` None means all."""

    days: tuple[dt.date, ...]
    agencies: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Counts:
    """The counts of one agency over some time; ``domain.tiers.COUNTS`` defines each count."""

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
    """The number of distinct stored events, and the number of tallied events.

    Of the minute and the day tallies the total that deviates more from the stored events is reported, so that over-counting in
    one tier cannot hide lag in the other. Both numbers are totals: only the audit finds differences that cancel each other out.
    """

    stored: int
    tallied: int


@dataclass(frozen=True, slots=True)
class Arrivals:
    """How many distinct messages arrived at the storage within some time."""

    events: int
    dead_letters: int


@dataclass(frozen=True, slots=True)
class ServicesWithDossiers:
    """The services (agency, procedure) with a submitted dossier, and those with one submitted online; the submission's agency."""

    submitted: frozenset[tuple[str, str]]
    submitted_online: frozenset[tuple[str, str]]


class PeriodReader(Protocol):
    """Reads the tallied figures of a report."""

    def counts_of_days(self, first: dt.date, last: dt.date) -> Mapping[str, Counts]:
        """Counts by agency over the civil days from ``first`` to ``last``, both included."""
        ...

    def services_with_dossiers(self, first: dt.date, last: dt.date) -> ServicesWithDossiers:
        """The services with a dossier from ``first`` to ``last``, both days included."""
        ...

    def active_days(self, first: dt.date, last: dt.date) -> Mapping[str, np.ndarray]:
        """For each agency with an event from ``first`` to ``last``: which of these civil days have one, an array of bool."""
        ...


class TallyReader(PeriodReader, Protocol):
    """Reads figures. Tallies are recounts of the stored messages and corrections, never sums of increments."""

    def counts_between(self, start: dt.datetime, end: dt.datetime) -> Mapping[str, Counts]:
        """Counts by agency from the minute tallies, ``start`` included, ``end`` not (whole minutes)."""
        ...

    def counts_by_step(self, first: dt.date, last: dt.date, seconds: int) -> Mapping[tuple[str, int], Counts]:
        """Counts by agency and step of ``seconds`` (whole minutes), from the minute tallies of civil days, both included.

        Steps are numbered from the first midnight (0); a step without an event is omitted.
        """
        ...

    def events_by_day(self) -> Mapping[tuple[str, dt.date], int]:
        """Distinct events by agency and civil day, from all day tallies; an agency and day without an event is omitted."""
        ...

    def counts_by_day(self, first: dt.date, last: dt.date) -> Mapping[tuple[str, dt.date], Counts]:
        """Counts by agency and civil day, both days included; an agency and day without an event is omitted."""
        ...

    def counts_of_procedures(self, agencies: Sequence[str], first: dt.date, last: dt.date) -> Mapping[str, Counts]:
        """Counts by procedure, some agencies added up, from the procedure tallies of civil days, both days included."""
        ...

    def last_events(self, until: dt.datetime) -> Mapping[str, dt.datetime]:
        """Time of each agency's newest event that is not later than ``until``."""
        ...

    def totals(self) -> TallyTotals:
        """Distinct events stored and events tallied. The answer may be a few times as old as the counting of all events takes."""
        ...

    def dead_letters_by_reason(self) -> Mapping[str, int]:
        """Dead-lettered messages so far, replayed and dropped ones included, so that the number never falls."""
        ...

    def dead_letter_agencies(self, within: dt.timedelta) -> Mapping[str, int]:
        """How many messages were dead-lettered within the last ``within``, by the level-1 code that they name, "" without one.

        At most 10,000 messages are looked at, so that a flood of them costs no more.
        """
        ...

    def arrivals(self, within: dt.timedelta) -> Arrivals:
        """Messages that arrived within the last ``within``, by the storage's clock; the number of events is an estimate (1 %)."""
        ...

    def events(self, first: dt.date, last: dt.date, agencies: Sequence[str] | None) -> Iterator[bytes]:
        """Distinct events of whole civil days as messages of the event contract: chunks of NDJSON, in the order of time.

        Raises:
            ConfigurationError: messages of these days have expired.
        """
        ...

    def free_space(self) -> float | None:
        """The free share (0 to 1) of the storage's fullest disk; None where the storage does not tell."""
        ...

    def ping(self) -> None:
        """Ask the storage a trivial query; returns when it has answered."""
        ...
