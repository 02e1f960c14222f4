"""Searches the findings of the current civil day for the metrics, again and again in a background thread at a bounded cost."""

from __future__ import annotations

import dataclasses
import datetime as dt
import time
from collections.abc import Callable, Mapping

from domain.clock import Clock
from domain.findings import FindingKind
from domain.periods import Period, civil_day
from pipeline.background import BackgroundRounds
from pipeline.findings.found import Found
from pipeline.findings.service import FindingSteps
from pipeline.logs import get_logger
from pipeline.serving.exporter import FindingState
from sinks.contract.audit import HashShard
from sinks.contract.findings import FindingScope

log = get_logger("findings")


class CurrentFindings(BackgroundRounds):
    """Searches the findings of the clock's day in rounds, with pauses.

    It only reads. Every error is counted and logged, and the next search follows: an error never stops the process.

    Args:
        steps: the steps of a search.
        interval: shortest pause between two searches (seconds).
        duty: a pause lasts at least this many times as long as the search before it.
        clock: the clock of the gauges; its civil day is searched.
        wall_clock: the clock that gives the time of the last success.
        monotonic: a monotonic clock for durations (seconds).
        accepted_late: for the clock's civil day, agency -> dossiers accepted late and registered online.
    """

    def __init__(
        self,
        steps: FindingSteps,
        *,
        interval: float,
        duty: float,
        clock: Clock,
        wall_clock: Clock,
        monotonic: Callable[[], float] = time.monotonic,
        accepted_late: Callable[[dt.date], Mapping[str, tuple[int, int]]] = lambda _: {},
    ) -> None:
        super().__init__("findings")
        self._steps, self._interval, self._duty = steps, interval, duty
        self._clock, self._wall_clock, self._monotonic = clock, wall_clock, monotonic
        self._accepted_late = accepted_late
        self._warned: frozenset[str] = frozenset()
        self.state = FindingState()  # replaced as a whole, so that readers need no lock

    def round(self) -> float:
        """Search once; return the pause until the next search (seconds)."""
        began = self._monotonic()
        try:
            self._search()
        except Exception as error:  # noqa: BLE001 - see the class
            before = self.state
            self.state = dataclasses.replace(before, failures=before.failures + 1)
            log.warning("findings_failed", error=str(error) or repr(error), failures=self.state.failures)
        return max(self._interval, self._duty * (self._monotonic() - began))

    def _search(self) -> None:
        today = civil_day(self._clock.now())
        scope = FindingScope(Period(today, today))
        count = self._steps.shards(scope)
        total = Found()
        for index in range(count):
            if self.stopping:
                return
            total += self._steps.found(scope, HashShard(index, count))
        dossiers = {(place.agency or "", str(kind)): number for (place, kind), number in total.without_days().dossiers.items()}
        self.state = FindingState(today, dossiers, self._wall_clock.now(), self.state.failures, self._accepted_late(today))
        self._warn(total)

    def _warn(self, total: Found) -> None:
        """Log the dossier codes with too many events, unless all of them were logged after the search before."""
        codes = frozenset(example.code for example in total.examples.get(FindingKind.TOO_MANY_EVENTS, ()))
        if codes - self._warned:
            log.warning(
                "too_many_events",
                codes=sorted(codes),
                remedy="They count only as events: ask the portal why it uses one code for all.",
            )
        self._warned = codes
