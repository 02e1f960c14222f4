"""A message for the topic, as every source of traffic produces it."""

from __future__ import annotations

import enum
from typing import NamedTuple


class Kind(enum.Enum):
    """How a message is counted."""

    EVENT = "event"
    REPEAT = "repeat"  # the same event again, as a redelivery
    MALFORMED = "malformed"
    RAW = "raw"  # a line of a replayed file, whatever it is


class Message(NamedTuple):
    """Key and value as they are sent to the topic, and when the event happened (epoch milliseconds; 0: unknown)."""

    key: bytes | None
    value: bytes | None
    occurred_at: int
    kind: Kind
