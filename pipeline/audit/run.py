"""One whole audit: look at every day, look again at what differed, repair if asked, look once more; then repeats and Kafka.

Works over a desk, here or behind HTTP, one day or one share at a time: every answer is small, and progress is known.
"""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from domain.tiers import Tier
from pipeline.audit.drift import DayComparison, Finding, confirmed
from pipeline.ingest.unread_offsets import sentence

#: Rows that one share of all names holds, about: a hundred bytes of memory each.
_SHARE_ROWS = 5_000_000
#: Messages that are looked up in one step of the deep check.
_STEP_MESSAGES = 200_000
#: Findings that a report shows.
SHOWN = 50
#: A repair beside busy workers may need to be done again: what came while the epoch was raised.
_REPAIRS = 3


class KafkaCheck(enum.StrEnum):
    """How far Kafka is audited."""

    NONE = "none"
    OFFSETS = "offsets"
    DEEP = "deep"


class AuditSteps(Protocol):
    """What ``pipeline.audit.service.AuditDesk`` answers."""

    def days(self, first: dt.date | None, last: dt.date | None) -> dict[str, int]: ...  # noqa: D102
    def look(self, day: dt.date, *, settle: float) -> dict[str, Any]: ...  # noqa: D102
    def contradictions(self, day: dt.date) -> dict[str, Any]: ...  # noqa: D102
    def repeats(self, days: tuple[dt.date, dt.date] | None, *, share: tuple[int, int]) -> dict[str, Any]: ...  # noqa: D102
    def repair(self, day: dt.date, agencies: Sequence[str] | None, *, raise_epoch: bool) -> dict[str, Any]: ...  # noqa: D102
    def tidy(self, days: Sequence[dt.date]) -> dict[str, Any]: ...  # noqa: D102
    def partitions(self) -> dict[str, Any]: ...  # noqa: D102
    def unread(self) -> dict[str, Any]: ...  # noqa: D102
    def verify(self, partition: int, begin: int, end: int) -> dict[str, Any]: ...  # noqa: D102


class Progress(Protocol):
    """Told how an audit gets on."""

    def begin(self, what: str, total: int) -> None:
        """A stage of so many steps begins."""
        ...

    def advance(self, steps: int) -> None:
        """Some steps are done."""
        ...


@dataclass(frozen=True, slots=True)
class AuditOptions:
    """What to audit. ``days``: both ends included, None without bound; ``settle`` in seconds."""

    first: dt.date | None = None
    last: dt.date | None = None
    repair: bool = False
    settle: float = 10.0
    repeats: bool = True
    kafka: KafkaCheck = KafkaCheck.NONE

    @property
    def period(self) -> tuple[dt.date, dt.date] | None:
        """The days asked for, or None for all."""
        if self.first is None and self.last is None:
            return None
        return self.first or dt.date.min, self.last or dt.date.max


@dataclass(slots=True)
class AuditReport:
    """What an audit found."""

    days: int = 0
    rows: int = 0
    buckets: dict[str, int] = field(default_factory=lambda: {scope.value: 0 for scope in Tier})
    drift: dict[str, int] = field(default_factory=lambda: {scope.value: 0 for scope in Tier})
    differing: dict[str, int] = field(default_factory=lambda: {scope.value: 0 for scope in Tier})
    late: dict[str, int] = field(default_factory=lambda: {scope.value: 0 for scope in Tier})
    in_hand: dict[str, int] = field(default_factory=lambda: {scope.value: 0 for scope in Tier})
    #: Why the age of events decided which of them must be tallied, and not Kafka; None when nothing had to be decided.
    by_time: str | None = None
    findings: list[Finding] = field(default_factory=list)
    repaired: dict[str, Any] | None = None
    contradictions: dict[str, Any] | None = None
    reused_event_ids: dict[str, Any] | None = None
    settled_twice: dict[str, Any] | None = None
    unread: dict[str, Any] | None = None
    kafka: dict[str, Any] | None = None

    @property
    def clean(self) -> bool:
        """Whether every tally is right, and nothing that was acknowledged is missing."""
        return not any(self.differing.values()) and not (self.kafka or {}).get("faults")

    def as_dict(self) -> dict[str, Any]:
        """The report as plain values."""
        return {
            "clean": self.clean,
            "days": self.days,
            "rows": self.rows,
            "scopes": {
                scope: {
                    "buckets": self.buckets[scope],
                    "differing": self.differing[scope],
                    "drift": self.drift[scope],
                    "late": self.late[scope],
                    "in_hand": self.in_hand[scope],
                }
                for scope in self.buckets
            },
            "by_time": self.by_time,
            "findings": [asdict(finding) for finding in self.findings[:SHOWN]],
            "repaired": self.repaired,
            "contradictions": self.contradictions,
            "scattered": self.reused_event_ids,
            "settled_twice": self.settled_twice,
            "unread": self.unread,
            "kafka": self.kafka,
        }


def run_audit(desk: AuditSteps, wanted: AuditOptions, *, wait: Callable[[float], None], progress: Progress) -> AuditReport:
    """Audit what is wanted; ``wait`` sleeps for so many seconds.

    Raises:
        PortalPulseError, SinkError: a part does not answer.
    """
    report = AuditReport()
    rows = {dt.date.fromisoformat(day): count for day, count in desk.days(wanted.first, wanted.last).items()}
    report.days, report.rows = len(rows), sum(rows.values())
    progress.begin("comparing days", report.rows + report.days)
    wrong = []
    for day, count in rows.items():
        look = _look(desk, day, settle=0.0)
        for scope, found in look.scopes.items():
            report.buckets[scope.value] += found.buckets
        if look.drift:
            wrong.append(look)
        progress.advance(count + 1)
    wrong = _again(desk, wrong, wanted.settle, wait=wait, progress=progress)
    if wanted.repair and wrong:
        wrong = _repaired(desk, wrong, wanted.settle, report, wait=wait, progress=progress)
    _tell(report, wrong)
    if wanted.repeats:
        _search_repeats(desk, wanted, rows, report, progress=progress)
    report.unread = desk.unread()
    if wanted.kafka is not KafkaCheck.NONE:
        _audit_kafka(desk, report, deep=wanted.kafka is KafkaCheck.DEEP, progress=progress)
    return report


def _look(desk: AuditSteps, day: dt.date, *, settle: float) -> DayComparison:
    return DayComparison.from_fields(desk.look(day, settle=settle))


def _again(
    desk: AuditSteps, looks: Sequence[DayComparison], settle: float, *, wait: Callable[[float], None], progress: Progress
) -> list[DayComparison]:
    """What is still wrong or late after ``settle`` seconds; what workers have in hand by then is late, not wrong."""
    if not looks:
        return []
    progress.begin("looking again", len(looks))
    wait(settle)
    still = []
    for look in looks:
        found = confirmed(look, _look(desk, look.day, settle=settle))
        if found.drift or found.late:
            still.append(found)
        progress.advance(1)
    return still


def _repaired(
    desk: AuditSteps,
    wrong: Sequence[DayComparison],
    settle: float,
    report: AuditReport,
    *,
    wait: Callable[[float], None],
    progress: Progress,
) -> list[DayComparison]:
    """Repair, look again, and repair what is wrong by then; returns what is wrong or late in the end."""
    days = sorted(look.day for look in wrong)
    report.repaired = {
        "days": [day.isoformat() for day in days],
        "findings": [asdict(finding) for finding in _worst(wrong)[:SHOWN]],
        "drift": {scope.value: sum(look.scopes[scope].drift for look in wrong) for scope in Tier},
        "late": {scope.value: sum(look.scopes[scope].late for look in wrong) for scope in Tier},
        "epochs": [],
        "problem": "",
    }
    remaining = list(wrong)
    for _ in range(_REPAIRS):
        progress.begin("repairing", len(remaining))
        raise_epoch = any(look.stuck for look in remaining)
        for look in remaining:
            done = desk.repair(look.day, look.agencies, raise_epoch=raise_epoch)
            if done["epoch"] is not None:
                report.repaired["epochs"].append(done["epoch"])
            raise_epoch = False
            progress.advance(1)
        progress.begin("looking again", len(days))
        looks = []
        for day in days:
            looks.append(_look(desk, day, settle=0.0))
            progress.advance(1)
        remaining = _again(desk, [look for look in looks if look.drift], settle, wait=wait, progress=progress)
        if not any(look.drift for look in remaining):
            break
    if report.repaired["epochs"]:
        progress.begin("removing what was replaced", 1)
        report.repaired["problem"] = desk.tidy(days)["problem"]
        progress.advance(1)
    return remaining


def _tell(report: AuditReport, wrong: Sequence[DayComparison]) -> None:
    for look in wrong:
        for scope, found in look.scopes.items():
            report.drift[scope.value] += found.drift
            report.differing[scope.value] += found.differing
            report.late[scope.value] += found.late
            report.in_hand[scope.value] += found.in_hand
        report.by_time = look.by_time or report.by_time
    report.findings = _worst(wrong)


def _worst(looks: Sequence[DayComparison]) -> list[Finding]:
    """Findings of all scopes, those that are wrong by most first."""
    findings = [finding for look in looks for found in look.scopes.values() for finding in found.findings]
    return sorted(findings, key=lambda finding: (-finding.drift, finding.key))


def _search_repeats(
    desk: AuditSteps, wanted: AuditOptions, rows: Mapping[dt.date, int], report: AuditReport, *, progress: Progress
) -> None:
    progress.begin("searching contradicting contents", report.rows + report.days)
    report.contradictions = _nothing()
    for day, count in rows.items():
        _add(report.contradictions, desk.contradictions(day))
        progress.advance(count + 1)
    shares = max(1, -(-report.rows // _SHARE_ROWS))
    progress.begin("searching repeated ids and dossiers", shares)
    report.reused_event_ids, report.settled_twice = _nothing(), _nothing()
    for number in range(shares):
        found = desk.repeats(wanted.period, share=(number, shares))
        _add(report.reused_event_ids, found["scattered"])
        _add(report.settled_twice, found["settled_twice"])
        progress.advance(1)


def _nothing() -> dict[str, Any]:
    return {"count": 0, "examples": {}}


def _add(total: dict[str, Any], found: Mapping[str, Any]) -> None:
    total["count"] += found["count"]
    for name, sights in found["examples"].items():
        if len(total["examples"]) < SHOWN:
            total["examples"][name] = sights


def _audit_kafka(desk: AuditSteps, report: AuditReport, *, deep: bool, progress: Progress) -> None:
    """Offsets, and with ``deep`` every acknowledged message that is still in the log; ``faults`` are sentences."""
    found = desk.partitions()
    recorded = (report.unread or {}).get("ranges", ())
    faults = [unread_sentence(unread) for unread in recorded if not _is_kept(unread)]
    faults += [fault for part in found["partitions"] for fault in offset_faults(part) if not _is_recorded(part, recorded)]
    report.kafka = {**found, "faults": faults, "deep": None}
    if not deep:
        return
    ranges = [
        (part["partition"], part["begin"], min(part["committed"], part["end"]))
        for part in found["partitions"]
        if part["committed"] is not None
    ]
    progress.begin("looking messages up", sum(max(0, end - begin) for _, begin, end in ranges))
    totals: dict[str, Any] = {"messages": 0, "missing": 0, "examples": []}
    for partition, first, end in ranges:
        for begin in range(first, end, _STEP_MESSAGES):
            until = min(begin + _STEP_MESSAGES, end)
            step = desk.verify(partition, begin, until)
            totals["messages"] += step["messages"]
            totals["missing"] += step["missing"]
            totals["examples"] += [f"{found['topic']}/{partition}/{offset}" for offset in step["examples"]]
            progress.advance(until - begin)
    report.kafka["deep"] = totals | {"examples": totals["examples"][:SHOWN]}
    if totals["missing"]:
        faults.append(f"{totals['missing']} acknowledged messages are stored in no form.")


def offset_faults(part: Mapping[str, Any]) -> list[str]:
    """What the offsets of one partition prove to be wrong; nothing that they only suggest."""
    number, begin, end, committed = (part[name] for name in ("partition", "begin", "end", "committed"))
    if committed is None:
        return []
    if committed > end:
        return [f"Partition {number} ends at {end}, but {committed} was acknowledged: the topic is not the one that was read."]
    if committed < begin:
        return [sentence(number, committed, begin)]
    return []


def unread_sentence(unread: Mapping[str, Any]) -> str:
    """What is said about a recorded range of offsets that nobody read."""
    said = sentence(unread["partition"], unread["first"], unread["end"])
    return f"{said} Of these {unread['kept']:,} are kept." if unread["kept"] else said


def _is_recorded(part: Mapping[str, Any], recorded: Sequence[Mapping[str, Any]]) -> bool:
    """Whether what left the log before the acknowledged offset reached it is recorded: the worker has noticed it."""
    committed, begin = part["committed"], part["begin"]
    return committed is not None and any(
        unread["partition"] == part["partition"] and unread["first"] <= committed < begin <= unread["end"] for unread in recorded
    )


def _is_kept(unread: Mapping[str, Any]) -> bool:
    return bool(unread["kept"] == unread["end"] - unread["first"])
