"""Runs a whole audit.

It checks all dossiers, compares every day, checks and compares again what was wrong, repairs if asked, then searches repeats and
asks Kafka. It calls ``AuditSteps``, in this process or over HTTP, one small step at a time, so that progress is known.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence

from pipeline.audit.dossier_check import DossierFaults
from pipeline.audit.drift import DayComparison, confirmed
from pipeline.audit.options import AuditOptions, KafkaCheck, Progress
from pipeline.audit.report import SHOWN, AuditReport, DeepCheck, KafkaAudit, RepairReport, unread_sentence
from pipeline.audit.steps import AuditSteps, PartitionOffsets, TopicOffsets, UnreadOffsets
from pipeline.ingest.unread_offsets import describe_unread
from sinks.contract.audit import HashShard, Repeats
from sinks.contract.dossier_audit import DossierSelection

#: Rows of events in one hash shard of all event ids, about: a hundred bytes of memory each.
_SHARD_ROWS = 5_000_000
#: Rows of messages in one hash shard of all dossiers, about. A shard is streamed, so this only divides the time.
DOSSIER_SHARD_ROWS = 1_000_000
#: Messages looked up in one step of the deep check.
_STEP_MESSAGES = 200_000
#: Attempts of a repair: a worker may write a tally that it counted before the epoch was raised.
_REPAIRS = 3


def run_audit(steps: AuditSteps, options: AuditOptions, *, wait: Callable[[float], None], progress: Progress) -> AuditReport:
    """Run a whole audit and return its report; ``wait`` sleeps for a number of seconds.

    Raises:
        PortalPulseError, SinkError: the storage, Kafka or the running process does not answer.
    """
    return _Audit(steps, options, wait, progress).run()


class _Audit:
    """One run of a whole audit."""

    def __init__(self, steps: AuditSteps, options: AuditOptions, wait: Callable[[float], None], progress: Progress) -> None:
        self._steps, self._options, self._wait, self._progress = steps, options, wait, progress

    def run(self) -> AuditReport:
        rows = self._steps.days(self._options.first, self._options.last)
        report = AuditReport(days=len(rows), rows=sum(rows.values()))
        shares = max(1, -(-report.rows // DOSSIER_SHARD_ROWS))
        found = self._look_at([DossierSelection(HashShard(number, shares), self._options.period) for number in range(shares)])
        compared = self._compare(rows, report)
        if compared or any(faults.total for faults in found.values()):
            self._wait(self._options.settle)  # once for both: what workers have in hand is then passed over
        checked = self._confirm(found)
        wrong = self._compare_again(compared)
        if self._options.repair and (wrong or any(faults.total for faults in checked.values())):
            wrong = self._repair(wrong, checked, rows, report)
        report.dossiers = sum(checked.values(), DossierFaults())
        report.add(wrong)
        if self._options.repeats:
            self._search_repeats(rows, report)
        report.unread, report.expired = self._steps.unread(), self._steps.expired()
        if self._options.kafka is not KafkaCheck.NONE:
            report.kafka = self._audit_kafka(report.unread.ranges)
        return report

    def _look_at(self, selections: Sequence[DossierSelection]) -> dict[DossierSelection, DossierFaults]:
        """Check the selected dossiers without a settling time: messages that workers have in hand may be found wrong."""
        self._progress.begin("checking dossiers", len(selections))
        found = {}
        for selection in selections:
            found[selection] = self._steps.dossiers(selection, settle=0.0)
            self._progress.advance(1)
        return found

    def _confirm(self, found: Mapping[DossierSelection, DossierFaults]) -> dict[DossierSelection, DossierFaults]:
        """Check again the selections with faults, with the settling time; return the faults that both checks found."""
        suspects = [selection for selection, faults in found.items() if faults.total]
        self._progress.begin("checking dossiers again", len(suspects))
        confirmed_faults = dict(found)
        for selection in suspects:
            again = self._steps.dossiers(selection, settle=self._options.settle)
            confirmed_faults[selection] = again.confirming(found[selection])
            self._progress.advance(1)
        return confirmed_faults

    def _repair(
        self,
        wrong: Sequence[DayComparison],
        checked: dict[DossierSelection, DossierFaults],
        rows: Mapping[dt.date, int],
        report: AuditReport,
    ) -> list[DayComparison]:
        """Repair dossiers, then days; return the days that are still wrong or late, and update ``checked`` and ``report``."""
        repair = report.repaired = RepairReport.before(wrong)
        # Dossiers first: a tally must agree with their corrections.
        days = self._repair_dossiers(checked, repair)
        if days:
            report.buckets = dict.fromkeys(report.buckets, 0)
            compared = self._compare(rows, report)
            if compared:
                self._wait(self._options.settle)
            wrong = self._compare_again(compared)
        if wrong:
            days |= {comparison.day for comparison in wrong}
            wrong = self._repair_days(wrong, repair)
        if repair.epochs:
            self._progress.begin("removing replaced rows", 1)
            repair.problem = self._steps.compact(sorted(days))
            self._progress.advance(1)
        return list(wrong)

    def _repair_dossiers(self, checked: dict[DossierSelection, DossierFaults], report: RepairReport) -> set[dt.date]:
        """Repair the shares with faults and recount the days of their dossiers, ``_REPAIRS`` times at most; return these days."""
        days: set[dt.date] = set()
        for _ in range(_REPAIRS):
            wrong = [selection for selection, faults in checked.items() if faults.total]
            if not wrong:
                break
            self._progress.begin("repairing dossiers", len(wrong))
            for selection in wrong:
                repaired = self._steps.repair_dossiers(selection, settle=self._options.settle)
                report.dossiers += repaired.dossiers
                raise_epoch = repaired.deleted
                for day in sorted(repaired.days):
                    epoch = self._steps.repair(day, sorted(repaired.days[day]), raise_epoch=raise_epoch)
                    report.epochs += [] if epoch is None else [epoch]
                    raise_epoch = False
                days |= set(repaired.days)
                self._progress.advance(1)
            found = self._look_at(wrong)
            if any(faults.total for faults in found.values()):
                self._wait(self._options.settle)
            checked |= self._confirm(found)
        return days

    def _compare(self, rows: Mapping[dt.date, int], report: AuditReport) -> list[DayComparison]:
        """Compare every day without a settling time; return the days with a tally that differs from the stored events."""
        self._progress.begin("comparing days", report.rows + report.days)
        wrong = []
        for day, count in rows.items():
            comparison = self._steps.compare(day, settle=0.0)
            for tier, found in comparison.tiers.items():
                report.buckets[tier] += found.buckets
            if comparison.drift:
                wrong.append(comparison)
            self._progress.advance(count + 1)
        return wrong

    def _compare_again(self, wrong: Sequence[DayComparison]) -> list[DayComparison]:
        """Compare days again, with the settling time; return those that both comparisons found wrong, and those that are late.

        A tally that lacks only events that the workers have in hand is late, not wrong.
        """
        if not wrong:
            return []
        settle = self._options.settle
        self._progress.begin("comparing again", len(wrong))
        still = []
        for comparison in wrong:
            found = confirmed(comparison, self._steps.compare(comparison.day, settle=settle))
            if found.drift or found.late:
                still.append(found)
            self._progress.advance(1)
        return still

    def _repair_days(self, wrong: Sequence[DayComparison], report: RepairReport) -> list[DayComparison]:
        """Repair days until none is wrong, ``_REPAIRS`` times at most; return those that are still wrong or late."""
        remaining = list(wrong)
        days = sorted({comparison.day for comparison in wrong})
        for _ in range(_REPAIRS):
            self._progress.begin("repairing", len(remaining))
            raise_epoch = any(comparison.stuck for comparison in remaining)
            for comparison in remaining:
                epoch = self._steps.repair(comparison.day, comparison.agencies, raise_epoch=raise_epoch)
                if epoch is not None:
                    report.epochs.append(epoch)
                raise_epoch = False
                self._progress.advance(1)
            self._progress.begin("comparing again", len(days))
            compared = []
            for day in days:
                compared.append(self._steps.compare(day, settle=0.0))
                self._progress.advance(1)
            wrong_still = [comparison for comparison in compared if comparison.drift]
            if wrong_still:
                self._wait(self._options.settle)
            remaining = self._compare_again(wrong_still)
            if not any(comparison.drift for comparison in remaining):
                break
        return remaining

    def _search_repeats(self, rows: Mapping[dt.date, int], report: AuditReport) -> None:
        self._progress.begin("searching contradicting contents", report.rows + report.days)
        contradictions = Repeats(0, {})
        for day, count in rows.items():
            contradictions = _added(contradictions, self._steps.contradictions(day))
            self._progress.advance(count + 1)
        shards = max(1, -(-report.rows // _SHARD_ROWS))
        self._progress.begin("searching repeated ids", shards)
        reused = Repeats(0, {})
        for number in range(shards):
            reused = _added(reused, self._steps.reused_event_ids(self._options.period, HashShard(number, shards)))
            self._progress.advance(1)
        report.contradictions, report.reused_event_ids = contradictions, reused

    def _audit_kafka(self, recorded: Sequence[UnreadOffsets]) -> KafkaAudit:
        """Audit the offsets, and with ``KafkaCheck.DEEP`` look up every acknowledged message that is still in the log."""
        offsets = self._steps.partitions()
        faults = [unread_sentence(unread) for unread in recorded if unread.kept != unread.end - unread.first]
        faults += [fault for part in offsets.partitions for fault in offset_faults(part) if not _is_recorded(part, recorded)]
        deep = None
        if self._options.kafka is KafkaCheck.DEEP:
            deep = self._look_up(offsets)
            if deep.missing:
                faults.append(f"{deep.missing} acknowledged messages are neither stored nor dead-lettered.")
        return KafkaAudit(offsets, tuple(faults), deep)

    def _look_up(self, offsets: TopicOffsets) -> DeepCheck:
        ranges = [
            (part.topic, part.partition, part.begin, min(part.committed, part.end))
            for part in offsets.partitions
            if part.committed is not None
        ]
        self._progress.begin("looking up messages", sum(max(0, end - begin) for *_, begin, end in ranges))
        messages, missing, examples = 0, 0, []
        for topic, partition, first, end in ranges:
            for begin in range(first, end, _STEP_MESSAGES):
                until = min(begin + _STEP_MESSAGES, end)
                found = self._steps.verify(partition, begin, until, topic=topic)
                messages += found.messages
                missing += found.missing
                examples += [f"{topic or offsets.topic}/{partition}/{offset}" for offset in found.examples]
                self._progress.advance(until - begin)
        return DeepCheck(messages, missing, tuple(examples[:SHOWN]))


def _added(total: Repeats, found: Repeats) -> Repeats:
    """The sum of two results; at most ``SHOWN`` examples."""
    examples = dict(total.examples)
    for name, events in found.examples.items():
        if len(examples) < SHOWN:
            examples[name] = events
    return Repeats(total.count + found.count, examples)


def offset_faults(part: PartitionOffsets) -> list[str]:
    """Sentences about what must be wrong because of the offsets of one partition. Lag and a new group are not faults."""
    if part.committed is None:
        return []
    if part.committed > part.end:
        of = f" of {part.topic}" if part.topic else ""
        text = f"Partition {part.partition}{of} ends at {part.end}, but {part.committed} was acknowledged"
        return [f"{text}: the topic is not the one that was read."]
    if part.committed < part.begin:
        return [describe_unread(part.partition, part.committed, part.begin, part.topic)]
    return []


def _is_recorded(part: PartitionOffsets, recorded: Sequence[UnreadOffsets]) -> bool:
    """Whether a worker recorded the offsets from the acknowledged one to the beginning of the log as unread."""
    return part.committed is not None and any(
        (unread.topic, unread.partition) == (part.topic, part.partition)
        and unread.first <= part.committed < part.begin <= unread.end
        for unread in recorded
    )
