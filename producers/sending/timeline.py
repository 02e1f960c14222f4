"""How many messages were sent when, in bounded memory: counts by the moment of sending, in buckets that are merged when too many.

Buckets begin a millisecond wide, so a short run is kept batch by batch. Each holds the mean moment of its messages; a run of an
hour ends with buckets of 32 ms, about the interval of polls for visible events.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple, Self

_WIDTH: Final = 0.001
_MAX_BUCKETS: Final = 1 << 17


class Acknowledged(NamedTuple):
    """One acknowledged batch: when it was handed over and when the answer came (monotonic seconds), and what it held."""

    sent_at: float
    acknowledged_at: float
    records: int
    events: int
    distinct: int


class Sends(NamedTuple):
    """Acknowledged messages that were sent at about the same moment (monotonic seconds)."""

    sent_at: float
    records: int
    events: int
    distinct: int


class Timeline:
    """Acknowledged batches by the moment at which they were handed over; iterating gives them in order of time.

    Args:
        max_buckets: buckets kept; when there are more, pairs are merged.

    Attributes:
        records: acknowledged messages.
        events: acknowledged messages that may be events.
        distinct: acknowledged events, each counted once.
        ended: when the last acknowledgement came; None: none came yet.
    """

    def __init__(self, *, max_buckets: int = _MAX_BUCKETS) -> None:
        self._max_buckets, self._width = max_buckets, _WIDTH
        self._buckets: dict[int, Sends] = {}
        self.records = self.events = self.distinct = 0
        self.ended: float | None = None

    @classmethod
    def of(cls, batches: Iterable[Acknowledged]) -> Self:
        """The timeline of some batches."""
        made = cls()
        for batch in batches:
            made.add(batch)
        return made

    @classmethod
    def merged(cls, timelines: Iterable[Timeline]) -> Self:
        """The timelines of several processes with the same clock, added up."""
        made = cls()
        for timeline in timelines:
            made._widen_to(timeline.width)
            for sends in timeline:
                made._count(sends)
            if timeline.ended is not None:
                made.ended = max(timeline.ended, made.ended or timeline.ended)
        return made

    def __iter__(self) -> Iterator[Sends]:
        return iter(sorted(self._buckets.values()))

    def __len__(self) -> int:
        return len(self._buckets)

    @property
    def width(self) -> float:
        """Width of a bucket (seconds)."""
        return self._width

    def add(self, batch: Acknowledged) -> None:
        """Add an acknowledged batch: its messages count at the moment the batch was sent."""
        self._count(Sends(batch.sent_at, batch.records, batch.events, batch.distinct))
        self.ended = max(batch.acknowledged_at, self.ended or batch.acknowledged_at)

    def _count(self, sends: Sends) -> None:
        self.records += sends.records
        self.events += sends.events
        self.distinct += sends.distinct
        self._put(sends)
        while len(self._buckets) > self._max_buckets:
            self._widen_to(self._width * 2)

    def _put(self, sends: Sends) -> None:
        key = int(sends.sent_at / self._width)
        there = self._buckets.get(key)
        self._buckets[key] = sends if there is None else _together(there, sends)

    def _widen_to(self, width: float) -> None:
        if width > self._width:
            self._width, before = width, list(self._buckets.values())
            self._buckets = {}
            for sends in before:
                self._put(sends)


def _together(one: Sends, other: Sends) -> Sends:
    records = one.records + other.records
    share = other.records / records if records else 0.0
    moment = one.sent_at + (other.sent_at - one.sent_at) * share
    return Sends(moment, records, one.events + other.events, one.distinct + other.distinct)
