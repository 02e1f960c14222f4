"""Compares how long topics keep messages with how far the group has read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self

from deploy.native.doctor.finding import Finding
from deploy.native.doctor.numbers import span
from pipeline.audit.topic_log import Partition

_PART: Final = "Retention"
_MILLISECONDS: Final = 1000
_RAISE: Final = (
    "Start workers, or give the topic more time before it is too late: "
    "kafka-configs.sh --alter --entity-type topics --entity-name TOPIC --add-config retention.ms=..."
)


@dataclass(frozen=True, slots=True)
class Kept:
    """How long a topic keeps messages. ``seconds``: None: for ever; ``compacted``: Kafka deletes all but the newest of a key."""

    seconds: float | None
    compacted: bool

    @classmethod
    def of(cls, settings: Mapping[str, str]) -> Self:
        """How long a topic keeps messages, from the settings of the topic."""
        policies = settings.get("cleanup.policy", "delete").split(",")
        age = int(settings.get("retention.ms", "-1"))
        return cls(age / _MILLISECONDS if age >= 0 and "delete" in policies else None, "compact" in policies)


def kept_findings(
    parts: Sequence[Partition], *, only: str, kept: Mapping[str, Kept], old: Mapping[tuple[str, int], int | None]
) -> list[Finding]:
    """Which messages were deleted before they were read, and which will be deleted soon.

    Args:
        parts: the partitions of all topics.
        only: the topic of those partitions that name no topic.
        kept: topic -> how long it keeps messages; topics for which this is not known are missing.
        old: for partitions with unread messages, the first offset that is younger than half of what the topic keeps; None: none.
    """
    findings = [*_compacted(kept), *_gone(parts, only)]
    waiting = 0
    for part in parts:
        where = (part.topic or only, part.number)
        if where in old:
            read = max(part.begin, part.begin if part.committed is None else part.committed)
            waiting += max(0, (part.end if old[where] is None else old[where] or 0) - read)
    if waiting:
        says = f"{waiting:,} unread messages are older than half of the time for which they are kept"
        findings.append(Finding(_PART, "wrong", says, _RAISE))
    return findings or [Finding(_PART, "ok", f"nothing was deleted before it was read; {_shown(kept)}")]


def _compacted(kept: Mapping[str, Kept]) -> list[Finding]:
    if not (topics := sorted(topic for topic, each in kept.items() if each.compacted)):
        return []
    says = f"{topics[0]} is compacted: Kafka deletes all events of a dossier but the newest, read or not"
    return [Finding(_PART, "wrong", says, "Set cleanup.policy=delete, and let portals send again what is missing.")]


def _gone(parts: Sequence[Partition], only: str) -> list[Finding]:
    gone = [(part, part.begin - part.committed) for part in parts if part.committed is not None and part.committed < part.begin]
    if not gone:
        return []
    worst = max(gone, key=lambda each: each[1])[0]
    says = (
        f"{sum(count for _, count in gone):,} offsets were deleted before the group read them, most in partition "
        f"{worst.number} of {worst.topic or only}"
    )
    remedy = (
        "Start a worker: it records the offsets. Portals must send the messages again, or use `portalpulse replay`."
        " Raise retention.ms."
    )
    return [Finding(_PART, "wrong", says, remedy)]


def _shown(kept: Mapping[str, Kept]) -> str:
    if not kept:
        return "for how long topics keep messages is not known: this user lacks DESCRIBE_CONFIGS on them"
    limited = [each.seconds for each in kept.values() if each.seconds is not None]
    return f"topics keep messages for {span(min(limited))} or longer" if limited else "topics keep messages for ever"
