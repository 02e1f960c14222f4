"""Settings of dead letters: how many of them stop a worker, and how long bytes of messages are kept."""

from __future__ import annotations

from pydantic import Field

from pipeline.settings.group import Group


class DeadLetterSettings(Group):
    """How many dead-lettered messages stop a worker, and how long the bytes of messages that do not parse are kept."""

    max_consecutive: int = Field(
        10_000,
        ge=0,
        le=1_000_000_000,
        description="A worker stops after this many consecutive rejected messages of a partition; 0 switches this limit off.",
    )
    max_ratio: float = Field(
        0.5,
        ge=0,
        le=1,
        description="A worker stops when a larger share of window_messages is rejected; 0 switches this limit off.",
    )
    window_messages: int = Field(
        100_000,
        ge=0,
        le=1_000_000_000,
        description="Number of the latest messages of a partition to which max_ratio refers; 0 switches that limit off.",
    )
    bytes_days: float = Field(
        7.0,
        ge=0,
        le=3_650,
        description="Days until workers remove the bytes of a rejected message that does not parse.",
    )
