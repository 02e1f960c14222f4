"""Settings of what runs all the time: ingest, dead letters, retention, watchdog, audit, dossiers, findings."""

from __future__ import annotations

from pydantic import Field, model_validator

from pipeline.settings.group import Group


class IngestSettings(Group):
    """Batch sizes and budgets of the worker."""

    batch_rows: int = Field(100_000, ge=1, le=1_000_000, description="Maximum number of rows decoded and inserted at once.")
    linger_ms: int = Field(100, ge=0, le=10_000, description="While the storage is busy: longest wait for a batch to fill.")
    store_interval_ms: int = Field(
        200, ge=0, le=10_000, description="Shortest time between the starts of two batches, unless a batch is full."
    )
    max_unstored_rows: int = Field(
        400_000, ge=1, le=10_000_000, description="Maximum number of rows in memory; fetching pauses above it."
    )
    max_unstored_bytes: int = Field(
        128 << 20,
        ge=1 << 20,
        le=1 << 33,
        description="Maximum size of messages in memory (bytes); fetching pauses above it.",
    )
    future_tolerance_seconds: float = Field(
        86_400.0, ge=0, le=3.2e9, description="An event dated later than now plus this is dead-lettered as in_the_future."
    )
    dossier_interval_ms: int = Field(
        500, ge=10, le=60_000, description="Shortest time between the starts of two looks at dossiers of stored messages."
    )
    minute_interval_ms: int = Field(
        250, ge=10, le=60_000, description="Shortest time between the starts of two recounts of minute tallies."
    )
    day_interval_ms: int = Field(600, ge=10, le=600_000, description="Shortest time between the starts of two roll-ups of days.")
    procedure_interval_ms: int = Field(
        5_000, ge=10, le=600_000, description="Shortest time between the starts of two recounts of procedures."
    )

    @model_validator(mode="after")
    def _a_batch_fits(self) -> IngestSettings:
        if self.max_unstored_rows < self.batch_rows:
            raise ValueError("max_unstored_rows must be at least batch_rows")
        return self


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


class RetentionSettings(Group):
    """For how long `portalpulse retention apply` keeps what grows without end. Figures are kept for ever."""

    messages_days: int = Field(
        0,
        ge=0,
        le=36_500,
        description="Days after the last event of a finished dossier until its messages may expire; 0: never.",
    )
    dead_letters_days: int = Field(
        0, ge=0, le=36_500, description="Days until dead letters may expire, replayed ones too; 0: never. They stay counted."
    )
    quiet_days: float = Field(
        1.0, ge=0, le=3_650, description="Days without a new message or decision before a finished dossier may expire."
    )


class WatchdogSettings(Group):
    """When a worker exits because its broker does not answer."""

    assignment_seconds: float = Field(
        60.0, ge=1, le=86_400, description="Exit when the group assigns no partitions for this long after the start."
    )
    stall_seconds: float = Field(
        120.0, ge=1, le=86_400, description="Exit when the broker answers no heartbeat or fetch for this long."
    )


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


class DossierSettings(Group):
    """How often a worker judges the dossiers that changed, for the figures that need whole dossiers."""

    interval_seconds: float = Field(
        30.0, ge=0.1, le=3_600, description="Shortest time between the starts of two rounds of judging changed dossiers."
    )
    duty: float = Field(
        2.0,
        ge=0,
        le=10_000,
        description="Rest at least this many times as long as judging took: a larger value means less work.",
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
