"""Keeps which tallies must still be recounted, and which stored batches are counted in every tier.

Thread-safe; uses neither a clock nor the storage. The tiers depend on each other:

    dossiers     of the messages just stored, to be resolved; their corrections make further hours due
    minutes      (agency, minute) of the messages just stored, and of corrections
    days         (agency, civil day), summed from the minutes, so due only after the minutes were recounted
    procedures   (agency, civil day, procedure), counted from messages and corrections; due only after dossiers are resolved,
                 because recounting this tier costs most and nobody needs it within seconds

Stored batches are numbered from 1. Every entry that is due has the lowest number of the batches that it covers. A batch may be
acknowledged when every entry of every tier, due or being recounted, has a higher number. Recounting is idempotent: an entry may
be recounted more often than necessary, never less often.
"""

from __future__ import annotations

import datetime as dt
import threading
from collections import deque
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field

from domain.periods import VIETNAM_OFFSET_MINUTES
from pipeline.ingest.dossier_resolver import TouchedDossiers
from pipeline.ingest.minute_spans import DirtyHour, MinuteSpan, limited, minute_spans, union_of, width_of

#: Dirty minutes at most this many minutes apart are recounted with the gap between them, because one query costs less than two.
#: Live minutes hold many events, the days of a backfill few.
_LIVE_MERGE_GAP, _BACKFILL_MERGE_GAP = 5, 1440
_EPOCH_DAY = dt.date(1970, 1, 1)


@dataclass(slots=True)
class _Entry(DirtyHour):
    first_batch: int


@dataclass(frozen=True, slots=True)
class _Unresolved:
    """A stored batch whose dossiers must be resolved.

    Its procedures become due when they are resolved, and so do its hours (``dirty``) if ``deferred``.
    """

    batch: int
    dossiers: TouchedDossiers
    dirty: Mapping[int, DirtyHour]
    deferred: bool


@dataclass(frozen=True, slots=True)
class DossierWork:
    """Stored batches whose dossiers are resolved together. Call ``DirtyBuckets.dossiers_resolved`` when this is done."""

    batches: tuple[_Unresolved, ...]

    @property
    def dossiers(self) -> TouchedDossiers:
        """The dossiers of all batches."""
        return TouchedDossiers.merged([batch.dossiers for batch in self.batches])


@dataclass(frozen=True, slots=True)
class MinuteWork:
    """Hours taken for one recount. Call ``DirtyBuckets.minutes_recounted`` when every span is recounted."""

    spans: tuple[MinuteSpan, ...]
    entries: Mapping[int, _Entry] = field(repr=False)


@dataclass(frozen=True, slots=True)
class DayWork:
    """Civil days taken for one recount, of some agencies (None: all).

    Call ``DirtyBuckets.days_recounted`` or ``procedures_recounted`` when the recount is done.
    """

    days: tuple[dt.date, ...]
    agencies: frozenset[int] | None
    first_batch: int


class DirtyBuckets:
    """Keeps the entries of each tier that are due or being recounted. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._batches = 0
        self._hours: dict[int, _Entry] = {}
        self._days: dict[int, _Entry] = {}
        self._procedures: dict[int, _Entry] = {}
        # The lowest batch of each recount in progress, by tier.
        self._minutes_in_progress: list[int] = []
        self._days_in_progress: list[int] = []
        self._procedures_in_progress: list[int] = []
        self._unresolved: deque[_Unresolved] = deque()
        self._resolving: list[_Unresolved] = []
        self._sweep = 0  # the hour at which the next backfill work starts

    def batch_stored(
        self, dirty: Mapping[int, DirtyHour], dossiers: TouchedDossiers | None = None, *, defer: bool = False
    ) -> int:
        """Note a stored batch and make due what it needs; return the batch's number.

        Args:
            dirty: the hours of its messages.
            dossiers: the dossiers of its messages, which must be resolved; None: there is nothing to resolve.
            defer: whether the hours become due only when the dossiers are resolved, so that they are recounted once.
        """
        with self._lock:
            self._batches += 1
            batch = self._batches
            if dossiers is not None and dossiers.messages:
                self._unresolved.append(_Unresolved(batch, dossiers, dirty, defer))
                if not defer:
                    self._make_hours_due(dirty, batch)
            else:
                self._make_due(dirty, batch)
            return batch

    def take_dossiers(self, max_messages: int) -> DossierWork | None:
        """Take the oldest stored batches whose dossiers must be resolved, with about ``max_messages`` messages at most."""
        with self._lock:
            chosen: list[_Unresolved] = []
            taken = 0
            while self._unresolved and (not chosen or taken + self._unresolved[0].dossiers.messages <= max_messages):
                chosen.append(self._unresolved.popleft())
                taken += chosen[-1].dossiers.messages
            self._resolving += chosen
            return DossierWork(tuple(chosen)) if chosen else None

    def dossiers_resolved(self, work: DossierWork, corrected: Mapping[int, DirtyHour]) -> None:
        """Note that the corrections of ``work`` are stored. The hours that they changed (``corrected``) become due."""
        with self._lock:
            self._make_due(corrected, work.batches[0].batch)
            for each in work.batches:
                if each.deferred:
                    self._make_hours_due(each.dirty, each.batch)
                self._make_procedures_due(each.dirty, each.batch)
                self._resolving.remove(each)

    def take_live_minutes(self, max_minutes: int) -> MinuteWork | None:
        """Take the newest due hours, with about ``max_minutes`` minutes at most: live traffic, which must be fresh."""
        with self._lock:
            chosen: list[int] = []
            total = 0
            for hour in sorted(self._hours, reverse=True):
                total += width_of(self._hours[hour].minutes)
                if chosen and total > max_minutes:
                    break
                chosen.append(hour)
            return self._take_hours(chosen, _LIVE_MERGE_GAP)

    def take_backfill_minutes(self, max_minutes: int, *, besides: Container[int] = ()) -> MinuteWork | None:
        """Take the next due hours of late data and backfill, within a span of ``max_minutes`` minutes; none in ``besides``.

        Calls go through time from old to new hours and begin again. Meanwhile the other hours collect more batches, so that one
        recount covers many batches.
        """
        with self._lock:
            due = sorted(hour for hour in self._hours if hour not in besides)
            ahead = [hour for hour in due if hour >= self._sweep] or due
            if not ahead:
                return None
            limit = ahead[0] + max(1, max_minutes // 60)
            chosen = [hour for hour in ahead if hour < limit]
            self._sweep = chosen[-1] + 1
            return self._take_hours(chosen, _BACKFILL_MERGE_GAP)

    def minutes_recounted(self, work: MinuteWork) -> None:
        """Note that the spans of ``work`` are recounted. Their days become due."""
        with self._lock:
            for hour, entry in work.entries.items():
                _add(self._days, _civil_day_of(hour), 0, entry.agencies, entry.first_batch)
            self._minutes_in_progress.remove(min(entry.first_batch for entry in work.entries.values()))

    def take_days(self, max_days: int) -> DayWork | None:
        """Take the newest ``max_days`` due civil days: their minutes are recounted, and the day tier is not."""
        return self._take_days(self._days, self._days_in_progress, max_days)

    def take_procedures(self, max_days: int) -> DayWork | None:
        """Take the newest ``max_days`` civil days whose procedures must be recounted."""
        return self._take_days(self._procedures, self._procedures_in_progress, max_days)

    def days_recounted(self, work: DayWork) -> None:
        """Note that the days of ``work``, which ``take_days`` returned, are recounted."""
        with self._lock:
            self._days_in_progress.remove(work.first_batch)

    def procedures_recounted(self, work: DayWork) -> None:
        """Note that the procedures of ``work``, which ``take_procedures`` returned, are recounted."""
        with self._lock:
            self._procedures_in_progress.remove(work.first_batch)

    def counted_through(self) -> int:
        """The highest batch number up to which every batch is counted in every tier and its dossiers are resolved."""
        with self._lock:
            due = [entry.first_batch for entry in self._procedures.values()]
            return min([*due, *self._procedures_in_progress, self._tallied_through() + 1]) - 1

    def tallied_through(self) -> int:
        """The highest batch number up to which every batch is counted by minute and day and its dossiers are resolved.

        All figures that are not divided by procedure then contain these batches.
        """
        with self._lock:
            return self._tallied_through()

    def _tallied_through(self) -> int:
        due = [entry.first_batch for tier in (self._hours, self._days) for entry in tier.values()]
        due += [each.batch for each in (*self._unresolved, *self._resolving)]
        return min([*due, *self._minutes_in_progress, *self._days_in_progress], default=self._batches + 1) - 1

    def minutes_through(self) -> int:
        """The highest batch number up to which every batch is counted in the minute tallies, and so visible.

        A visible batch whose dossiers are not resolved yet counts by its messages alone.
        """
        with self._lock:
            due = [entry.first_batch for entry in self._hours.values()]
            due += [each.batch for each in (*self._unresolved, *self._resolving) if each.deferred]
            return min([*due, *self._minutes_in_progress], default=self._batches + 1) - 1

    def unresolved_messages(self) -> int:
        """Number of stored messages whose dossiers are not resolved."""
        with self._lock:
            return sum(each.dossiers.messages for each in (*self._unresolved, *self._resolving))

    def oldest_unresolved(self) -> float | None:
        """When the oldest messages whose dossiers are not resolved were stored (the caller's clock); None: there are none."""
        with self._lock:
            return min((each.dossiers.stored_at for each in (*self._unresolved, *self._resolving)), default=None)

    def due(self) -> tuple[int, int, int]:
        """Number of due hours, due days, and days with due procedures."""
        with self._lock:
            return len(self._hours), len(self._days), len(self._procedures)

    def _make_due(self, dirty: Mapping[int, DirtyHour], batch: int) -> None:
        self._make_hours_due(dirty, batch)
        self._make_procedures_due(dirty, batch)

    def _make_hours_due(self, dirty: Mapping[int, DirtyHour], batch: int) -> None:
        for hour, content in dirty.items():
            _add(self._hours, hour, content.minutes, content.agencies, batch)

    def _make_procedures_due(self, dirty: Mapping[int, DirtyHour], batch: int) -> None:
        for hour, content in dirty.items():
            _add(self._procedures, _civil_day_of(hour), 0, content.agencies, batch)

    def _take_hours(self, hours: Iterable[int], merge_gap: int) -> MinuteWork | None:
        entries = {hour: self._hours.pop(hour) for hour in hours}
        if not entries:
            return None
        self._minutes_in_progress.append(min(entry.first_batch for entry in entries.values()))
        return MinuteWork(tuple(limited(minute_spans(entries, merge_gap))), entries)

    def _take_days(self, tier: dict[int, _Entry], in_progress: list[int], max_days: int) -> DayWork | None:
        with self._lock:
            chosen = sorted(tier, reverse=True)[:max_days]
            if not chosen:
                return None
            entries = [tier.pop(day) for day in chosen]
            first = min(entry.first_batch for entry in entries)
            in_progress.append(first)
            agencies: frozenset[int] | None = frozenset()
            for entry in entries:
                agencies = union_of(agencies, entry.agencies)
            return DayWork(tuple(_EPOCH_DAY + dt.timedelta(days=day) for day in sorted(chosen)), agencies, first)


def _add(tier: dict[int, _Entry], key: int, minutes: int, agencies: frozenset[int] | None, batch: int) -> None:
    entry = tier.get(key)
    if entry is None:
        tier[key] = _Entry(minutes, agencies, batch)
        return
    entry.minutes |= minutes
    entry.agencies = union_of(entry.agencies, agencies)
    entry.first_batch = min(entry.first_batch, batch)


def _civil_day_of(hour: int) -> int:
    """The civil day (since the epoch) of an hour. Viet Nam is a whole number of hours ahead of UTC, so there is exactly one."""
    return (hour + VIETNAM_OFFSET_MINUTES // 60) // 24
