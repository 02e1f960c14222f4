"""The report of a whole audit: totals by tier, the worst differences, the repair, repeats, and what Kafka says."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from domain.tiers import Tier
from pipeline.audit.dossier_check import DossierFaults
from pipeline.audit.drift import DayComparison
from pipeline.audit.steps import TopicOffsets, UnreadLog, UnreadOffsets
from pipeline.ingest.unread_offsets import describe_unread
from sinks.contract.audit import Difference, Repeats
from sinks.contract.expiry import ExpiredTotal

#: Differences, names or messages that a report lists.
SHOWN = 50


def _zeros() -> dict[Tier, int]:
    return dict.fromkeys(Tier, 0)


@dataclass(slots=True)
class RepairReport:
    """What a repair found and did.

    Attributes:
        days, findings, drift, late: days and differences that were wrong or late before the repair.
        dossiers: number of repaired dossiers.
        epochs: the epochs that the repair raised.
        problem: why replaced rows could not be removed; empty: they were removed.
    """

    days: tuple[dt.date, ...]
    findings: tuple[Difference, ...]
    drift: Mapping[Tier, int]
    late: Mapping[Tier, int]
    dossiers: int = 0
    epochs: list[int] = field(default_factory=list)
    problem: str = ""

    @classmethod
    def before(cls, wrong: Sequence[DayComparison]) -> Self:
        """The report at the beginning of a repair, from the days that are wrong or late."""
        return cls(
            days=tuple(sorted(found.day for found in wrong)),
            findings=tuple(worst(wrong)[:SHOWN]),
            drift={tier: sum(found.tiers[tier].drift for found in wrong) for tier in Tier},
            late={tier: sum(found.tiers[tier].late for found in wrong) for tier in Tier},
        )


@dataclass(frozen=True, slots=True)
class DeepCheck:
    """Number of acknowledged messages looked up in the storage, number of those missing, and some as TOPIC/PARTITION/OFFSET."""

    messages: int
    missing: int
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class KafkaAudit:
    """What the audit of Kafka found: the offsets, sentences about what is wrong, and the deep check when it was asked for."""

    offsets: TopicOffsets
    faults: tuple[str, ...]
    deep: DeepCheck | None = None


@dataclass(slots=True)
class AuditReport:
    """What an audit found. A part that was not asked for is None.

    ``fallback_reason``: why the age of events, and not Kafka, decided which of them must be tallied; None: Kafka decided, or no
    day differed.
    """

    days: int = 0
    rows: int = 0
    buckets: dict[Tier, int] = field(default_factory=_zeros)
    drift: dict[Tier, int] = field(default_factory=_zeros)
    differing: dict[Tier, int] = field(default_factory=_zeros)
    late: dict[Tier, int] = field(default_factory=_zeros)
    in_hand: dict[Tier, int] = field(default_factory=_zeros)
    dossiers: DossierFaults = field(default_factory=DossierFaults)
    fallback_reason: str | None = None
    findings: list[Difference] = field(default_factory=list)
    repaired: RepairReport | None = None
    contradictions: Repeats | None = None
    reused_event_ids: Repeats | None = None
    unread: UnreadLog | None = None
    kafka: KafkaAudit | None = None
    expired: ExpiredTotal = field(default_factory=ExpiredTotal)

    @property
    def clean(self) -> bool:
        """Whether every tally and every dossier is right and no acknowledged message is missing."""
        wrong = any(self.differing.values()) or self.dossiers.total
        return not wrong and not (self.kafka is not None and self.kafka.faults)

    def add(self, wrong: Sequence[DayComparison]) -> None:
        """Add days whose tallies are wrong or late."""
        for comparison in wrong:
            for tier, found in comparison.tiers.items():
                self.drift[tier] += found.drift
                self.differing[tier] += found.differing
                self.late[tier] += found.late
                self.in_hand[tier] += found.in_hand
            self.fallback_reason = comparison.fallback_reason or self.fallback_reason
        self.findings = worst(wrong)


def worst(comparisons: Iterable[DayComparison]) -> list[Difference]:
    """The differences of all comparisons and tiers, the largest drift first."""
    found = [difference for day in comparisons for tier in day.tiers.values() for difference in tier.differences]
    return sorted(found, key=lambda difference: (-difference.drift, difference.key))


def unread_sentence(unread: UnreadOffsets) -> str:
    """One or two sentences about a recorded range of unread offsets."""
    text = describe_unread(unread.partition, unread.first, unread.end, unread.topic)
    return f"{text} Messages of {unread.kept:,} of these offsets are stored." if unread.kept else text
