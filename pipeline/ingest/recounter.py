"""Keeps the tallies true: recounts what new events touched, hot minutes first, within a budget of time.

Three loops, one for each tier of the ledger. A loop rests after every round for its interval or a multiple of what the round
cost, whichever is longer: rounds then coalesce many batches, and recounting takes a bounded share of the database, however
large a bucket has grown.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from pipeline.ingest.dirty_buckets import DayWork, DirtyBuckets, MinuteWork
from pipeline.ingest.storage_retry import StorageRetry
from sinks.contract.events import EventStore
from sinks.contract.tallies import Days, Span

#: Live traffic: about this many of the newest minutes are recounted every round.
_HOT_MINUTES = 15
#: A cold piece starts with one civil day and grows or shrinks towards this cost (seconds).
_COLD_TARGET = 0.25
_COLD_MINUTES = (60, 1440, 1440 * 400)  # least, first, most
#: Procedures are recounted in pieces of agencies that cost about this much each (seconds), so many at most.
_PIECE_TARGET = 0.15
_MOST_PIECES = 16
#: While resting in a flood, how often to look whether it is over (seconds).
_LOOK_SECONDS = 0.05
#: Days taken at once. Each is cheap for the day tier and a scan of the day's events for the procedure tier.
_DAYS_AT_ONCE = 400


@dataclass(frozen=True, slots=True)
class RestPolicy:
    """Rest after a round: ``interval`` seconds or ``duty`` times its cost, whichever is longer.

    ``flood_duty`` stands for ``duty`` while messages come faster than they can be stored: nobody waits for the newest minute
    then.
    """

    interval: float
    duty: float
    flood_duty: float


@dataclass(slots=True)
class Recounter:
    """Runs the three loops.

    ``on_counted`` is called after every piece of work, from the loop's thread; ``busy`` tells whether messages are waiting to
    be stored, ``flooded`` whether more come than can be stored.
    """

    ledger: DirtyBuckets
    store: EventStore
    patiently: StorageRetry
    agencies: tuple[str, ...]
    minutes: RestPolicy
    days: RestPolicy
    procedures: RestPolicy
    on_counted: Callable[[], None]
    busy: Callable[[], bool]
    flooded: Callable[[], bool]
    stopping: threading.Event
    monotonic: Callable[[], float] = time.monotonic
    _due: threading.Event = field(default_factory=threading.Event)
    _days_due: threading.Event = field(default_factory=threading.Event)
    _procedures_due: threading.Event = field(default_factory=threading.Event)
    _cold_minutes: int = _COLD_MINUTES[1]
    _procedure_pieces: int = 1

    def wake(self) -> None:
        """Something was stored."""
        self._due.set()
        self._procedures_due.set()

    def run_minutes(self) -> None:
        """The loop of the minute tier; returns when stopping."""
        self._run(self._due, self.minutes, self._minutes_round)

    def run_days(self) -> None:
        """The loop of the day tier; returns when stopping."""
        self._run(self._days_due, self.days, self._days_round)

    def run_procedures(self) -> None:
        """The loop of the procedure tier; returns when stopping."""
        self._run(self._procedures_due, RestPolicy(self.procedures.interval, 0.0, 0.0), self._procedures_round)

    def _run(self, due: threading.Event, pace: RestPolicy, one_round: Callable[[], tuple[bool, float]]) -> None:
        while not self.stopping.is_set():
            if not due.wait(timeout=0.5):
                continue
            due.clear()
            more, cost = one_round()
            if more:
                due.set()
                if not self.busy():
                    continue  # nothing new comes that resting could coalesce
            self._rest(pace, cost)

    def _rest(self, pace: RestPolicy, cost: float) -> None:
        """Rest after a round that took ``cost`` seconds; after a flood, no longer than the flood lasts."""
        if not self.flooded():
            self.stopping.wait(max(pace.interval, pace.duty * cost))
            return
        end = self.monotonic() + max(pace.interval, pace.flood_duty * cost)
        while self.busy() and (left := end - self.monotonic()) > 0:
            if self.stopping.wait(min(left, _LOOK_SECONDS)):
                return

    def _cost(self, action: Callable[[], None]) -> float:
        """Do it, and again while the storage is away; the seconds of the one that succeeded: waiting in vain costs no share."""

        def timed() -> float:
            began = self.monotonic()
            action()
            return self.monotonic() - began

        return self.patiently(timed)

    # A round returns whether more is due, and what it cost (seconds).

    def _minutes_round(self) -> tuple[bool, float]:
        """The newest minutes, then one cold piece."""
        total = 0.0
        hot = self.ledger.take_hot_minutes(_HOT_MINUTES)
        if hot is not None:
            total += self._recount(hot)
        cold = self.ledger.take_cold_minutes(self._cold_minutes)
        if cold is not None:
            cost = self._recount(cold)
            total += cost
            least, _, most = _COLD_MINUTES
            cheap = cost < _COLD_TARGET
            self._cold_minutes = min(most, self._cold_minutes * 2) if cheap else max(least, self._cold_minutes // 2)
        return self.ledger.due()[0] > 0, total

    def _recount(self, work: MinuteWork) -> float:
        total = 0.0
        for span in work.spans:
            start, end = span.instants()
            wanted = Span(start, end, self._codes(span.agencies))
            total += self._cost(lambda wanted=wanted: self.store.recount_minutes(wanted))  # type: ignore[misc]
        self.ledger.minutes_recounted(work)
        self._days_due.set()
        self.on_counted()
        return total

    def _days_round(self) -> tuple[bool, float]:
        cost = 0.0
        work = self.ledger.take_days(_DAYS_AT_ONCE)
        if work is not None:
            cost = self._cost(lambda: self.store.roll_up_days(self._days(work)))
            self.ledger.rolled_up(work)
            self.on_counted()
        return self.ledger.due()[1] > 0, cost

    def _procedures_round(self) -> tuple[bool, float]:
        """Agencies in pieces, with a rest after each: a whole day at once would keep live minutes waiting for seconds."""
        work = self.ledger.take_procedures(_DAYS_AT_ONCE)
        if work is None:
            return False, 0.0
        codes = self._codes(work.agencies) or self.agencies
        size = -(-len(codes) // self._procedure_pieces)
        total = 0.0
        for start in range(0, len(codes), size):
            if self.stopping.is_set():
                return False, total  # unfinished, so unacknowledged
            piece = codes[start : start + size]
            cost = self._cost(lambda piece=piece: self.store.recount_procedures(Days(work.days, piece)))  # type: ignore[misc]
            total += cost
            if start + size >= len(codes):
                self.ledger.rolled_up(work)
                self.on_counted()
            if self.busy():
                self._rest(RestPolicy(0.0, self.procedures.duty, self.procedures.flood_duty), cost)
        self._procedure_pieces = min(_MOST_PIECES, 1 + int(total / _PIECE_TARGET))
        return self.ledger.due()[2] > 0, total

    def _days(self, work: DayWork) -> Days:
        return Days(work.days, self._codes(work.agencies))

    def _codes(self, agencies: frozenset[int] | None) -> tuple[str, ...] | None:
        return None if agencies is None else tuple(sorted(self.agencies[index] for index in agencies))
