"""Settings of a worker: batches, memory, intervals, events in the future, when it exits, when it judges dossiers."""

from __future__ import annotations

from pydantic import Field, model_validator

from pipeline.settings.group import Group


class IngestSettings(Group):
    """Batch sizes and budgets of the worker."""

    batch_rows: int = Field(100_000, ge=1, le=1_000_000, description="Maximum number of rows decoded and inserted at once.")
    linger_ms: int = Field(
        100,
        ge=0,
        le=10_000,
        description="While the storage is busy, a batch that is not full waits at least this long for more messages.",
    )
    store_interval_ms: int = Field(
        200, ge=0, le=10_000, description="Shortest time between the starts of two batches, unless a batch is full."
    )
    max_unstored_rows: int = Field(
        400_000, ge=1, le=10_000_000, description="Fetching pauses while more rows than this are in memory."
    )
    max_unstored_bytes: int = Field(
        128 << 20,
        ge=1 << 20,
        le=1 << 33,
        description="Fetching pauses while messages of more than this size are in memory (bytes).",
    )
    future_tolerance_seconds: float = Field(
        86_400.0, ge=0, le=3.2e9, description="An event dated later than now plus this is dead-lettered as in_the_future."
    )
    dossier_interval_ms: int = Field(
        500,
        ge=10,
        le=60_000,
        description="Shortest time between the starts of two rounds in which dossiers of stored messages are resolved.",
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
    """After which time without an answer of Kafka a worker exits."""

    assignment_seconds: float = Field(
        60.0,
        ge=1,
        le=86_400,
        description="A worker exits when the group assigns no partitions to it for this long after its start.",
    )
    stall_seconds: float = Field(
        120.0, ge=1, le=86_400, description="A worker exits when the broker answers no heartbeat or fetch for this long."
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
        description="A rest lasts at least this many times as long as the judging before it: a larger value means less load.",
    )
