"""Which tallies must still be recounted, and which stored batches are counted in every tier.

Pure bookkeeping, thread-safe, without a clock or a database. The three tiers depend on each other:

    minutes      (agency, minute) of the events just stored
    days         (agency, civil day), summed from the minutes, so due only after those were recounted
    procedures   (agency, civil day, procedure), counted from the events

Stored batches are numbered from 1. Every due entry holds the lowest batch number that it covers. A batch may be acknowledged when
every entry of every tier, due or being recounted, has a higher number. Recounting is idempotent: an entry may be recounted more
often than necessary, never less often.
"""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from domain.periods import VIETNAM_OFFSET_MINUTES

#: Above this many agencies an entry means all of them: filtering would cost more than it saves.
_MAX_AGENCIES = 64
#: Dirty minutes at most this many minutes apart are recounted with the gap between them, because one query costs less than two.
#: Live minutes hold many events, the days of a backfill few.
_LIVE_MERGE_GAP, _BACKFILL_MERGE_GAP = 5, 1440
#: Most spans in one piece of work. When there are more, the narrowest gaps between them are recounted, too.
_MAX_SPANS = 3
_EPOCH_DAY = dt.date(1970, 1, 1)
_UTC_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


@dataclass(slots=True)
class DirtyHour:
    """What must be recounted of one hour: a bit for each minute, and the agencies (None: all of them)."""

    minutes: int
    agencies: frozenset[int] | None


def dirty_hours(agencies: np.ndarray, instants: np.ndarray) -> dict[int, DirtyHour]:
    """The hours (since the epoch) that hold events.

    Args:
        agencies: index of each event's agency, int.
        instants: epoch milliseconds of each event, int64.
    """
    if not len(instants):
        return {}
    minutes = instants // 60_000
    hours: dict[int, int] = {}
    for minute in _distinct(minutes):
        hours[minute // 60] = hours.get(minute // 60, 0) | 1 << minute % 60
    width = int(agencies.max()) + 1
    members: dict[int, list[int]] = {}
    for pair in _distinct((minutes // 60) * width + agencies):
        members.setdefault(pair // width, []).append(pair % width)
    return {
        hour: DirtyHour(bits, frozenset(members[hour]) if len(members[hour]) <= _MAX_AGENCIES else None)
        for hour, bits in hours.items()
    }


def _distinct(numbers: np.ndarray) -> list[int]:
    """The distinct numbers, ascending. Numbers that lie close together, as in live data, need no sorting."""
    low, high = int(numbers.min()), int(numbers.max())
    if high - low < 4 * len(numbers) + 10_000:
        present = np.zeros(high - low + 1, dtype=bool)
        present[numbers - low] = True
        found: list[int] = (np.flatnonzero(present) + low).tolist()
        return found
    spread: list[int] = np.unique(numbers).tolist()
    return spread


@dataclass(frozen=True, slots=True)
class MinuteSpan:
    """Minutes since the epoch, from ``start`` up to but not including ``end``. ``agencies`` None means all."""

    start: int
    end: int
    agencies: frozenset[int] | None

    def instants(self) -> tuple[dt.datetime, dt.datetime]:
        """``start`` and ``end`` as aware UTC datetimes."""
        return _UTC_EPOCH + dt.timedelta(minutes=self.start), _UTC_EPOCH + dt.timedelta(minutes=self.end)


@dataclass(slots=True)
class _Entry:
    minutes: int
    agencies: frozenset[int] | None
    first_batch: int


@dataclass(frozen=True, slots=True)
class MinuteWork:
    """Hours taken for one recount. Call ``DirtyBuckets.minutes_recounted`` when every span is recounted."""

    spans: tuple[MinuteSpan, ...]
    entries: Mapping[int, _Entry] = field(repr=False)


@dataclass(frozen=True, slots=True)
class DayWork:
    """Civil days taken for one recount. Call ``DirtyBuckets.days_recounted`` when it is done. ``agencies`` None means all."""

    days: tuple[dt.date, ...]
    agencies: frozenset[int] | None
    first_batch: int


class DirtyBuckets:
    """Keeps the due entries of the three tiers. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._batches = 0
        self._hours: dict[int, _Entry] = {}
        self._days: dict[int, _Entry] = {}
        self._procedures: dict[int, _Entry] = {}
        self._days_in_progress: list[int] = []  # lowest batch of each recount of days or procedures in progress
        self._minutes_in_progress: list[int] = []  # lowest batch of each recount of minutes in progress
        self._sweep = 0  # the hour at which the next backfill work starts

    def batch_stored(self, dirty: Mapping[int, DirtyHour]) -> int:
        """A batch is durable and has events in these hours. Returns its number."""
        with self._lock:
            self._batches += 1
            batch = self._batches
            for hour, content in dirty.items():
                _add(self._hours, hour, content.minutes, content.agencies, batch)
                _add(self._procedures, _civil_day_of(hour), 0, content.agencies, batch)
            return batch

    def take_live_minutes(self, max_minutes: int) -> MinuteWork | None:
        """The newest due minutes, about ``max_minutes`` at most: live traffic, which must be fresh."""
        with self._lock:
            chosen: list[int] = []
            total = 0
            for hour in sorted(self._hours, reverse=True):
                total += _width(self._hours[hour].minutes)
                if chosen and total > max_minutes:
                    break
                chosen.append(hour)
            return self._take_hours(chosen, _LIVE_MERGE_GAP)

    def take_backfill_minutes(self, max_minutes: int) -> MinuteWork | None:
        """The next due hours in a sweep through time, ``max_minutes`` long at most: late data and backfill.

        The sweep leaves the other hours time to collect more batches, so that one recount covers many batches.
        """
        with self._lock:
            ahead = sorted(hour for hour in self._hours if hour >= self._sweep)
            if not ahead:
                ahead = sorted(self._hours)
            if not ahead:
                return None
            limit = ahead[0] + max(1, max_minutes // 60)
            chosen = [hour for hour in ahead if hour < limit]
            self._sweep = chosen[-1] + 1
            return self._take_hours(chosen, _BACKFILL_MERGE_GAP)

    def minutes_recounted(self, work: MinuteWork) -> None:
        """The spans of ``work`` are recounted. Their days become due."""
        with self._lock:
            for hour, entry in work.entries.items():
                _add(self._days, _civil_day_of(hour), 0, entry.agencies, entry.first_batch)
            self._minutes_in_progress.remove(min(entry.first_batch for entry in work.entries.values()))

    def take_days(self, max_days: int) -> DayWork | None:
        """The newest ``max_days`` civil days whose minutes are recounted."""
        return self._take_days(self._days, max_days)

    def take_procedures(self, max_days: int) -> DayWork | None:
        """The newest ``max_days`` civil days whose procedures must be recounted."""
        return self._take_days(self._procedures, max_days)

    def days_recounted(self, work: DayWork) -> None:
        """The days of ``work`` are recounted, in the tier that they were taken from."""
        with self._lock:
            self._days_in_progress.remove(work.first_batch)

    def counted_through(self) -> int:
        """The highest batch number up to which every batch is counted in every tier."""
        with self._lock:
            due = [entry.first_batch for tier in (self._hours, self._days, self._procedures) for entry in tier.values()]
            return min([*due, *self._minutes_in_progress, *self._days_in_progress], default=self._batches + 1) - 1

    def minutes_through(self) -> int:
        """The highest batch number up to which every batch is counted in the minute tallies, and so visible."""
        with self._lock:
            due = (entry.first_batch for entry in self._hours.values())
            return min([*due, *self._minutes_in_progress], default=self._batches + 1) - 1

    def due(self) -> tuple[int, int, int]:
        """Number of due hours, due days, and days with due procedures."""
        with self._lock:
            return len(self._hours), len(self._days), len(self._procedures)

    def _take_hours(self, hours: Iterable[int], merge_gap: int) -> MinuteWork | None:
        entries = {hour: self._hours.pop(hour) for hour in hours}
        if not entries:
            return None
        self._minutes_in_progress.append(min(entry.first_batch for entry in entries.values()))
        return MinuteWork(tuple(_limited(_spans(entries, merge_gap))), entries)

    def _take_days(self, tier: dict[int, _Entry], max_days: int) -> DayWork | None:
        with self._lock:
            chosen = sorted(tier, reverse=True)[:max_days]
            if not chosen:
                return None
            entries = [tier.pop(day) for day in chosen]
            first = min(entry.first_batch for entry in entries)
            self._days_in_progress.append(first)
            agencies: frozenset[int] | None = frozenset()
            for entry in entries:
                agencies = _union(agencies, entry.agencies)
            return DayWork(tuple(_EPOCH_DAY + dt.timedelta(days=day) for day in sorted(chosen)), agencies, first)


def _add(tier: dict[int, _Entry], key: int, minutes: int, agencies: frozenset[int] | None, batch: int) -> None:
    entry = tier.get(key)
    if entry is None:
        tier[key] = _Entry(minutes, agencies, batch)
        return
    entry.minutes |= minutes
    entry.agencies = _union(entry.agencies, agencies)
    entry.first_batch = min(entry.first_batch, batch)


def _union(left: frozenset[int] | None, right: frozenset[int] | None) -> frozenset[int] | None:
    if left is None or right is None:
        return None
    both = left | right
    return both if len(both) <= _MAX_AGENCIES else None


def _civil_day_of(hour: int) -> int:
    """The civil day (since the epoch) of an hour. Viet Nam is a whole number of hours ahead of UTC, so there is exactly one."""
    return (hour + VIETNAM_OFFSET_MINUTES // 60) // 24


def _width(bits: int) -> int:
    """Number of minutes from the first to the last bit."""
    return bits.bit_length() - ((bits & -bits).bit_length() - 1)


def _spans(entries: Mapping[int, _Entry], merge_gap: int) -> list[MinuteSpan]:
    """Runs of dirty minutes, ascending. Runs with at most ``merge_gap`` minutes between them are merged."""
    spans: list[MinuteSpan] = []
    for hour in sorted(entries):
        entry = entries[hour]
        bits, base = entry.minutes, hour * 60
        while bits:
            start = (bits & -bits).bit_length() - 1
            length = ((bits >> start) + 1 & -((bits >> start) + 1)).bit_length() - 1  # number of trailing ones
            _append_merged(spans, MinuteSpan(base + start, base + start + length, entry.agencies), merge_gap)
            bits &= ~((1 << start + length) - 1)
    return spans


def _append_merged(spans: list[MinuteSpan], span: MinuteSpan, merge_gap: int) -> None:
    if spans and span.start - spans[-1].end <= merge_gap:
        last = spans.pop()
        span = MinuteSpan(last.start, span.end, _union(last.agencies, span.agencies))
    spans.append(span)


def _limited(spans: list[MinuteSpan]) -> list[MinuteSpan]:
    """The same minutes in at most ``_MAX_SPANS`` spans: all gaps but the widest are filled."""
    if len(spans) <= _MAX_SPANS:
        return spans
    gaps = sorted(range(1, len(spans)), key=lambda index: spans[index].start - spans[index - 1].end, reverse=True)
    cuts = sorted(gaps[: _MAX_SPANS - 1])
    merged = []
    for first, after in zip([0, *cuts], [*cuts, len(spans)], strict=True):
        agencies: frozenset[int] | None = frozenset()
        for span in spans[first:after]:
            agencies = _union(agencies, span.agencies)
        merged.append(MinuteSpan(spans[first].start, spans[after - 1].end, agencies))
    return merged
