"""Chooses where a message goes: the partition of its key, in the one topic or in the topic of the portal that reports it.

The partitions of several topics get consecutive numbers, so that batches, processes and files name a partition by one number.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from domain.errors import ConfigurationError
from domain.units import agency_level_one, level_one
from producers.messages import Message
from producers.sending.partitions import partitions_of

_AGENCY: Final = re.compile(rb'"agency_code"\s*:\s*"([0-9A-Za-z.]{1,40})"')


class Places:
    """The partitions that are sent to.

    Args:
        topics: each existing topic -> its number of partitions.
        prefix: the prefix of the topics of portals; empty: there is one topic, which takes every message.
        agencies: codes of the registry.
    """

    def __init__(self, topics: Mapping[str, int], *, prefix: str = "", agencies: Collection[str] = ()) -> None:
        self.all = [(topic, number) for topic, partitions in topics.items() for number in range(partitions)]
        self._topics, self._prefix, self._agencies = dict(topics), prefix, frozenset(agencies)
        self._first = {topic: self.all.index((topic, 0)) for topic in topics}

    @property
    def by_portal(self) -> bool:
        """Whether the agency of a message decides its topic."""
        return bool(self._prefix)

    def of(self, messages: Sequence[Message], *, start: int = 0) -> list[int]:
        """The partition number of each message.

        A message that names no agency, neither in ``agency_code`` nor in its key, belongs to no portal: it goes to the first
        topic.

        Args:
            messages: in the order of their source.
            start: index of the first message, by which messages without a key are spread.

        Raises:
            ConfigurationError: a portal has no topic.
        """
        if not self.by_portal:
            return partitions_of([message.key for message in messages], len(self.all), start=start)
        rows: defaultdict[str, list[int]] = defaultdict(list)
        for row, message in enumerate(messages):
            rows[self._topic_of(message)].append(row)
        chosen = [0] * len(messages)
        for topic, found in rows.items():
            numbers = partitions_of([messages[row].key for row in found], self._topics[topic], start=start)
            for row, number in zip(found, numbers, strict=True):
                chosen[row] = self._first[topic] + number
        return chosen

    def _topic_of(self, message: Message) -> str:
        sent = _AGENCY.search(message.value or b"")
        names = (agency_level_one(sent[1].decode()) if sent else None, level_one((message.key or b"").decode("ascii", "replace")))
        code = next((name for name in names if name in self._agencies), None)
        topic = self.all[0][0] if code is None else f"{self._prefix}{code}"
        if topic not in self._topics:
            raise ConfigurationError(
                f"The portal {code} has no topic {topic}, and its events cannot be sent.",
                remedy="Create the topic (docs/kafka_access.md), or name one topic for all events with --topic.",
            )
        return topic
