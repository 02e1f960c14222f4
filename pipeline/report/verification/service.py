"""Recomputes the figures of a report, one hash shard of dossiers at a time. Nothing is stored."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from domain.acceptance import FIRST_DAY as ACCEPTED_LATE_FROM
from domain.catalogue import Catalogue, CatalogueEntry
from domain.dossiers import Dossier, judge
from domain.exclusions import ExclusionDecision
from domain.figure_group import Grouping
from domain.group_counts import Circumstances, longest_days, part_of
from domain.indicators import ReturnAtCounter
from domain.periods import FIRST_DAY, LAST_DAY, Period, civil_day
from domain.working_days import WorkingDays
from pipeline.report.request import ReportRequest
from pipeline.report.verification.groups import COUNTS, GROUPS, FigureGroup, Needs, periods_of
from pipeline.report.verification.recomputed import PeriodFigures, Recomputed, rows_of
from pipeline.report.verification.stored_dossiers import stored_dossiers
from sinks.contract.audit import HashShard
from sinks.contract.raw_messages import RawMessageReader

#: Messages of the periods in one shard, about: half a minute of Python. ClickHouse remembers the codes of a shard.
SHARD_MESSAGES: Final = 500_000


@dataclass(frozen=True, slots=True)
class VerificationSources:
    """What a verification reads besides the messages.

    Attributes:
        excluded: returns the decision about every dossier that operators exclude, by dossier code.
        catalogue: what agencies offer on some day of a period.
        expired: returns the codes of dossiers of which only messages that came too late are left: they count in ``events`` alone.
        return_at_counter: which numerator I1 has.
        working_days: which days are working days.
        accepted_late_from: the first day whose registrations are in the group of dossiers accepted late.
    """

    excluded: Callable[[], Mapping[str, ExclusionDecision]]
    catalogue: Callable[[Period], Iterable[CatalogueEntry]]
    return_at_counter: ReturnAtCounter = ReturnAtCounter.EXCLUDED
    working_days: WorkingDays = field(default_factory=WorkingDays)
    accepted_late_from: dt.date = ACCEPTED_LATE_FROM
    expired: Callable[[], Collection[str]] = tuple


class VerificationService:
    """The steps of a verification: number of hash shards, figures of each shard, rows of the report from their sum."""

    def __init__(
        self,
        reader: RawMessageReader,
        sources: VerificationSources,
        *,
        groups: Sequence[FigureGroup] = GROUPS,
        shard_messages: int = SHARD_MESSAGES,
    ) -> None:
        self._reader, self._sources, self._groups, self._shard_messages = reader, sources, groups, shard_messages

    def shards(self, request: ReportRequest) -> int:
        """In how many hash shards to recompute the report.

        Raises:
            SinkError: the storage does not answer.
        """
        return max(1, -(-self._reader.messages_within(self._scope(request)) // self._shard_messages))

    def recomputed(self, request: ReportRequest, shard: HashShard, *, today: dt.date) -> Recomputed:
        """The figures of the dossiers of a hash shard.

        Raises:
            SinkError: the storage does not answer.
        """
        periods, groups = periods_of(request), self._asked(request)
        levels = Catalogue(self._sources.catalogue(Period(FIRST_DAY, max(period.end for period in periods)))).level
        circumstances = self._circumstances(request, today)
        total, excluded, expired = Recomputed.nothing(len(periods)), self._sources.excluded(), set(self._sources.expired())
        for stored in stored_dossiers(self._reader.by_dossier(self._scope(request), shard), periods):
            total.dossiers += 1
            total.messages += stored.rows
            for (number, unit), events in stored.events.items():
                total.periods[number].dossiers[COUNTS, unit, "", "events"] += events
            if stored.code in expired:
                continue
            decision = excluded.get(stored.code)
            dossier = judge(stored.messages, () if decision is None else (decision,), levels)
            if isinstance(dossier, Dossier):  # else it is part of no other figure
                for figures, each in zip(total.periods, circumstances, strict=True):
                    _add(figures, dossier, each, groups, request.by)
        return total

    def rows(self, request: ReportRequest, total: Recomputed, *, today: dt.date) -> list[dict[str, Any]]:
        """The rows that the report must have, from the figures of all shards.

        Raises:
            SinkError: the storage does not answer.
        """
        return rows_of(
            total,
            request,
            self._asked(request),
            catalogue=self._catalogue(request),
            return_at_counter=self._sources.return_at_counter,
            today=today,
        )

    def _asked(self, request: ReportRequest) -> list[FigureGroup]:
        return [group for group in self._groups if group.asked(request)]

    def _scope(self, request: ReportRequest) -> list[Period]:
        """The periods in which a dossier must have a message to be read."""
        periods, needs = periods_of(request), {group.needs for group in self._asked(request)}
        first, last = min(FIRST_DAY, *(each.start for each in periods)), max(each.end for each in periods)
        if Needs.EVER in needs:
            return [Period(first, max(last, LAST_DAY))]
        return [Period(first, last)] if Needs.UNTIL_END in needs else list(periods)

    def _circumstances(self, request: ReportRequest, today: dt.date) -> list[Circumstances]:
        """For each period, what its figures depend on besides the dossiers: today, longest times, working days and the like."""
        catalogue = self._catalogue(request)
        return [
            Circumstances(
                period,
                today,
                longest_days(catalogue, request.units.registry, period.end),
                self._sources.working_days,
                self._sources.accepted_late_from,
            )
            for period in periods_of(request)
        ]

    def _catalogue(self, request: ReportRequest) -> Catalogue:
        ends = [period.end for period in periods_of(request)]
        return Catalogue(self._sources.catalogue(Period(min(ends), max(ends))))


def _add(
    figures: PeriodFigures, dossier: Dossier, circumstances: Circumstances, groups: Iterable[FigureGroup], by: Grouping
) -> None:
    """Add a dossier to the figures of a period."""
    for group in groups:
        for event, count in group.of(dossier, circumstances):
            part = part_of(by, dossier.code, event) if group.divided else ""
            figures.dossiers[group.name, event.agency, part, count] += 1
    period, submitted = circumstances.period, dossier.submitted
    if period.start <= civil_day(submitted.occurred_at) <= period.end:
        service = (submitted.agency, submitted.procedure_code)
        figures.submitted.add(service)
        if dossier.online:
            figures.submitted_online.add(service)
