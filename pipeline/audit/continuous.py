"""The continuous audit: a background thread that compares days and checks dossiers, a part at a time, at a bounded cost."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
from dataclasses import replace

from domain.clock import Clock
from pipeline.audit.compare import compare_day
from pipeline.audit.dossier_check import DossierFaults, check_share
from pipeline.audit.drift import DriftTracker, ShareTracker
from pipeline.audit.in_hand import InHand
from pipeline.audit.run import DOSSIER_SHARD_ROWS
from pipeline.background import BackgroundRounds
from pipeline.logs import get_logger
from pipeline.serving.exporter import AuditState
from sinks.contract.audit import TallyAudit
from sinks.contract.dossier_audit import DossierAudit, DossierSelection

log = get_logger("audit")

#: Look back this much further for days with new events: their inserts may still have been in progress.
_INSERT_GRACE = dt.timedelta(seconds=30)


class ContinuousAudit(BackgroundRounds):
    """Compares days that looked wrong, days that received events, and in turn all others; checks all dossiers, share by share.

    It only reads. Days and dossiers have a budget each, so that a long check of dossiers delays no day by more than its time.

    Every error is counted and logged, and the next round follows: an audit never stops the process in which it runs.

    Args:
        interval: shortest pause between rounds (seconds); a round stops comparing after ``interval / duty`` seconds.
        duty: a pause lasts at least this many times as long as the round before it.
        settle: settling time (seconds): without Kafka's answer, events stored longer ago than this must be tallied.
        in_hand: asks Kafka which events the workers have in hand.
        clock: the wall clock.
    """

    def __init__(
        self,
        audit: TallyAudit,
        *,
        dossiers: DossierAudit,
        interval: float,
        duty: float,
        settle: float,
        in_hand: Callable[[], InHand],
        clock: Clock,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__("audit")
        self._audit, self._interval, self._duty = audit, interval, duty
        self._dossiers, self._shares = dossiers, ShareTracker()
        self._next_share_at = 0.0
        self._settle = dt.timedelta(seconds=settle)
        self._clock, self._monotonic = clock, monotonic
        self._ask_in_hand, self._in_hand = in_hand, InHand()
        self._tracker = DriftTracker()
        self._listed_at: float | None = None  # when the days with new events were last listed
        self.state = AuditState()  # replaced as a whole, so that readers need no lock

    def round(self) -> float:
        """Compare days and check dossiers as far as the budgets allow; return the pause until the next round (seconds)."""
        began = self._monotonic()
        try:
            self._update_in_hand()
            began = self._monotonic()  # waiting for Kafka costs the storage nothing
            self._compare_days(began)
            compared = self._monotonic()
            self._check_dossiers()
        except Exception as error:  # noqa: BLE001 - see the class
            failures = self.state.failures + 1
            self.state = replace(self.state, failures=failures, kafka_answers=self._in_hand.kafka_answers)
            log.warning("audit_failed", error=str(error) or repr(error), failures=self.state.failures)
        else:
            self.state = AuditState(
                self._tracker.drift(),
                self._clock.now(),
                self.state.failures,
                self._shares.faults,
                self._in_hand.kafka_answers,
            )
            return max(self._interval, self._duty * (compared - began))
        return max(self._interval, self._duty * (self._monotonic() - began))

    def _update_in_hand(self) -> None:
        """Ask Kafka once a round which events the workers have in hand.

        The answer is older than the comparisons: it may call acknowledged events unacknowledged, never the reverse. While Kafka
        does not answer, its last answer is used: workers acknowledge nothing then, and may long have events in hand.
        """
        before, found = self._in_hand, self._ask_in_hand()
        if found.kafka_answers is False:
            found = replace(found, acknowledged=before.acknowledged)
        self._in_hand = found
        reason = self._in_hand.fallback_reason
        if reason != before.fallback_reason:
            log.info("audit_basis", kafka=not reason, reason=reason, settle_seconds=self._settle.total_seconds())

    def _compare_days(self, began: float) -> None:
        if self._tracker.round_done:
            self._tracker.set_days(self._audit.civil_days())
        since = self._settle + _INSERT_GRACE
        if self._listed_at is not None:
            since += dt.timedelta(seconds=began - self._listed_at)
        queues = self._tracker.plan(self._audit.recently_stored_days(since))
        self._listed_at = began
        budget = self._interval / self._duty
        for number in range(max(map(len, queues), default=0)):
            for queue in queues:
                if self.stopping or (number and self._monotonic() - began > budget):
                    return
                if number < len(queue):
                    self._compare(queue[number])

    def _check_dossiers(self) -> None:
        """Check shares of the dossiers, at least one, until the budget is used; then pause ``duty`` times as long."""
        began = self._monotonic()
        if began < self._next_share_at:
            return
        budget = self._interval / self._duty
        if self._shares.round_done:
            self._shares.begin_round(max(1, -(-sum(self._audit.civil_days().values()) // DOSSIER_SHARD_ROWS)))
        for shard in self._shares.plan():
            before = self._shares.faults
            found = check_share(self._dossiers, DossierSelection(shard), settle=self._settle, in_hand=self._in_hand)
            self._log_dossiers(before, self._shares.record(shard, found))
            if self.stopping or self._monotonic() - began > budget:
                break
        self._next_share_at = self._monotonic() + self._duty * (self._monotonic() - began)

    def _log_dossiers(self, before: int, found: DossierFaults) -> None:
        if self._shares.faults == before:
            return
        if not self._shares.faults:
            log.info("audit_dossier_faults_gone")
            return
        fields: dict[str, int | str] = {fault.value: count for fault, count in found.faults.items() if count}
        if found.examples:
            example = found.examples[0]
            fields |= {"agency": example.message.agency, "dossier": example.message.dossier_code, "fault": example.fault.value}
        log.error("audit_dossier_faults", faults=self._shares.faults, remedy="portalpulse audit --repair", **fields)

    def _compare(self, day: dt.date) -> None:
        before = self._tracker.confirmed_drift(day)
        found = self._tracker.record(compare_day(self._audit, day, settle=self._settle, in_hand=self._in_hand))
        if found.drift == before:
            return
        if not found.drift:
            log.info("audit_drift_gone", day=day.isoformat())
            return
        fields: dict[str, int | str] = {tier.value: compared.drift for tier, compared in found.tiers.items() if compared.drift}
        example = next((compared.differences[0] for compared in found.tiers.values() if compared.differences), None)
        if example is not None:
            wrong = str(example.wrong_counts)
            fields |= {"agency": example.agency, "bucket": example.bucket.isoformat(), "wrong": wrong}
        log.error("audit_drift", day=day.isoformat(), remedy="portalpulse audit --repair", **fields)
