"""Settings of the two jobs that read stored data again and again: the continuous audit and the search for findings."""

from __future__ import annotations

from pydantic import Field

from pipeline.settings.group import Group


class AuditSettings(Group):
    """How often an exporter or all-in-one worker compares the tallies with the stored events (continuous audit)."""

    interval_seconds: float = Field(
        15.0, ge=0, le=86_400, description="Shortest pause between rounds of the continuous audit; 0 switches it off."
    )
    duty: float = Field(
        20.0,
        ge=1,
        le=10_000,
        description="A pause lasts at least this many times as long as the audit round before it: a larger value means less"
        " load.",
    )
    settle_seconds: float = Field(
        120.0,
        ge=0,
        le=86_400,
        description="When Kafka does not say what workers have in hand: events stored longer ago than this must be tallied.",
    )


class FindingSettings(Group):
    """How often an exporter or all-in-one worker searches the findings of the current day."""

    interval_seconds: float = Field(
        60.0,
        ge=0,
        le=86_400,
        description="Shortest pause between searches for today's findings; 0: no search and no metrics of findings.",
    )
    duty: float = Field(
        20.0,
        ge=1,
        le=10_000,
        description="A pause lasts at least this many times as long as the search before it: a larger value means less load.",
    )
