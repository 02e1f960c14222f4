"""Settings of a worker: batches, budgets, intervals, when it gives up on a silent broker, and when it judges dossiers."""

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


class WatchdogSettings(Group):
    """When a worker exits because its broker does not answer."""

    assignment_seconds: float = Field(
        60.0, ge=1, le=86_400, description="Exit when the group assigns no partitions for this long after the start."
    )
    stall_seconds: float = Field(
        120.0, ge=1, le=86_400, description="Exit when the broker answers no heartbeat or fetch for this long."
    )


class DossierSettings(Group):
    """How often a worker judges the dossiers that changed, for the figures over whole dossiers."""

    interval_seconds: float = Field(
        30.0, ge=0.1, le=3_600, description="Shortest time between the starts of two rounds of judging changed dossiers."
    )
    duty: float = Field(
        2.0,
        ge=0,
        le=10_000,
        description="Rest at least this many times as long as judging took: a larger value means less work.",
    )
