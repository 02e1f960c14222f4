"""What every source of traffic hands over and every writer takes: one message for the topic."""

from __future__ import annotations

import enum
from typing import NamedTuple


class Kind(enum.Enum):
    """What a message is to the count of what was sent."""

    EVENT = "event"
    REPEAT = "repeat"  # the very same event once more, as a redelivery
    MALFORMED = "malformed"
    RAW = "raw"  # a line of a replayed file, whatever it is


class Message(NamedTuple):
    """Key and value as they go to the topic, and when the event happened (epoch milliseconds; 0: unknown)."""

    key: bytes | None
    value: bytes | None
    occurred_at: int
    kind: Kind
