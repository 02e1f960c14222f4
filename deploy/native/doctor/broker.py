"""Examines Kafka: brokers, topics, how long messages are kept, how far the group has read, disks, and the controller's clock."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Any, Final

from deploy.native.doctor.clocks import Clocks, Reading
from deploy.native.doctor.endpoints import certificate
from deploy.native.doctor.finding import Finding, guarded
from deploy.native.doctor.numbers import size
from deploy.native.doctor.retention import Kept, kept_findings
from deploy.native.ports import is_listening
from domain.errors import PortalPulseError
from pipeline.audit.topic_log import Partition
from pipeline.kafka.access import topics_of
from pipeline.kafka.broker_state import (
    LogDisk,
    first_offsets_after,
    read_controller_clock,
    read_log_disks,
    topic_settings,
)
from pipeline.kafka.security import tls_context
from pipeline.kafka.topic_reader import KafkaTopicReader
from pipeline.registry import registry_of
from pipeline.settings import KafkaSettings, Settings

PART: Final = "Broker"
_ANSWER_SECONDS: Final = 5.0
_SHOWN: Final = 5
#: The alert KafkaDiskFilling has the same limit.
DISK_FREE_RATIO: Final = 0.1


def examine_brokers(settings: Settings, kafka: KafkaSettings, missing: Finding, clocks: Clocks) -> list[Finding]:
    """Every finding about the brokers; when none answers, only that.

    Args:
        settings: the registry, which tells the topics that are read.
        kafka: the brokers, and how to log in.
        missing: the finding when nothing listens.
        clocks: gets the reading of the controller's clock.
    """
    addresses = [broker.rpartition(":") for broker in kafka.bootstrap]
    if not any(is_listening(int(port), host=host.strip("[]")) for host, _, port in addresses):
        return [missing]
    try:
        topics = topics_of(kafka.bootstrap, kafka, used=kafka.topic, timeout=3.0)
    except PortalPulseError as error:
        return [Finding(PART, "wrong", error.problem, error.remedy)]
    read = kafka.topics(registry_of(settings).codes)
    found = {name: topics[name] for name in read if name in topics}
    first = _portals(kafka, set(found), topics) if len(read) > 1 else _topic(kafka, topics)
    findings = [first]
    if (context := tls_context(kafka)) is not None:
        host, _, port = addresses[0]
        findings += certificate("Broker: certificate", host.strip("[]"), int(port), context)
    if found:
        findings += partitions_findings(found)
        findings += guarded("Group", partial(_group, kafka, read, sorted(found)))
    return [*findings, *_disks(kafka), *_clock(kafka, clocks)]


def _topic(kafka: KafkaSettings, topics: Mapping[str, Any]) -> Finding:
    bootstrap, topic = ",".join(kafka.bootstrap), topics.get(kafka.topic)
    if topic is None:
        message = f"{bootstrap} answers but has no topic {kafka.topic}"
        return Finding(PART, "note", message, "`portalpulse up` creates it, and so does `portalpulse worker --create-topic`.")
    return Finding(PART, "ok", f"{bootstrap} answers; {kafka.topic} has {len(topic.partitions)} partitions")


def _portals(kafka: KafkaSettings, read: Collection[str], topics: Collection[str]) -> Finding:
    """Whether portals have topics, and whether every topic behind the prefix is read."""
    bootstrap, prefix = ",".join(kafka.bootstrap), kafka.portal_prefix
    strays = sorted(name for name in topics if name.startswith(prefix) and name not in read)
    if strays:
        message = f"{bootstrap} has topics behind {prefix} that no worker reads: {', '.join(strays[:_SHOWN])}"
        return Finding(PART, "wrong", message, "The rest of the name must be the code of an agency of the registry.")
    if not read:
        message = f"{bootstrap} answers but has no topic {prefix}CODE"
        return Finding(PART, "note", message, "docs/kafka_access.md has the commands.")
    return Finding(PART, "ok", f"{bootstrap} answers; {len(read)} portals have a topic {prefix}CODE")


def partitions_findings(topics: Mapping[str, Any]) -> list[Finding]:
    """Whether every partition has a leader and all its copies. ``topics``: as librdkafka describes them."""
    part = "Partitions"
    parts = [(name, number, each) for name, topic in topics.items() for number, each in topic.partitions.items()]
    if away := [f"{name}/{number}" for name, number, each in parts if each.leader < 0]:
        says = f"{len(away)} of {len(parts)} have no leader: {_listed(away)}"
        return [Finding(part, "wrong", says, "Start the brokers that hold them: until then nothing of them is read or written.")]
    if behind := [f"{name}/{number}" for name, number, each in parts if len(each.isrs) < len(each.replicas)]:
        says = f"{len(behind)} of {len(parts)} lack a copy that is up to date: {_listed(behind)}"
        return [Finding(part, "wrong", says, "See which broker is down or slow: another loss may stop or lose messages.")]
    copies = min((len(each.replicas) for _, _, each in parts), default=0)
    return [Finding(part, "ok", f"{len(parts)} have a leader and {copies} {'copy' if copies == 1 else 'copies'} each")]


def _group(kafka: KafkaSettings, read: Sequence[str], topics: Sequence[str]) -> list[Finding]:
    """How far the group has read, whether it has members, and whether its unread messages are kept for long enough."""
    reader = KafkaTopicReader(kafka, topics=read, answer_seconds=_ANSWER_SECONDS)
    parts = reader.partitions()
    findings = guarded("Group", lambda: [group_finding(kafka.group, parts, reader.members())])
    known = topic_settings(kafka, topics)
    kept = {topic: Kept.of(known[topic]) for topic in topics if topic in known}
    now = time.time()
    old: dict[tuple[str, int], int | None] = {}
    for seconds in {each.seconds for each in kept.values() if each.seconds is not None}:
        of_these = [
            (part.topic or read[0], part.number)
            for part in parts
            if _unread(part) and (topic := part.topic or read[0]) in kept and kept[topic].seconds == seconds
        ]
        old |= first_offsets_after(kafka, of_these, now - seconds / 2)
    return [*findings, *kept_findings(parts, only=read[0], kept=kept, old=old)]


def _unread(part: Partition) -> int:
    return part.end - max(part.begin, part.begin if part.committed is None else part.committed)


def group_finding(group: str, parts: Sequence[Partition], members: int) -> Finding:
    """Whether workers are in the group, and how many messages wait for them."""
    lag, started = sum(map(_unread, parts)), any(part.committed is not None for part in parts)
    waiting = f"{lag:,} messages wait"
    if members:
        workers = "1 worker is" if members == 1 else f"{members} workers are"
        return Finding("Group", "ok", f"{workers} in the group {group}; {waiting}")
    if started and lag:
        return Finding("Group", "wrong", f"no worker is in the group {group}, and {waiting}", "Start a worker.")
    return Finding("Group", "note", f"no worker is in the group {group}; {waiting}", "Start one with `portalpulse worker`.")


def _disks(kafka: KafkaSettings) -> list[Finding]:
    disks = asyncio.run(read_log_disks(kafka))
    if disks is None:
        return [
            Finding("Broker: disks", "idle", "not known: brokers tell their disks only to users with DESCRIBE on the cluster")
        ]
    return disks_findings(disks)


def disks_findings(disks: Sequence[LogDisk]) -> list[Finding]:
    """Whether a disk of a broker failed or is nearly full."""
    part = "Broker: disks"
    if failed := [disk for disk in disks if disk.failed]:
        shown = ", ".join(f"broker {disk.broker}, {disk.folder} ({disk.failed})" for disk in failed)
        return [
            Finding(part, "wrong", f"out of order: {shown}", "See the log of the broker: its partitions there are not served.")
        ]
    told = [disk for disk in disks if disk.total > 0]
    full = [disk for disk in told if disk.free < DISK_FREE_RATIO * disk.total]
    shown = ", ".join(f"broker {disk.broker}: {size(disk.free)} of {size(disk.total)} free" for disk in full or told)
    if full:
        remedy = (
            "Free space, add disks, or shorten retention.ms (not below what workers have read): a broker with a full disk ends."
        )
        return [Finding(part, "wrong", f"nearly full: {shown}", remedy)]
    return [Finding(part, "ok", shown or "their sizes are not told")]


def _clock(kafka: KafkaSettings, clocks: Clocks) -> list[Finding]:
    if (clock := asyncio.run(read_controller_clock(kafka))) is not None:
        clocks.add(Reading(f"Kafka's controller {clock.controller}", clock.ahead, clock.uncertain))
    return []


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
