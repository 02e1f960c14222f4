"""The ledger of recounts: which tallies must still be recounted, and which batches are counted everywhere.

Pure bookkeeping, thread-safe, no clock and no database. Three tiers hang on each other:

    minutes      (agency, minute) of the events just stored
    days         (agency, civil day), summed from the minutes, so due only after those were recounted
    procedures   (agency, civil day, procedure), counted from the events

A stored batch gets the next number. Every due entry remembers the lowest batch number it covers; a batch may be acknowledged
when no entry of any tier, due or being recounted, has a number that low. Recounting a set is idempotent, so an entry may be
recounted more often than needed, never less.
"""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from domain.periods import VIETNAM_OFFSET_MINUTES

#: Above this many agencies an entry stands for all of them: a list would cost more than it spares.
_MOST_AGENCIES = 64
#: Touched minutes closer than this are recounted in one go: a query costs more than the quiet minutes between them.
#: Live minutes are dense with events, the days of a backfill are thin.
_LIVE_MERGE_GAP, _BACKFILL_MERGE_GAP = 5, 1440
#: One piece of work is this many ranges at most; beyond it the narrowest gaps are recounted along.
_MOST_SPANS = 3
_EPOCH_DAY = dt.date(1970, 1, 1)
_UTC_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


@dataclass(slots=True)
class DirtyHour:
    """What a batch touched in one hour: a bit for each minute, and the agencies (None: all, or too many to list)."""

    minutes: int
    agencies: frozenset[int] | None


def dirty_hours(agencies: np.ndarray, instants: np.ndarray) -> dict[int, DirtyHour]:
    """Hours (since the epoch) touched by events.

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
        hour: DirtyHour(bits, frozenset(members[hour]) if len(members[hour]) <= _MOST_AGENCIES else None)
        for hour, bits in hours.items()
    }


def _distinct(numbers: np.ndarray) -> list[int]:
    """The distinct numbers, ascending; by marking where they lie close together, as they do in live data."""
    low, high = int(numbers.min()), int(numbers.max())
    if high - low < 4 * len(numbers) + 10_000:
        marks = np.zeros(high - low + 1, dtype=bool)
        marks[numbers - low] = True
        found: list[int] = (np.flatnonzero(marks) + low).tolist()
        return found
    spread: list[int] = np.unique(numbers).tolist()
    return spread


@dataclass(frozen=True, slots=True)
class MinuteSpan:
    """Minutes (since the epoch) from ``start`` up to, not including, ``end``; ``agencies`` None means all."""

    start: int
    end: int
    agencies: frozenset[int] | None

    def instants(self) -> tuple[dt.datetime, dt.datetime]:
        """The two ends as aware UTC datetimes."""
        return _UTC_EPOCH + dt.timedelta(minutes=self.start), _UTC_EPOCH + dt.timedelta(minutes=self.end)


@dataclass(slots=True)
class _Entry:
    minutes: int
    agencies: frozenset[int] | None
    first_batch: int


@dataclass(frozen=True, slots=True)
class MinuteWork:
    """Hours taken out for one recount. Give it back with ``DirtyBuckets.minutes_recounted`` once every span is recounted."""

    spans: tuple[MinuteSpan, ...]
    entries: Mapping[int, _Entry] = field(repr=False)


@dataclass(frozen=True, slots=True)
class DayWork:
    """Civil days taken out for one roll-up; ``agencies`` None means all."""

    days: tuple[dt.date, ...]
    agencies: frozenset[int] | None
    first_batch: int


class DirtyBuckets:
    """See the module. Every method may be called from any thread."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._batches = 0
        self._hours: dict[int, _Entry] = {}
        self._days: dict[int, _Entry] = {}
        self._procedures: dict[int, _Entry] = {}
        self._taken: list[int] = []  # lowest batch of each roll-up under way
        self._minutes_taken: list[int] = []  # lowest batch of each recount of minutes under way
        self._sweep = 0  # the hour at which the next cold piece starts

    def stored(self, touched: Mapping[int, DirtyHour]) -> int:
        """A batch is durable and touched these hours; returns its number."""
        with self._guard:
            self._batches += 1
            batch = self._batches
            for hour, touch in touched.items():
                _add(self._hours, hour, touch.minutes, touch.agencies, batch)
                _add(self._procedures, _civil_day_of(hour), 0, touch.agencies, batch)
            return batch

    def take_hot_minutes(self, most_minutes: int) -> MinuteWork | None:
        """The newest due minutes, about ``most_minutes`` of them at most: live traffic, which must be fresh."""
        with self._guard:
            chosen: list[int] = []
            total = 0
            for hour in sorted(self._hours, reverse=True):
                total += _span_of(self._hours[hour].minutes)
                if chosen and total > most_minutes:
                    break
                chosen.append(hour)
            return self._take_hours(chosen, _LIVE_MERGE_GAP)

    def take_cold_minutes(self, most_minutes: int) -> MinuteWork | None:
        """The next stretch of due hours in a sweep through time, ``most_minutes`` long at most: late data and backfill.

        Sweeping gives the other hours time to collect more batches, so each is recounted once for many batches.
        """
        with self._guard:
            ahead = sorted(hour for hour in self._hours if hour >= self._sweep)
            if not ahead:
                ahead = sorted(self._hours)
            if not ahead:
                return None
            limit = ahead[0] + max(1, most_minutes // 60)
            chosen = [hour for hour in ahead if hour < limit]
            self._sweep = chosen[-1] + 1
            return self._take_hours(chosen, _BACKFILL_MERGE_GAP)

    def minutes_recounted(self, work: MinuteWork) -> None:
        """The spans of ``work`` are recounted; their days become due."""
        with self._guard:
            for hour, entry in work.entries.items():
                _add(self._days, _civil_day_of(hour), 0, entry.agencies, entry.first_batch)
            self._minutes_taken.remove(min(entry.first_batch for entry in work.entries.values()))

    def take_days(self, most: int) -> DayWork | None:
        """Civil days whose minutes are recounted, the newest ``most``."""
        return self._take_days(self._days, most)

    def take_procedures(self, most: int) -> DayWork | None:
        """Civil days whose procedures must be recounted, the newest ``most``."""
        return self._take_days(self._procedures, most)

    def rolled_up(self, work: DayWork) -> None:
        """The days of ``work`` are done (either tier)."""
        with self._guard:
            self._taken.remove(work.first_batch)

    def counted_through(self) -> int:
        """Every batch up to and including this number is counted in every tier."""
        with self._guard:
            due = [entry.first_batch for tier in (self._hours, self._days, self._procedures) for entry in tier.values()]
            return min([*due, *self._minutes_taken, *self._taken], default=self._batches + 1) - 1

    def minutes_through(self) -> int:
        """Every batch up to and including this number is counted in the minute tallies: it is visible."""
        with self._guard:
            due = (entry.first_batch for entry in self._hours.values())
            return min([*due, *self._minutes_taken], default=self._batches + 1) - 1

    def due(self) -> tuple[int, int, int]:
        """Number of due hours, days and days of procedures."""
        with self._guard:
            return len(self._hours), len(self._days), len(self._procedures)

    def _take_hours(self, hours: Iterable[int], bridge: int) -> MinuteWork | None:
        entries = {hour: self._hours.pop(hour) for hour in hours}
        if not entries:
            return None
        self._minutes_taken.append(min(entry.first_batch for entry in entries.values()))
        return MinuteWork(tuple(_fewer(_spans(entries, bridge))), entries)

    def _take_days(self, tier: dict[int, _Entry], most: int) -> DayWork | None:
        with self._guard:
            chosen = sorted(tier, reverse=True)[:most]
            if not chosen:
                return None
            entries = [tier.pop(day) for day in chosen]
            first = min(entry.first_batch for entry in entries)
            self._taken.append(first)
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
    return both if len(both) <= _MOST_AGENCIES else None


def _civil_day_of(hour: int) -> int:
    """Viet Nam is a whole number of hours ahead of UTC, so an hour lies in exactly one civil day."""
    return (hour + VIETNAM_OFFSET_MINUTES // 60) // 24


def _span_of(bits: int) -> int:
    """Minutes from the first to the last bit."""
    return bits.bit_length() - ((bits & -bits).bit_length() - 1)


def _spans(entries: Mapping[int, _Entry], bridge: int) -> list[MinuteSpan]:
    """Runs of touched minutes in the order of time; gaps of up to ``bridge`` minutes are recounted along."""
    spans: list[MinuteSpan] = []
    for hour in sorted(entries):
        entry = entries[hour]
        bits, base = entry.minutes, hour * 60
        while bits:
            start = (bits & -bits).bit_length() - 1
            length = ((bits >> start) + 1 & -((bits >> start) + 1)).bit_length() - 1  # trailing ones: the run
            _append(spans, MinuteSpan(base + start, base + start + length, entry.agencies), bridge)
            bits &= ~((1 << start + length) - 1)
    return spans


def _append(spans: list[MinuteSpan], span: MinuteSpan, bridge: int) -> None:
    if spans and span.start - spans[-1].end <= bridge:
        last = spans.pop()
        span = MinuteSpan(last.start, span.end, _union(last.agencies, span.agencies))
    spans.append(span)


def _fewer(spans: list[MinuteSpan]) -> list[MinuteSpan]:
    """The same minutes in at most ``_MOST_SPANS`` ranges: only the widest gaps stay open."""
    if len(spans) <= _MOST_SPANS:
        return spans
    gaps = sorted(range(1, len(spans)), key=lambda at: spans[at].start - spans[at - 1].end, reverse=True)
    cuts = sorted(gaps[: _MOST_SPANS - 1])
    merged = []
    for first, after in zip([0, *cuts], [*cuts, len(spans)], strict=True):
        agencies: frozenset[int] | None = frozenset()
        for span in spans[first:after]:
            agencies = _union(agencies, span.agencies)
        merged.append(MinuteSpan(spans[first].start, spans[after - 1].end, agencies))
    return merged
