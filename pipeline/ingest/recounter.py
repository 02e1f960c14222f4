"""Keeps the tallies exact: recounts minutes, days and procedures of new events, newest first, in a limited share of the time.

There is one loop for each tier of tallies. One pass of a loop is a *round*. After a round the loop rests until its interval has
passed since the round began, or for a multiple of the round's duration, whichever is longer. So a round covers many batches, and
recounting takes a bounded share of the storage's time however many events a minute or day has.

In a *flood* messages arrive faster than they can be stored. Loops then rest longer, because storing is more urgent.
"""

from __future__ import annotations

import datetime as dt
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from pipeline.ingest.dirty_buckets import DayWork, DirtyBuckets, MinuteWork
from pipeline.ingest.pace import RestPolicy
from pipeline.ingest.storage_retry import StorageRetry
from sinks.contract.events import EventStore
from sinks.contract.tallies import Days, Span

#: Live traffic: about this many of the newest minutes are recounted in every round.
_LIVE_MINUTES = 15
#: Backfill work starts with one civil day and grows or shrinks towards this duration (seconds).
_BACKFILL_TARGET_SECONDS = 0.25
#: Where even the shortest recount of minutes takes long, a piece may take this many times as long: smaller pieces would cost more
#: time than they leave to others.
_SHORTEST_RECOUNTS = 3.0
#: How much the shortest recount that is remembered grows with each recount, so that a machine may become slower.
_SHORTEST_GROWTH = 1.02
_MIN_BACKFILL_MINUTES, _FIRST_BACKFILL_MINUTES, _MAX_BACKFILL_MINUTES = 60, 1440, 1440 * 400
#: Procedures are recounted in pieces that take about this long each (seconds), and at most in this many. Their statements have a
#: low priority, so that shorter ones would gain little; on a busy machine they take seconds however small they are.
_PIECE_TARGET_SECONDS = 1.0
_MAX_PIECES = 16
#: Longest rests between the pieces of one round together, unless messages flood in (seconds). Fetches are acknowledged only after
#: the round, and the worker that takes over a partition reads again what is not acknowledged.
_PIECE_RESTS_SECONDS = 5.0
#: While resting in a flood, how often to check whether it is over (seconds).
_FLOOD_CHECK_SECONDS = 0.05
#: How often an idle loop checks whether the worker stops (seconds).
_STOP_CHECK_SECONDS = 0.5
#: Most days taken at once. A day is cheap in the day tier, and a scan of all its events in the procedure tier.
_DAYS_AT_ONCE = 400

_Item = TypeVar("_Item")


@dataclass(slots=True)
class Recounter:
    """Runs the loops of the three tiers of tallies.

    Args:
        agencies: code of each agency; ``dirty_buckets`` numbers agencies by their position in it.
        minutes, days, procedures: how long the loop of each tier rests.
        on_counted: called after every finished piece of work, from the loop's thread.
        busy: whether messages wait to be stored, or arrived within the last second.
        flooded: whether messages arrive faster than they can be stored.
    """

    dirty_buckets: DirtyBuckets
    store: EventStore
    retrying: StorageRetry
    agencies: tuple[str, ...]
    minutes: RestPolicy
    days: RestPolicy
    procedures: RestPolicy
    on_counted: Callable[[], None]
    busy: Callable[[], bool]
    flooded: Callable[[], bool]
    stopping: threading.Event
    monotonic: Callable[[], float] = time.monotonic
    _minutes_due: threading.Event = field(default_factory=threading.Event)
    _days_due: threading.Event = field(default_factory=threading.Event)
    _procedures_due: threading.Event = field(default_factory=threading.Event)
    _backfill_minutes: int = _FIRST_BACKFILL_MINUTES
    _procedure_pieces: int = 1
    _shortest_recount: float = math.inf  # seconds

    def wake(self) -> None:
        """Let the loops of minutes and procedures start a round, because a batch was stored."""
        self._minutes_due.set()
        self._procedures_due.set()

    def run_minutes(self) -> None:
        """Run rounds of the minute tier until the worker stops."""
        self._run(self._minutes_due, self.minutes, self.minutes_round)

    def run_days(self) -> None:
        """Run rounds of the day tier until the worker stops."""
        self._run(self._days_due, self.days, self.days_round)

    def run_procedures(self) -> None:
        """Run rounds of the procedure tier until the worker stops."""
        self._run(self._procedures_due, RestPolicy(self.procedures.interval, 0.0, 0.0), self.procedures_round)

    # A round returns whether more is due, and its duration in seconds.

    def minutes_round(self) -> tuple[bool, float]:
        """Recount the newest due minutes, then some minutes of late data or backfill."""
        total = 0.0
        live = self.dirty_buckets.take_live_minutes(_LIVE_MINUTES)
        if live is not None:
            total += self._recount_minutes(live)
        # Live hours are soon due again: recounting them twice in a round would leave less time to every other hour.
        backfill = self.dirty_buckets.take_backfill_minutes(self._backfill_minutes, besides=live.entries if live else ())
        if backfill is not None:
            seconds = self._recount_minutes(backfill)
            total += seconds
            if seconds < max(_BACKFILL_TARGET_SECONDS, self._slow_seconds()):
                self._backfill_minutes = min(_MAX_BACKFILL_MINUTES, self._backfill_minutes * 2)
            else:
                self._backfill_minutes = max(_MIN_BACKFILL_MINUTES, self._backfill_minutes // 2)
        return self.dirty_buckets.due()[0] > 0, total

    def days_round(self) -> tuple[bool, float]:
        """Sum each due day from its minute tallies."""
        seconds = 0.0
        work = self.dirty_buckets.take_days(_DAYS_AT_ONCE)
        if work is not None:
            seconds = self._timed(lambda: self.store.roll_up_days(self._days(work)))
            self.dirty_buckets.days_recounted(work)
            self.on_counted()
        return self.dirty_buckets.due()[1] > 0, seconds

    def procedures_round(self) -> tuple[bool, float]:
        """Recount the procedures of the due days in pieces, with a rest after each piece.

        A recount of all at once would make the recount of live minutes wait for seconds.
        """
        work = self.dirty_buckets.take_procedures(_DAYS_AT_ONCE)
        if work is None:
            return False, 0.0
        pieces = _pieces(work.days, self._codes(work.agencies) or self.agencies, self._procedure_pieces)
        total, shortest, rests = 0.0, math.inf, _PIECE_RESTS_SECONDS
        for number, days in enumerate(pieces, 1):
            if self.stopping.is_set():
                return False, total  # unfinished, so unacknowledged
            seconds = self._timed(lambda days=days: self.store.recount_procedures(days))  # type: ignore[misc]
            total, shortest = total + seconds, min(shortest, seconds)
            if number == len(pieces):
                self.dirty_buckets.procedures_recounted(work)
                self.on_counted()
            if self.busy():
                rests -= self.rest(RestPolicy(0.0, self.procedures.factor, self.procedures.flood_factor), seconds, longest=rests)
        # The shortest piece says what a piece costs; the others may have waited for the machine.
        cost = shortest * len(pieces)
        self._procedure_pieces = min(_MAX_PIECES, 1 + int(cost / max(_PIECE_TARGET_SECONDS, self._slow_seconds())))
        return self.dirty_buckets.due()[2] > 0, total

    def rest(self, policy: RestPolicy, seconds: float, *, longest: float = math.inf) -> float:
        """Rest after a round that took ``seconds`` seconds. A rest in a flood ends early when no more messages arrive.

        Args:
            policy: how long.
            seconds: the duration of the round.
            longest: the longest rest without a flood (seconds).

        Returns:
            The seconds of a rest without a flood; 0 in a flood.
        """
        if not self.flooded():
            rest = max(0.0, min(longest, policy.seconds(seconds, flooded=False)))
            self.stopping.wait(rest)
            return rest
        end = self.monotonic() + policy.seconds(seconds, flooded=True)
        while self.busy() and (left := end - self.monotonic()) > 0:
            if self.stopping.wait(min(left, _FLOOD_CHECK_SECONDS)):
                break
        return 0.0

    def _slow_seconds(self) -> float:
        """The duration (seconds) below which pieces of work need not be made smaller; 0: not known yet."""
        return 0.0 if math.isinf(self._shortest_recount) else _SHORTEST_RECOUNTS * self._shortest_recount

    def _run(self, due: threading.Event, policy: RestPolicy, one_round: Callable[[], tuple[bool, float]]) -> None:
        while not self.stopping.is_set():
            if not due.wait(timeout=_STOP_CHECK_SECONDS):
                continue
            due.clear()
            more, seconds = one_round()
            if more:
                due.set()
                if not self.busy():
                    continue  # no new batches arrive that the next round could cover as well
            if seconds:  # without work there is nothing to rest from, and work may come at once
                self.rest(policy, seconds)

    def _timed(self, action: Callable[[], None]) -> float:
        """Run ``action`` with retries; return the seconds that the successful attempt took, without outages before it."""

        def timed() -> float:
            began = self.monotonic()
            action()
            return self.monotonic() - began

        return self.retrying(timed)

    def _recount_minutes(self, work: MinuteWork) -> float:
        total = 0.0
        for each in work.spans:
            span = Span(*each.instants(), self._codes(each.agencies))
            seconds = self._timed(lambda span=span: self.store.recount_minutes(span))  # type: ignore[misc]
            self._shortest_recount = min(self._shortest_recount * _SHORTEST_GROWTH, seconds)
            total += seconds
        self.dirty_buckets.minutes_recounted(work)
        self._days_due.set()
        self.on_counted()
        return total

    def _days(self, work: DayWork) -> Days:
        return Days(work.days, self._codes(work.agencies))

    def _codes(self, agencies: frozenset[int] | None) -> tuple[str, ...] | None:
        return None if agencies is None else tuple(sorted(self.agencies[index] for index in agencies))


def _pieces(days: tuple[dt.date, ...], agencies: tuple[str, ...], count: int) -> list[Days]:
    """Divide days and agencies into about ``count`` pieces: by days, and by agencies only if there are more pieces than days.

    The time of a query grows with its days. A day of some agencies takes hardly less than the day of all, unless it is large.
    """
    chunks = _chunks(days, min(count, len(days)))
    return [Days(chunk, codes) for chunk in chunks for codes in _chunks(agencies, max(1, count // len(chunks)))]


def _chunks(items: tuple[_Item, ...], count: int) -> list[tuple[_Item, ...]]:
    """Divide items into at most ``count`` parts of nearly equal size."""
    size = -(-len(items) // count)
    return [items[start : start + size] for start in range(0, len(items), size)]
