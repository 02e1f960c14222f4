"""The question of a report: which messages it waits for. A later request that sends it back waits for the same messages."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from domain.errors import ConfigurationError

#: Begins the part of a question that says up to when dossiers are waited for.
_NOTED: Final = "noted:"
#: The end of one partition in the text of a question.
_END: Final = re.compile(r"(?:[0-9A-Za-z._-]{1,249}/)?[0-9]{1,10}:[0-9]{1,19}", re.ASCII)
#: Names a partition: its number; of several topics the topic, a slash and the number.
PartitionName = int | str


@dataclass(frozen=True, slots=True)
class Question:
    """Which messages and dossiers a report waits for.

    A later request that sends the question back waits for the same messages. If it asked for the ends of the topic again, newer
    messages would be added, and under constant traffic the wait would never end.

    Attributes:
        asked_at: when Kafka was asked for the ends of the topic (aware).
        ends: partition with unacknowledged messages -> its end offset at that time.
        noted_until: if only dossiers are waited for: up to which time of the storage their messages were noted; else None.
    """

    asked_at: dt.datetime
    ends: Mapping[PartitionName, int]
    noted_until: dt.datetime | None = None

    def as_text(self) -> str:
        """The question as one parameter of a request: 2024-09-01T00:00:00.000+00:00,0:120,3:77."""
        noted = [] if self.noted_until is None else [f"{_NOTED}{instant_text(self.noted_until)}"]
        ends = (f"{name}:{self.ends[name]}" for name in sorted(self.ends, key=_order))
        return ",".join([instant_text(self.asked_at), *noted, *ends])

    @classmethod
    def from_text(cls, text: str) -> Question:
        """The reverse of ``as_text``.

        Raises:
            ConfigurationError: ``text`` is not a question.
        """
        begin, *parts = text.split(",")
        noted = parts.pop(0).removeprefix(_NOTED) if parts and parts[0].startswith(_NOTED) else None
        asked_at, noted_until = _aware(begin), None if noted is None else _aware(noted)
        if asked_at is None or (noted is not None and noted_until is None) or any(_END.fullmatch(part) is None for part in parts):
            raise ConfigurationError(
                f"{text[:40]!r} is not the question of a report.", remedy="Send back completeness.question of an answer as it is."
            )
        ends = {_name(name): int(end) for name, _, end in (part.partition(":") for part in parts)}
        return cls(asked_at, ends, noted_until)


def _name(text: str) -> PartitionName:
    return int(text) if text.isdecimal() else text


def _order(name: PartitionName) -> tuple[str, int]:
    """The sort key of partitions: topics by name, partitions by number."""
    topic, _, number = str(name).rpartition("/")
    return topic, int(number)


def _aware(text: str) -> dt.datetime | None:
    """Read an instant with an offset; None: ``text`` is not one."""
    try:
        found = dt.datetime.fromisoformat(text)
        return None if found.tzinfo is None else found.astimezone(dt.UTC)
    except (ValueError, OverflowError):
        return None


def instant_text(time: dt.datetime) -> str:
    """An instant as text in ISO 8601 with milliseconds."""
    return time.isoformat(timespec="milliseconds")
