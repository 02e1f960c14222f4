"""A range of a topic with known offsets: it can be read again, and reading fails when the topic was replaced."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Protocol

from domain.errors import UnavailableError
from producers.messages import Message

#: How often a replay makes sure that its topic is still the same one (seconds).
_IDENTITY_SECONDS: Final = 5.0


class RangeGoneError(UnavailableError):
    """Messages of the range are not in the topic any more, so that the same range cannot be read again."""


class TopicRange(Protocol):
    """The topic and the read functions that a fixed range needs (``producers.replay.sources.kafka_range``)."""

    @property
    def topic(self) -> str:
        """The name of the topic."""
        ...

    @property
    def label(self) -> str:
        """The name of the range in the report."""
        ...

    def topic_id(self) -> str:
        """The id of the topic now, "" when it is not known."""
        ...

    def first_offsets(self) -> dict[int, int]:
        """The first offset of each partition that its log still has."""
        ...

    def read(self, ranges: dict[int, tuple[int, int]]) -> Iterator[Message]:
        """The messages of the ranges, merged."""
        ...


@dataclass(frozen=True, slots=True)
class FixedRange:
    """A range with known offsets: a source that can be counted and read again."""

    source: TopicRange
    ranges: dict[int, tuple[int, int]]
    topic_id: str = ""

    @property
    def label(self) -> str:
        """The name of the range in the report."""
        return self.source.label

    @property
    def total(self) -> int:
        """The number of offsets in the range; a compacted or transactional topic holds fewer messages."""
        return sum(end - begin for begin, end in self.ranges.values())

    def describe(self, index: int) -> str:
        """Names a message by its number (from 0) in a sentence."""
        return f"{self.label}, message {index + 1:,}"

    def __call__(self) -> Iterator[Message]:
        """The messages, merged by time of writing. From time to time, and at the end, checks that the topic was not replaced."""
        check_at = time.monotonic() + _IDENTITY_SECONDS
        for message in self.source.read(self.ranges):
            if time.monotonic() >= check_at:
                self.require_same_topic("this replay")
                check_at = time.monotonic() + _IDENTITY_SECONDS
            yield message
        self.require_same_topic("this replay")

    def require_beginning(self, position: int) -> None:
        """Check that the log still has the beginning of the range.

        Raises:
            RangeGoneError: the log has lost the beginning, so it is unknown which messages ``position`` counts.
        """
        first = self.source.first_offsets()
        for number, (begin, end) in sorted(self.ranges.items()):
            low = first.get(number, end)
            if begin < min(low, end):
                raise RangeGoneError(
                    f"The replay cannot be resumed: it began at offset {begin} of partition {number} of topic"
                    f" {self.source.topic}, which begins at offset {low} now. Which of the messages that are left were among"
                    f" the {position:,} already sent cannot be known.",
                    remedy="Start again without --resume; choose the start with --from or --from-offset. With --time original,"
                    " messages that are sent twice change no figure; with --time now they count twice.",
                )

    def require_same_topic(self, reader: str) -> None:
        """Check that the topic was not replaced since the range was fixed.

        Raises:
            RangeGoneError: the topic was deleted and created again.
        """
        now = self.source.topic_id() if self.topic_id else ""
        if now and now != self.topic_id:
            raise RangeGoneError(
                f"Topic {self.source.topic} was deleted and created again since {reader} began: the offsets name other messages.",
                remedy="Start again without --resume to send what it holds now.",
            )
