"""The series that Prometheus would have scraped: the real collectors of the exporter, which read figures instead of tallies.

So every series of the exporter is here without being listed. Series of other processes are listed in ``_OTHERS``.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dashboards.history.acceptances import Acceptances
from dashboards.history.clock import EVALUATION
from dashboards.history.feed import Feed
from dashboards.history.figures import Figures
from domain import metric_names as names
from domain.agencies import AgencyRegistry
from domain.clock import ManualClock
from domain.indicators import INDICATORS
from domain.periods import civil_day
from domain.working_days import WorkingDays
from pipeline.serving.exporter import AgencyCollector, FindingCollector, FindingState
from pipeline.serving.policies import PolicyCollector, policies_of
from pipeline.settings import ThresholdPolicy
from sinks.contract.tallies import Arrivals, Counts, TallyTotals

#: One series -> its value at each instant, None where Prometheus has none.
Series = dict[str, list[float | None]]

#: Series that no collector of the exporter reads from figures: their value at an instant. What works in the background has the
#: clock of Prometheus.
_OTHERS: Final[Mapping[str, Callable[[Feed, int, int], float]]] = {
    names.WORKER_ASSIGNED.name: lambda _feed, _index, _number: 4,
    names.WORKER_CONSUMER_LAG.name: lambda feed, index, _number: float(feed.waiting[index]),
    names.WORKER_UNACKNOWLEDGED.name: lambda _feed, _index, _number: 0,
    names.WORKER_UNTALLIED.name: lambda _feed, _index, _number: 0,
    names.WORKER_ACKNOWLEDGED.name: lambda _feed, _index, number: 1_000 * number,
}
_OF_THE_BACKGROUND: Final[Mapping[str, Callable[[int], float]]] = {
    names.KAFKA_UP.name: lambda _number: 1,
    f'{names.KAFKA_DISK_FREE.name}{{broker="1"}}': lambda _number: 0.5,
    names.AUDIT_LAST_SUCCESS.name: lambda number: number * EVALUATION,
    names.AUDIT_FAILURES.name: lambda _number: 0,
    f'{names.AUDIT_DRIFT.name}{{scope="day"}}': lambda _number: 0,
    names.FINDINGS_LAST_SUCCESS.name: lambda number: number * EVALUATION,
}
#: Of the findings only what rules read.
_OF_THE_FINDINGS: Final = frozenset({names.AGENCY_ACCEPTED_LATE.name, names.AGENCY_REGISTERED_ONLINE.name})


class TalliesOfFigures:
    """Answers the exporter's questions from figures, as far as their events are counted."""

    def __init__(self, figures: Figures, *, is_fresh: bool = False) -> None:
        self._figures, self._grid, self._is_fresh = figures, figures.grid, is_fresh
        self.counted = 0
        self._names = [name for name in figures.counts if name in Counts.__dataclass_fields__]

    def counts_between(self, start: dt.datetime, end: dt.datetime) -> Mapping[str, Counts]:
        """Counts by agency of the steps that begin within the time, ``end`` not included."""
        return self._counts(self._grid.index(start), self._grid.index(end))

    def counts_of_days(self, first: dt.date, last: dt.date) -> Mapping[str, Counts]:
        """Counts by agency of civil days, both included."""
        return self._counts(self._grid.of_day(first), self._grid.of_day(last + dt.timedelta(days=1)))

    def _counts(self, start: int, end: int) -> Mapping[str, Counts]:
        start, end = min(start, self.counted), min(end, self.counted)
        columns = {name: self._figures.before[name][:, end] - self._figures.before[name][:, start] for name in self._names}
        rows = zip(*(column.tolist() for column in columns.values()), strict=True)
        return {
            agency.code: Counts(**dict(zip(columns, row, strict=True)))
            for agency, row in zip(self._figures.agencies, rows, strict=True)
            if any(row)
        }

    def last_events(self, until: dt.datetime) -> Mapping[str, dt.datetime]:
        """The time of each agency's newest event.

        Events of a step count as evenly spread: those of each agency, and those of all.
        """
        figures, at = self._figures, min(self._grid.index(until), self.counted)
        found = {}
        for row, agency in enumerate(figures.agencies):
            step = int(figures.last_active[row, at])
            if step >= 0:
                found[agency.code] = self._grid.at(step + 1) - figures.gap(int(figures.events[row, step]))
        if found:
            step = int(figures.last_active[:, at].max())
            newest = max(found, key=lambda code: found[code])
            found[newest] = self._grid.at(step + 1) - figures.gap(int(figures.events[:, step].sum()))
            if self._is_fresh:
                found[newest] = until
        return found

    def active_days(self, first: dt.date, last: dt.date) -> Mapping[str, NDArray[np.bool_]]:
        """For each agency with a dossier in the civil days (both included): on which of these days it has one."""
        days = (last - first).days + 1
        starts = np.array([min(self._grid.of_day(first + dt.timedelta(days=day)), self.counted) for day in range(days + 1)])
        before = self._figures.events_before[:, starts]
        active = before[:, 1:] > before[:, :-1]
        return {agency.code: active[row] for row, agency in enumerate(self._figures.agencies) if active[row].any()}

    def totals(self) -> TallyTotals:
        """The totals, by which every stored event is tallied."""
        return TallyTotals(0, 0)

    def dead_letters_by_reason(self) -> Mapping[str, int]:
        """No dead letters: an empty mapping."""
        return {}

    def dead_letter_agencies(self, _within: dt.timedelta) -> Mapping[str, int]:
        """No dead letters: an empty mapping."""
        return {}

    def arrivals(self, _within: dt.timedelta) -> Arrivals:
        """No arrivals: both numbers are 0."""
        return Arrivals(0, 0)

    def free_space(self) -> float:
        """A free share of the disk that raises no alert."""
        return 0.5


@dataclass(frozen=True, slots=True)
class Exporter:
    """An exporter that exports some figures.

    Attributes:
        figures, feed: what happened, and which of it was counted and read.
        registry, policies, working_days: as in the settings of an exporter.
        is_fresh: whether there is always a new event, so that hourly figures never look like a stall.
        acceptances: registrations, which the background task counts once a step; None: it counts nothing.
    """

    figures: Figures
    feed: Feed
    registry: AgencyRegistry
    policies: Sequence[ThresholdPolicy]
    working_days: WorkingDays
    is_fresh: bool = False
    acceptances: Acceptances | None = None

    def scraped(self, first: int, last: int) -> Series:
        """Every series at the instants from ``first`` to ``last``, both included. A failing scrape makes a series stale."""
        clock, reader = ManualClock(self.figures.grid.at(first)), TalliesOfFigures(self.figures, is_fresh=self.is_fresh)
        judged = {key for agency in self.figures.agencies for key in policies_of(self.policies, agency)}
        kpis = {kpi: INDICATORS[kpi] for kpi in sorted({kpi for kpi, _ in judged})}
        agencies = AgencyCollector(
            reader,  # type: ignore[arg-type]  # the collector asks nothing else
            registry=self.registry,
            clock=clock,
            indicators=kpis,
            working_days=self.working_days,
        )
        policies = PolicyCollector(registry=self.registry, clock=clock, policies=self.policies)
        state = FindingState()
        findings = FindingCollector(lambda: state, registry=self.registry, clock=clock)
        known = {agency.code for agency in self.figures.agencies}
        found: Series = {}
        length = last - first + 1
        policy_samples: tuple[dt.date, list[tuple[str, float]]] | None = None
        for number, index in enumerate(range(first, last + 1)):
            clock.instant, reader.counted = self.figures.grid.at(index), int(self.feed.counted[index])
            samples = [(name, value(self.feed, index, number)) for name, value in _OTHERS.items()]
            if self.feed.answers[index]:
                today = civil_day(clock.instant)
                if policy_samples is None or policy_samples[0] != today:
                    policy_samples = today, list(_samples(policies.collect(), known))
                samples += policy_samples[1]
                samples += [(name, of(number)) for name, of in _OF_THE_BACKGROUND.items()]
                # What the exporter shows was counted one step before.
                samples += _samples((each for each in findings.collect() if each.name in _OF_THE_FINDINGS), known)
                samples.append((names.STORAGE_UP.name, float(self.feed.storage[index])))
                if self.feed.storage[index]:
                    samples += _samples(agencies.collect(), known, judged)
            for series, value in samples:
                found.setdefault(series, [None] * length)[number] = value
            state = self._counted(clock.instant, index) or state
        return found

    def _counted(self, now: dt.datetime, index: int) -> FindingState | None:
        """The counts of the background task at an instant; None where it cannot count, or has nothing to count."""
        if self.acceptances is None or not self.feed.storage[index]:
            return None
        late, registered = self.acceptances.counts(civil_day(now), int(self.feed.counted[index]))
        pairs = zip(late.tolist(), registered.tolist(), strict=True)
        accepted = {agency.code: pair for agency, pair in zip(self.figures.agencies, pairs, strict=True) if pair[1]}
        return FindingState(civil_day(now), accepted=accepted)


def _samples(families: Iterator[Any], known: set[str], judged: set[tuple[str, str]] | None = None) -> Iterator[tuple[str, float]]:
    """The samples of known agencies; of windows only those that a policy judges."""
    windows = {window for _, window in judged} if judged is not None else set()
    for family in families:
        for sample in family.samples:
            labels = sample.labels
            if "agency" in labels and labels["agency"] not in known:
                continue
            if judged is not None and "kpi" in labels and "window" in labels and labels["window"] not in windows:
                continue
            text = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())
            yield (f"{sample.name}{{{text}}}" if text else sample.name), float(sample.value)


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')
