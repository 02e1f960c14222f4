"""Settings of dead letters: how many stop a worker, and how long their bytes are kept."""

from __future__ import annotations

from pydantic import Field

from pipeline.settings.group import Group


class DeadLetterSettings(Group):
    """When a worker stops because too many messages are dead-lettered, and how long the bytes of malformed messages are kept."""

    max_consecutive: int = Field(
        10_000,
        ge=0,
        le=1_000_000_000,
        description="Stop after this many consecutive rejected messages of a partition; 0 switches it off.",
    )
    max_ratio: float = Field(
        0.5, ge=0, le=1, description="Stop when more than this share of window_messages is rejected; 0 switches it off."
    )
    window_messages: int = Field(
        100_000,
        ge=0,
        le=1_000_000_000,
        description="Number of the latest messages of a partition that max_ratio refers to; 0 switches it off.",
    )
    bytes_days: float = Field(
        7.0,
        ge=0,
        le=3_650,
        description="Days until workers remove the bytes of a rejected message that does not parse.",
    )
