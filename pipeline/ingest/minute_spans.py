"""Dirty minutes, which must be recounted: as bits of hours, and as spans that one query recounts."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

#: Above this many agencies an entry means all of them: filtering would cost more than it saves.
MAX_AGENCIES = 64
#: Most spans in one piece of work. When there are more, the narrowest gaps between them are recounted, too.
_MAX_SPANS = 3
_UTC_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


@dataclass(slots=True)
class DirtyHour:
    """The part of an hour that must be recounted: a bit for each minute, and the agencies (None: all)."""

    minutes: int
    agencies: frozenset[int] | None


def dirty_hours(agencies: np.ndarray, instants: np.ndarray) -> dict[int, DirtyHour]:
    """Hour since the epoch -> what must be recounted of it, for every hour with events.

    Args:
        agencies: number of each event's agency, int.
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
        hour: DirtyHour(bits, frozenset(members[hour]) if len(members[hour]) <= MAX_AGENCIES else None)
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
    """Minutes since the epoch from ``start`` up to, not including, ``end``, of some agencies (None: all)."""

    start: int
    end: int
    agencies: frozenset[int] | None

    def instants(self) -> tuple[dt.datetime, dt.datetime]:
        """``start`` and ``end`` as aware UTC datetimes."""
        return _UTC_EPOCH + dt.timedelta(minutes=self.start), _UTC_EPOCH + dt.timedelta(minutes=self.end)


def union_of(left: frozenset[int] | None, right: frozenset[int] | None) -> frozenset[int] | None:
    """The union of two sets of agencies; None: all agencies, also when the union has more than ``MAX_AGENCIES``."""
    if left is None or right is None:
        return None
    both = left | right
    return both if len(both) <= MAX_AGENCIES else None


def width_of(bits: int) -> int:
    """Number of minutes from the first to the last set bit, both included."""
    return bits.bit_length() - ((bits & -bits).bit_length() - 1)


def minute_spans(entries: Mapping[int, DirtyHour], merge_gap: int) -> list[MinuteSpan]:
    """Spans of consecutive dirty minutes, ascending. Spans with at most ``merge_gap`` minutes between them are merged."""
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
        span = MinuteSpan(last.start, span.end, union_of(last.agencies, span.agencies))
    spans.append(span)


def limited(spans: list[MinuteSpan]) -> list[MinuteSpan]:
    """Spans that contain the same minutes, at most ``_MAX_SPANS``: all gaps but the widest are filled."""
    if len(spans) <= _MAX_SPANS:
        return spans
    gaps = sorted(range(1, len(spans)), key=lambda index: spans[index].start - spans[index - 1].end, reverse=True)
    cuts = sorted(gaps[: _MAX_SPANS - 1])
    merged = []
    for first, after in zip([0, *cuts], [*cuts, len(spans)], strict=True):
        agencies: frozenset[int] | None = frozenset()
        for span in spans[first:after]:
            agencies = union_of(agencies, span.agencies)
        merged.append(MinuteSpan(spans[first].start, spans[after - 1].end, agencies))
    return merged
