"""The gauges of agencies, read from the tallies at each scrape. When the storage fails they are absent, never stale."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from domain import metric_names as names
from domain.agencies import AgencyRegistry
from domain.clock import Clock
from domain.events import Reason
from domain.findings import WITHOUT_EVENT, FindingKind
from domain.indicators import INDICATORS, Indicator, ratio_of
from domain.metric_names import Metric
from domain.periods import Window, civil_day, day_start
from domain.tiers import Tier
from domain.working_days import WorkingDays
from domain.working_time import WorkingTime
from pipeline.serving.earlier import QUIET_DAYS, Earlier
from pipeline.serving.window_counts import counts_in
from sinks.contract.tallies import Counts, TallyReader

#: Window of the gauges of recently received and dead-lettered messages.
_RECENT_WINDOW = dt.timedelta(hours=1)
#: Agencies whose dead letters are exported by name.
_MOST_FREQUENT: Final = 10


class AgencyCollector(Collector):
    """Exports the figures of every agency in force on the clock's current day; 0 of 0 for an agency without events.

    Without these series no alert rule could find agencies that send nothing. An agency that is not expected to report has
    series once it has sent an event.
    """

    def __init__(
        self,
        reader: TallyReader,
        *,
        registry: AgencyRegistry,
        clock: Clock,
        indicators: Mapping[str, Indicator] = INDICATORS,
        working_days: WorkingDays | None = None,
    ) -> None:
        self._reader, self._registry, self._clock, self._indicators = reader, registry, clock, indicators
        self._working_days = working_days or WorkingDays()
        self._earlier = Earlier(reader)

    def describe(self) -> Iterable[Any]:
        """Return nothing, so that registering the collector does not read the storage."""
        return []

    def collect(self) -> Iterator[Any]:
        """Read the figures from the storage and yield the metrics of one scrape."""
        now = self._clock.now()
        counts = {window: counts_in(self._reader, window, now) for window in Window}
        events = self._reader.last_events(now)
        sent = set(events).union(*counts.values())
        today = civil_day(now)
        codes = [agency.code for agency in self._registry.in_force(today) if agency.is_expected(today) or agency.code in sent]
        yield from self._figures(counts, codes, names.AGENCY_KPI_NUMERATOR, names.AGENCY_KPI_DENOMINATOR)
        earlier = self._earlier.counts(now)
        yield from self._figures(earlier, codes, names.AGENCY_EARLIER_NUMERATOR, names.AGENCY_EARLIER_DENOMINATOR)
        yield from self._freshness(now, events, codes)
        yield from self._dead_letters(now)
        free, share = _gauge(names.STORAGE_FREE), self._reader.free_space()
        if share is not None:
            free.add_metric([], share)
        yield free

    def _figures(
        self, counts: Mapping[Window, Mapping[str, Counts]], codes: list[str], above: Metric, below: Metric
    ) -> Iterator[Any]:
        numerator, denominator = _gauge(above), _gauge(below)
        for window, of_window in counts.items():
            for code in codes:
                row = of_window.get(code, Counts())
                for kpi, indicator in self._indicators.items():
                    ratio = ratio_of(indicator, row)
                    numerator.add_metric([code, kpi, window.value], ratio.numerator)
                    denominator.add_metric([code, kpi, window.value], ratio.denominator)
        yield numerator
        yield denominator

    def _freshness(self, now: dt.datetime, events: Mapping[str, dt.datetime], codes: list[str]) -> Iterator[Any]:
        clock, last, newest = _gauge(names.CLOCK), _gauge(names.AGENCY_LAST_EVENT), _gauge(names.NEWEST_EVENT)
        quiet, year_left = _gauge(names.QUIET_WORKING), _gauge(names.YEAR_LEFT)
        clock.add_metric([], now.timestamp())
        year_left.add_metric([], (day_start(dt.date(civil_day(now).year + 1, 1, 1)) - now).total_seconds())
        for code in sorted(set(codes) & set(events)):
            last.add_metric([code], events[code].timestamp())
        passed = WorkingTime(now, self._working_days, days=QUIET_DAYS)
        if events:
            newest.add_metric([], max(events.values()).timestamp())
            quiet.add_metric([], passed.since(max(events.values())))
        for metric, of_agencies in zip(
            (names.AGENCY_QUIET_WORKING, names.AGENCY_USUAL_QUIET), self._earlier.quiet(now, passed, events, codes), strict=True
        ):
            gauge = _gauge(metric)
            for code, seconds in of_agencies.items():
                gauge.add_metric([code], seconds)
            yield gauge
        lag = _gauge(names.TALLY_LAG_ROWS)
        totals = self._reader.totals()
        lag.add_metric([], totals.stored - totals.tallied)
        yield from (clock, last, newest, quiet, year_left, lag)

    def _dead_letters(self, now: dt.datetime) -> Iterator[Any]:
        dead_letters = CounterMetricFamily(
            names.DEAD_LETTERS.name.removesuffix("_total"), names.DEAD_LETTERS.help, labels=names.DEAD_LETTERS.labels
        )
        found = self._reader.dead_letters_by_reason()
        for reason in Reason:
            dead_letters.add_metric([reason.value], found.get(reason.value, 0))
        yield dead_letters
        arrivals = self._reader.arrivals(_RECENT_WINDOW)
        dead_lettered, received = _gauge(names.DEAD_LETTER_ROWS), _gauge(names.RECEIVED_ROWS)
        dead_lettered.add_metric([Window.HOUR.value], arrivals.dead_letters)
        received.add_metric([Window.HOUR.value], arrivals.events + arrivals.dead_letters)
        yield dead_lettered
        yield received
        yield self._dead_letter_agencies(now)

    def _dead_letter_agencies(self, now: dt.datetime) -> Any:
        """Dead letters of the agencies with most of them; the others under an empty label, so that series stay few."""
        found = Counter(self._reader.dead_letter_agencies(_RECENT_WINDOW))
        known = {agency.code for agency in self._registry.in_force(civil_day(now))}
        named = Counter({code: number for code, number in found.items() if code in known}).most_common(_MOST_FREQUENT)
        gauge = _gauge(names.DEAD_LETTER_AGENCY_ROWS)
        gauge.add_metric([""], found.total() - sum(number for _, number in named))
        for code, number in named:
            gauge.add_metric([code], number)
        return gauge


#: The scope of the audit that is not a tier.
_DOSSIERS = "dossiers"


@dataclass(frozen=True, slots=True)
class AuditState:
    """What the continuous audit exports: confirmed drift in events by tier, time of the last success, number of failures.

    ``dossiers``: messages, confirmed, that count otherwise than their dossiers say, or that the index lacks.
    ``kafka_answers``: whether Kafka answered the last round; None when it was not asked.
    """

    drift: Mapping[Tier, int] = field(default_factory=lambda: dict.fromkeys(Tier, 0))
    last_success: dt.datetime | None = None
    failures: int = 0
    dossiers: int = 0
    kafka_answers: bool | None = None


class AuditCollector(Collector):
    """Exports the state of the continuous audit, with a series for every tier from the start. Does not read the storage."""

    def __init__(self, state: Callable[[], AuditState]) -> None:
        self._state = state

    def collect(self) -> Iterator[Any]:
        """Yield the metrics of the current state of the audit."""
        state = self._state()
        drift, success = _gauge(names.AUDIT_DRIFT), _gauge(names.AUDIT_LAST_SUCCESS)
        for tier in Tier:
            drift.add_metric([tier.value], state.drift[tier])
        drift.add_metric([_DOSSIERS], state.dossiers)
        success.add_metric([], 0 if state.last_success is None else state.last_success.timestamp())
        failures = CounterMetricFamily(names.AUDIT_FAILURES.name.removesuffix("_total"), names.AUDIT_FAILURES.help)
        failures.add_metric([], state.failures)
        kafka = _gauge(names.KAFKA_UP)
        if state.kafka_answers is not None:
            kafka.add_metric([], state.kafka_answers)
        yield from (drift, success, failures, kafka)


@dataclass(frozen=True, slots=True)
class FindingState:
    """What the search for findings exports.

    Attributes:
        day: the civil day of the findings; None before the first search.
        dossiers: (agency, kind) -> number of dossiers, if not 0; the agency is "" for a finding that belongs to no agency.
        last_success: when the last search ended.
        failures: number of failed searches.
        accepted: agency -> (dossiers accepted late, dossiers registered online) of those earlier days that can be judged.
    """

    day: dt.date | None = None
    dossiers: Mapping[tuple[str, str], int] = field(default_factory=dict)
    last_success: dt.datetime | None = None
    failures: int = 0
    accepted: Mapping[str, tuple[int, int]] = field(default_factory=dict)


class FindingCollector(Collector):
    """Exports findings of the clock's day, by kind, for every agency that is expected to report or has findings.

    Does not read the storage. Before the first search of a day has ended there are no series: 0 would mean no findings.
    """

    def __init__(self, state: Callable[[], FindingState], *, registry: AgencyRegistry, clock: Clock) -> None:
        self._state, self._registry, self._clock = state, registry, clock

    def collect(self) -> Iterator[Any]:
        """Yield the metrics; findings only when they are those of today."""
        state, today = self._state(), civil_day(self._clock.now())
        findings, success = _gauge(names.AGENCY_FINDINGS), _gauge(names.FINDINGS_LAST_SUCCESS)
        late, registered = _gauge(names.AGENCY_ACCEPTED_LATE), _gauge(names.AGENCY_REGISTERED_ONLINE)
        if state.day == today:
            for code, counts in sorted(state.accepted.items()):
                for gauge, number in zip((late, registered), counts, strict=True):
                    gauge.add_metric([code], number)
            agencies = {agency.code for agency in self._registry.expected(today)}
            for agency in sorted(agencies | {agency for agency, _ in state.dossiers if agency}):
                for kind in FindingKind:
                    if kind not in WITHOUT_EVENT:
                        findings.add_metric([agency, kind.value], state.dossiers.get((agency, kind.value), 0))
            for name in sorted(WITHOUT_EVENT):
                findings.add_metric(["", name.value], state.dossiers.get(("", name.value), 0))
        success.add_metric([], 0 if state.last_success is None else state.last_success.timestamp())
        failures = CounterMetricFamily(names.FINDINGS_FAILURES.name.removesuffix("_total"), names.FINDINGS_FAILURES.help)
        failures.add_metric([], state.failures)
        yield from (findings, late, registered, success, failures)


def storage_up(*, answers: bool) -> bytes:
    """The gauge that tells whether this scrape includes the figures of the storage, in the text format of Prometheus."""
    registry = CollectorRegistry()
    Gauge(names.STORAGE_UP.name, names.STORAGE_UP.help, registry=registry).set(answers)
    return generate_latest(registry)


def _gauge(metric: Metric) -> GaugeMetricFamily:
    return GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)
