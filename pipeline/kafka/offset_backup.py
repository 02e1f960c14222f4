"""Saves the committed offsets of the workers' group with a backup of the storage, and sets the group back after a restore.

Offsets that are saved before the backup begins fit it: all messages below them were stored and counted before.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from domain.errors import ConfigurationError
from pipeline.audit.topic_log import Partition
from pipeline.kafka.topic_reader import KafkaTopicReader
from pipeline.settings import KafkaSettings

_Number = Annotated[int, Field(ge=0)]


class SavedTopic(BaseModel):
    """The saved offsets of a topic.

    ``id``: changes when the topic is created again; "": not known. ``offsets``: partition -> first offset the backup may lack.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    offsets: Mapping[_Number, _Number]


class SavedOffsets(BaseModel):
    """The content of a file with saved offsets."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    group: str
    saved_at: dt.datetime
    topics: Mapping[str, SavedTopic]


@dataclass(frozen=True, slots=True)
class Again:
    """A partition after the restore of its offset.

    Attributes:
        topic: the topic of the partition.
        partition: the number of the partition.
        offset: the offset from which the group reads it.
        messages: number of offsets from there to the end of the log.
        gone: number of these offsets that left the log since the offset was saved.
    """

    topic: str
    partition: int
    offset: int
    messages: int
    gone: int


def save_offsets(settings: KafkaSettings, topics: Sequence[str]) -> SavedOffsets:
    """The acknowledged offsets of the group in topics; of a partition without one the beginning of its log.

    Raises:
        UnavailableError: no broker answers.
        ConfigurationError: no topic exists.
    """
    reader = KafkaTopicReader(settings, topics=topics)
    ids = reader.topic_ids()
    offsets: dict[str, dict[int, int]] = {topic: {} for topic in ids}
    for part in reader.partitions():
        of_topic = offsets.setdefault(part.topic or topics[0], {})
        of_topic[part.number] = part.begin if part.committed is None else part.committed
    saved = {topic: SavedTopic(id=ids.get(topic, ""), offsets=of_topic) for topic, of_topic in offsets.items()}
    return SavedOffsets(group=settings.group, saved_at=dt.datetime.now(dt.UTC), topics=saved)


def restore_offsets(settings: KafkaSettings, topics: Sequence[str], saved: SavedOffsets) -> list[Again]:
    """Set the group back to saved offsets, never forward; return where each partition is read from.

    Topics and partitions that were created since the offsets were saved are read from their beginning. The worker that reads next
    reports messages that left the log meanwhile.

    Raises:
        UnavailableError: no broker answers.
        ConfigurationError: workers run, the settings do not read a saved topic, or a topic was created again.
    """
    reader = KafkaTopicReader(settings, topics=topics)
    if members := reader.members():
        raise ConfigurationError(
            f"{members} workers of the group {settings.group!r} run.", remedy="Stop all workers, then run the command again."
        )
    ids = reader.topic_ids()
    if strange := sorted(saved.topics.keys() - ids.keys()):
        raise ConfigurationError(
            f"The workers of these settings do not read the topic {strange[0]!r}, whose offsets the file has.",
            remedy="Name the file of these settings, or set the topics of PORTALPULSE_KAFKA__... as they were.",
        )
    parts = {(part.topic or topics[0], part.number): part for part in reader.partitions()}
    for topic, known in saved.topics.items():
        _require_same_topic(topic, known, ids[topic], parts, saved.saved_at)
    targets = {}
    for (topic, number), part in parts.items():
        offsets = saved.topics[topic].offsets if topic in saved.topics else {}
        offset = offsets.get(number, part.begin)
        targets[topic, number] = offset if part.committed is None else min(offset, part.committed)
    reader.commit(targets)
    return [
        Again(
            *where,
            offset,
            messages=parts[where].end - max(offset, parts[where].begin),
            gone=max(0, parts[where].begin - offset),
        )
        for where, offset in sorted(targets.items())
    ]


def _require_same_topic(
    topic: str, saved: SavedTopic, found: str, parts: Mapping[tuple[str, int], Partition], saved_at: dt.datetime
) -> None:
    beyond = any((topic, number) not in parts or offset > parts[topic, number].end for number, offset in saved.offsets.items())
    if beyond or (found and saved.id and found != saved.id):
        raise ConfigurationError(
            f"The topic {topic!r} was deleted and created again after {saved_at.isoformat(timespec='seconds')}: "
            "the saved offsets belong to other messages.",
            remedy="Start the workers with another PORTALPULSE_KAFKA__GROUP: it reads every topic from its beginning.",
        )
