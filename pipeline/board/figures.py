"""Reads the figures of a snapshot, each part so seldom that reading takes at most a fixed share of the time."""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from domain.clock import Clock
from domain.indicators import Indicator, Ratio, ratio_of
from domain.periods import civil_day
from pipeline.board.periods import AnyPeriod, BoardPeriod
from pipeline.board.sparklines import first_day, sparklines
from pipeline.serving.window_counts import counts_within, newest_counts_of_days
from sinks.contract.tallies import TallyReader, TallyTotals

T = TypeVar("T")

#: Periods whose figures are kept in memory: more than are open (``pipeline.board.board.MOST_CHOSEN``).
MOST_PERIODS: Final = 40
#: Samples of the totals that are kept for the pace and the delay of counting: a minute at one a second.
_SAMPLES: Final = 60
_PACE_SECONDS: Final = 20.0


class Paced(Generic[T]):
    """A value that is read again at most every ``interval`` seconds, and only after ``rest`` times as long as reading it took."""

    def __init__(self, read: Callable[[], T], *, interval: float, rest: float, monotonic: Callable[[], float]) -> None:
        self._read, self._interval, self._rest, self._monotonic = read, interval, rest, monotonic
        self._due = float("-inf")
        self._value: T | None = None

    def get(self, *, now: bool = False) -> T:
        """The value, read again if that is due, or at once with ``now``."""
        began = self._monotonic()
        if self._value is None or now or began >= self._due:
            value = self._value = self._read()
            ended = self._monotonic()
            self._due = max(began + self._interval, ended + self._rest * (ended - began))
            return value
        return self._value


@dataclass(frozen=True, slots=True)
class Throughput:
    """How fast events are stored and counted.

    Attributes:
        per_second: events stored per second; None before there are two samples.
        delay_seconds: how long stored events wait until they are counted (seconds).
        waiting: number of events that are stored and not yet counted.
        dead_letters: number of all dead letters.
    """

    per_second: float | None
    delay_seconds: float
    waiting: int
    dead_letters: int


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of a snapshot at the time ``at``.

    ``now``, ``before``: agency -> its ratio in the period and in the earlier one. ``sparklines``: see
    ``pipeline.board.sparklines``. ``last_events``: agency -> time of its newest event.
    """

    at: dt.datetime
    now: Mapping[str, Ratio]
    before: Mapping[str, Ratio] | None
    sparklines: Mapping[str, list[int | None]]
    last_events: Mapping[str, dt.datetime]
    throughput: Throughput


@dataclass(frozen=True, slots=True)
class _PeriodParts:
    """The figures that are read separately for each period."""

    now: Paced[Mapping[str, Ratio]]
    before: Paced[tuple[Mapping[str, Ratio] | None]]
    sparklines: Paced[Mapping[str, list[int | None]]]


class BoardFigures:
    """Reads the figures of every period. Several threads may use it; they read one after the other.

    Raises:
        SinkError: (``read``) the storage does not answer.
    """

    def __init__(
        self, reader: TallyReader, *, indicator: Indicator, clock: Clock, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._reader, self._indicator, self._clock, self._monotonic = reader, indicator, clock, monotonic
        self._guard = threading.Lock()
        self._samples: deque[tuple[float, TallyTotals]] = deque(maxlen=_SAMPLES)
        self._periods: OrderedDict[AnyPeriod, _PeriodParts] = OrderedDict()
        self._last_events = self._paced(lambda: reader.last_events(clock.now()), 0.9, 10)
        self._totals = self._paced(self._sample, 0.9, 10)
        self._dead_letters = self._paced(lambda: sum(reader.dead_letters_by_reason().values()), 5, 20)

    def read(self, period: AnyPeriod) -> Figures:
        """The figures of a period. Its counts are read last, so that they are the newest."""
        with self._guard:
            parts = self._parts(period)
            before, lines = parts.before.get()[0], parts.sparklines.get()
            last_events, throughput = self._last_events.get(), self._throughput()
            return Figures(
                at=self._clock.now(),
                now=parts.now.get(),
                before=before,
                sparklines=lines,
                last_events=last_events,
                throughput=throughput,
            )

    def _parts(self, period: AnyPeriod) -> _PeriodParts:
        """The parts of a period. Keeps the parts of the ``MOST_PERIODS`` periods that were asked for last."""
        if period not in self._periods:
            self._periods[period] = _PeriodParts(
                now=self._paced(lambda: self._counted(period), 0.4, 3),
                before=self._paced(lambda: (self._earlier(period),), 60, 50),
                sparklines=self._paced(lambda: self._read_sparklines(period), 60, 50),
            )
        self._periods.move_to_end(period)
        while len(self._periods) > MOST_PERIODS:
            self._periods.popitem(last=False)
        return self._periods[period]

    def _paced(self, read: Callable[[], T], interval: float, rest: float) -> Paced[T]:
        return Paced(read, interval=interval, rest=rest, monotonic=self._monotonic)

    def _counted(self, period: AnyPeriod) -> Mapping[str, Ratio]:
        now = self._clock.now()
        if period is BoardPeriod.DAY:
            return self._ratios(counts_within(self._reader, *period.window.bounds(now)))
        return self._ratios(newest_counts_of_days(self._reader, period.days(now), civil_day(now)))

    def _earlier(self, period: AnyPeriod) -> Mapping[str, Ratio] | None:
        now = self._clock.now()
        if period is BoardPeriod.DAY:
            start, end = period.window.bounds(now)
            return self._ratios(counts_within(self._reader, start - (end - start), start))
        days = period.previous_days(now)
        return None if days is None else self._ratios(self._reader.counts_of_days(days.start, days.end))

    def _read_sparklines(self, period: AnyPeriod) -> Mapping[str, list[int | None]]:
        last = period.day(self._clock.now())
        return sparklines(self._ratios(self._reader.counts_by_day(first_day(last), last)), last)

    def _ratios(self, counts: Mapping[T, object]) -> Mapping[T, Ratio]:
        return {key: ratio_of(self._indicator, each) for key, each in counts.items()}

    def _sample(self) -> TallyTotals:
        totals = self._reader.totals()
        self._samples.append((self._monotonic(), totals))
        return totals

    def _throughput(self) -> Throughput:
        totals, dead = self._totals.get(), self._dead_letters.get()
        return throughput_of(tuple(self._samples), totals, dead)


def throughput_of(samples: tuple[tuple[float, TallyTotals], ...], totals: TallyTotals, dead_letters: int) -> Throughput:
    """How fast events are stored, and how late they are counted.

    The delay is the age of the newest sample in which no more events were stored than are tallied now.

    Args:
        samples: totals with the times at which they were read (seconds), oldest first.
        totals: the totals now.
        dead_letters: number of all dead letters.
    """
    now = samples[-1][0]
    recent = [sample for sample in samples if now - sample[0] <= _PACE_SECONDS]
    span = now - recent[0][0]
    per_second = None if not span else max(0, recent[-1][1].stored - recent[0][1].stored) / span
    waiting = max(0, totals.stored - totals.tallied)
    counted_at = next((at for at, each in reversed(samples) if each.stored <= totals.tallied), samples[0][0])
    return Throughput(per_second, now - counted_at if waiting else 0.0, waiting, dead_letters)
