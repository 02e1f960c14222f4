"""The scenario of 2024, produced once for all tests that use it."""

from __future__ import annotations

import gc
from dataclasses import dataclass, field, replace

import msgspec
import pytest
from aiokafka.record.memory_records import MemoryRecords

from producers.portals.scenarios import load_scenario
from producers.portals.simulate import ScenarioStream
from producers.sending.send_loop import Run
from producers.sending.timeline import Acknowledged, Timeline


@dataclass
class RecordingSender:
    """Takes batches and acknowledges them at once; after ``breaks_after`` batches it is lost and acknowledges nothing."""

    partitions: int = 4
    breaks_after: int | None = None
    batches: list = field(default_factory=list)
    acknowledgements: Timeline = field(default_factory=Timeline)
    too_large: list = field(default_factory=list)
    acknowledged: int = 0
    failed: int = 0
    retries: int = 0
    problem: str = ""
    flushed: int = 0
    flushed_within: float | None = None
    indexes: list = field(default_factory=list)
    clock: object = None

    @property
    def gave_up(self):
        return bool(self.problem)

    @property
    def oldest(self):
        return min(self.indexes, default=None)

    def submit(self, batch):
        if self.breaks_after is not None and len(self.batches) >= self.breaks_after:
            self.failed += batch.records
            self.problem = "broken"
            self.indexes.append(batch.first_index)
            return
        self.batches.append(batch)
        self.acknowledged += batch.records
        now = self.clock.monotonic() if self.clock else float(len(self.batches))
        self.acknowledgements.add(Acknowledged(now, now, batch.records, batch.events, batch.distinct))

    def flush(self, *, timeout=None):
        self.flushed += 1
        self.flushed_within = timeout


def unpacked(batch):
    """Keys and values of a batch, read by the library that reads them from Kafka."""
    records = MemoryRecords(bytes(batch.data))
    found = []
    while records.has_next():
        found += [(record.key, record.value) for record in records.next_batch()]
    return found


class HandClock:
    """A monotonic clock that moves only when a run waits on it, and remembers the waits."""

    def __init__(self) -> None:
        self.seconds = 1_000.0
        self.sleeps: list[float] = []

    def monotonic(self) -> float:
        return self.seconds

    def pause(self, seconds: float) -> bool:
        """What a run that is not stopped waits with."""
        self.sleeps.append(seconds)
        self.seconds += seconds
        return False


@pytest.fixture
def hand_clock():
    """A clock of its own for each test."""
    return HandClock()


@pytest.fixture
def recording_sender():
    """A sender of batches that keeps everything."""
    return RecordingSender()


@pytest.fixture(scope="session")
def sender_type():
    """What makes such senders, where one is not enough."""
    return RecordingSender


@pytest.fixture(scope="session")
def unpack():
    """Reads a batch back."""
    return unpacked


@pytest.fixture
def run_of(hand_clock):
    """A run of one process, or of a share, on the hand clock."""

    def make(*, share=(0, 1), partitions=4, pause=hand_clock.pause):
        return Run(partitions=partitions, share=share, pause=pause, monotonic=hand_clock.monotonic, started=hand_clock.seconds)

    return make


@pytest.fixture(scope="session")
def scenario():
    """The packaged scenario."""
    return load_scenario("emc-2024")


@pytest.fixture(scope="session")
def stream(scenario):
    """Its messages, not yet made."""
    return ScenarioStream(scenario, seed=1)


@pytest.fixture(scope="session")
def small_scenario(scenario):
    """A few agencies of the scenario: enough where the whole would prove the same."""
    return replace(scenario, units=scenario.units[::12])


@pytest.fixture(scope="session")
def messages(stream):
    """Every message of the scenario as (key, value, occurred_at, kind)."""
    gc.disable()  # half a million objects that stay: looking through them again and again costs a third
    try:
        return list(stream)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture(scope="session")
def events(messages):
    """Every distinct event as its parsed fields."""
    decode = msgspec.json.Decoder().decode
    gc.disable()
    try:
        return list({event["event_id"]: event for event in (decode(message.value) for message in messages)}.values())
    finally:
        gc.freeze()
        gc.enable()
