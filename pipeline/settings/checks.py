"""Settings of what looks at stored data all the time: the continuous audit, and the search for findings."""

from __future__ import annotations

from pydantic import Field

from pipeline.settings.group import Group


class AuditSettings(Group):
    """How often an exporter or all-in-one worker compares the tallies with the stored events."""

    interval_seconds: float = Field(
        15.0, ge=0, le=86_400, description="Shortest pause between rounds of the continuous audit; 0 switches it off."
    )
    duty: float = Field(
        20.0,
        ge=1,
        le=10_000,
        description="Pause at least this many times the duration of the last audit round: a larger value means less work.",
    )
    settle_seconds: float = Field(
        120.0,
        ge=0,
        le=86_400,
        description="Where Kafka does not say what workers have in hand: events stored longer ago than this must be tallied.",
    )


class FindingSettings(Group):
    """How often an exporter or all-in-one worker searches the findings of the current day."""

    interval_seconds: float = Field(
        60.0, ge=0, le=86_400, description="Shortest pause between searches for today's findings; 0 switches their metric off."
    )
    duty: float = Field(
        20.0,
        ge=1,
        le=10_000,
        description="Pause at least this many times the duration of the last search: a larger value means less work.",
    )
