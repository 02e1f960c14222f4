"""The JSON of the audit: of each step over HTTP, in both directions, and of the report. No other module has these field names.

``encode_*`` return plain values ready for ``json.dumps``; ``decode_*`` read these back. Times are RFC 3339 in milliseconds.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import msgspec

from domain.periods import parse_day
from domain.tiers import Tier
from pipeline.audit.dossier_check import DossierFault, DossierFaults, FaultyMessage
from pipeline.audit.dossier_repair import RepairedDossiers
from pipeline.audit.drift import DayComparison
from pipeline.audit.report import SHOWN, AuditReport, KafkaAudit, RepairReport
from pipeline.audit.steps import LookedUp, TopicOffsets, UnreadLog
from sinks.contract.audit import Comparison, Difference, EventRef, Repeats
from sinks.contract.expiry import ExpiredTotal
from sinks.contract.tallies import Counts

Fields = dict[str, Any]


def encode_days(days: Mapping[dt.date, int]) -> dict[str, int]:
    """Days with the number of event rows of each, as plain values."""
    return {day.isoformat(): rows for day, rows in days.items()}


def decode_days(fields: Mapping[str, int]) -> dict[dt.date, int]:
    """The reverse of ``encode_days``."""
    return {parse_day(day): rows for day, rows in fields.items()}


def encode_comparison(comparison: DayComparison) -> Fields:
    """The comparison of a day as plain values."""
    tiers = {
        tier.value: {
            "buckets": found.buckets,
            "differing": found.differing,
            "drift": found.drift,
            "stuck": found.stuck,
            "findings": _encode_differences(found.differences),
            "late": found.late,
            "in_hand": found.in_hand,
        }
        for tier, found in comparison.tiers.items()
    }
    return {"day": comparison.day.isoformat(), "scopes": tiers, "by_time": comparison.fallback_reason}


def decode_comparison(fields: Mapping[str, Any]) -> DayComparison:
    """The reverse of ``encode_comparison``."""
    tiers = {
        Tier(tier): Comparison(
            buckets=found["buckets"],
            differing=found["differing"],
            drift=found["drift"],
            stuck=found["stuck"],
            differences=tuple(_decode_difference(difference) for difference in found["findings"]),
            late=found["late"],
            in_hand=found["in_hand"],
        )
        for tier, found in fields["scopes"].items()
    }
    return DayComparison(parse_day(fields["day"]), tiers, fields["by_time"])


def encode_repeats(repeats: Repeats) -> Fields:
    """The number of repeated names, and examples with their events, as plain values."""
    examples = {name: [_encode_ref(ref) for ref in refs] for name, refs in repeats.examples.items()}
    return {"count": repeats.count, "examples": examples}


def decode_repeats(fields: Mapping[str, Any]) -> Repeats:
    """The reverse of ``encode_repeats``."""
    examples = {name: tuple(_decode_ref(ref) for ref in refs) for name, refs in fields["examples"].items()}
    return Repeats(fields["count"], examples)


def _encode_ref(ref: EventRef) -> Fields:
    return {"agency": ref.agency, "occurred_at": _time(ref.occurred_at), "id": ref.event_id, "dossier": ref.dossier_code}


def _decode_ref(fields: Mapping[str, Any]) -> EventRef:
    return EventRef(fields["agency"], dt.datetime.fromisoformat(fields["occurred_at"]), fields["id"], fields["dossier"])


def encode_dossiers(found: DossierFaults) -> Fields:
    """The faults of checked dossiers as plain values."""
    examples = [
        {
            "fault": example.fault.value,
            "message": _encode_ref(example.message),
            "counted": list(example.counted),
            "right": list(example.right),
        }
        for example in found.examples
    ]
    return {
        "messages": found.messages,
        "dossiers": found.dossiers,
        "in_hand": found.in_hand,
        "faults": {fault.value: found.faults[fault] for fault in DossierFault},
        "examples": examples,
        "by_time": found.fallback_reason,
    }


def decode_dossiers(fields: Mapping[str, Any]) -> DossierFaults:
    """The reverse of ``encode_dossiers``."""
    examples = tuple(
        FaultyMessage(
            DossierFault(example["fault"]), _decode_ref(example["message"]), tuple(example["counted"]), tuple(example["right"])
        )
        for example in fields["examples"]
    )
    return DossierFaults(
        fields["messages"],
        fields["dossiers"],
        fields["in_hand"],
        {DossierFault(fault): count for fault, count in fields["faults"].items()},
        examples,
        fields["by_time"],
    )


def encode_repaired_dossiers(repaired: RepairedDossiers) -> Fields:
    """What a repair of dossiers did, and the days to recount, as plain values."""
    days = {day.isoformat(): sorted(repaired.days[day]) for day in sorted(repaired.days)}
    return {"dossiers": repaired.dossiers, "deleted": repaired.deleted, "days": days}


def decode_repaired_dossiers(fields: Mapping[str, Any]) -> RepairedDossiers:
    """The reverse of ``encode_repaired_dossiers``."""
    days = {parse_day(day): frozenset(agencies) for day, agencies in fields["days"].items()}
    return RepairedDossiers(fields["dossiers"], fields["deleted"], days)


def encode_offsets(offsets: TopicOffsets) -> Fields:
    """The offsets of every partition as plain values."""
    return asdict(offsets)


def decode_offsets(fields: Mapping[str, Any]) -> TopicOffsets:
    """The reverse of ``encode_offsets``."""
    return msgspec.convert(fields, TopicOffsets)


def encode_unread(unread: UnreadLog) -> Fields:
    """The recorded ranges of unread offsets as plain values."""
    return asdict(unread)


def decode_unread(fields: Mapping[str, Any]) -> UnreadLog:
    """The reverse of ``encode_unread``."""
    return msgspec.convert(fields, UnreadLog)


def encode_looked_up(found: LookedUp) -> Fields:
    """The result of looking up the messages of a range of offsets, as plain values."""
    return asdict(found)


def decode_looked_up(fields: Mapping[str, Any]) -> LookedUp:
    """The reverse of ``encode_looked_up``."""
    return msgspec.convert(fields, LookedUp)


def encode_expired(expired: ExpiredTotal) -> Fields:
    """The number of expired messages and dossiers as plain values."""
    older_than = None if expired.older_than is None else _time(expired.older_than)
    return {"messages": expired.messages, "dossiers": expired.dossiers, "older_than": older_than, "late": expired.late}


def decode_expired(fields: Mapping[str, Any]) -> ExpiredTotal:
    """The reverse of ``encode_expired``."""
    older_than = None if fields["older_than"] is None else dt.datetime.fromisoformat(fields["older_than"])
    return ExpiredTotal(fields["messages"], fields["dossiers"], older_than, fields["late"])


def encode_report(report: AuditReport) -> Fields:
    """The report of an audit as plain values, as ``portalpulse audit --format json`` prints it."""
    return {
        "clean": report.clean,
        "days": report.days,
        "rows": report.rows,
        "scopes": {
            tier.value: {
                "buckets": report.buckets[tier],
                "differing": report.differing[tier],
                "drift": report.drift[tier],
                "late": report.late[tier],
                "in_hand": report.in_hand[tier],
            }
            for tier in report.buckets
        },
        "dossiers": encode_dossiers(report.dossiers),
        "by_time": report.fallback_reason,
        **({} if report.expired.older_than is None else {"expired": encode_expired(report.expired)}),
        "findings": _encode_differences(report.findings[:SHOWN]),
        "repaired": None if report.repaired is None else _encode_repair(report.repaired),
        "contradictions": _encode_optional(report.contradictions),
        "reused_event_ids": _encode_optional(report.reused_event_ids),
        "unread": None if report.unread is None else encode_unread(report.unread),
        "kafka": None if report.kafka is None else _encode_kafka(report.kafka),
    }


def _encode_repair(repair: RepairReport) -> Fields:
    return {
        "days": [day.isoformat() for day in repair.days],
        "findings": _encode_differences(repair.findings),
        "drift": {tier.value: events for tier, events in repair.drift.items()},
        "late": {tier.value: events for tier, events in repair.late.items()},
        "dossiers": repair.dossiers,
        "epochs": repair.epochs,
        "problem": repair.problem,
    }


def _encode_kafka(kafka: KafkaAudit) -> Fields:
    deep = None if kafka.deep is None else asdict(kafka.deep)
    return {**encode_offsets(kafka.offsets), "faults": list(kafka.faults), "deep": deep}


def _encode_optional(repeats: Repeats | None) -> Fields | None:
    return None if repeats is None else encode_repeats(repeats)


def _encode_differences(differences: Sequence[Difference]) -> list[Fields]:
    return [
        {
            "scope": difference.tier.value,
            "agency": difference.agency,
            "bucket": difference.bucket.isoformat(),
            "procedure": difference.procedure,
            "due": asdict(difference.due),
            "stored": asdict(difference.stored),
            "tallied": asdict(difference.tallied),
            "stored_last": _optional_time(difference.stored_last),
            "tallied_last": _optional_time(difference.tallied_last),
            "drift": difference.drift,
        }
        for difference in differences
    ]


def _decode_difference(fields: Mapping[str, Any]) -> Difference:
    tier, bucket = Tier(fields["scope"]), fields["bucket"]
    stored_last, tallied_last = (
        None if fields[name] is None else dt.datetime.fromisoformat(fields[name]) for name in ("stored_last", "tallied_last")
    )
    return Difference(
        tier=tier,
        agency=fields["agency"],
        bucket=dt.datetime.fromisoformat(bucket) if tier is Tier.MINUTE else dt.date.fromisoformat(bucket),
        procedure=fields["procedure"],
        due=Counts(**fields["due"]),
        stored=Counts(**fields["stored"]),
        tallied=Counts(**fields["tallied"]),
        stored_last=stored_last,
        tallied_last=tallied_last,
        drift=fields["drift"],
    )


def _time(instant: dt.datetime) -> str:
    return instant.isoformat(timespec="milliseconds")


def _optional_time(instant: dt.datetime | None) -> str | None:
    return None if instant is None else _time(instant)
