"""The scenario of 2024, produced once for every test that looks at it."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec
import pytest

from producers.scenarios import load_scenario
from producers.simulate import ScenarioStream


@dataclass
class RecordingWriter:
    """Keeps what it is given; messages after ``breaks_after`` fail."""

    messages: list = field(default_factory=list)
    breaks_after: int | None = None
    problem: str = ""
    flushed: int = 0

    @property
    def acknowledged(self):
        return len(self.messages) - self.failed

    @property
    def failed(self):
        return 0 if self.breaks_after is None else max(0, len(self.messages) - self.breaks_after)

    @property
    def lost(self):
        return self.failed > 0

    def send(self, key, value):
        self.messages.append((key, value))
        if self.failed:
            self.problem = "broken"

    def flush(self):
        self.flushed += 1


class HandClock:
    """A monotonic clock that only moves when somebody sleeps on it, and remembers how long they slept."""

    def __init__(self) -> None:
        self.seconds = 1_000.0
        self.sleeps: list[float] = []

    def monotonic(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.sleeps.append(seconds)
        self.seconds += seconds


@pytest.fixture
def hand_clock():
    """A clock of its own for each test."""
    return HandClock()


@pytest.fixture
def recording_writer():
    """A writer that keeps everything."""
    return RecordingWriter()


@pytest.fixture(scope="session")
def scenario():
    """The packaged scenario."""
    return load_scenario("emc-2024")


@pytest.fixture(scope="session")
def stream(scenario):
    """Its messages, not yet made."""
    return ScenarioStream(scenario, seed=1)


@pytest.fixture(scope="session")
def messages(stream):
    """Every message of the scenario as (key, value, occurred_at, kind)."""
    return list(stream)


@pytest.fixture(scope="session")
def events(messages):
    """Every distinct event as its parsed fields."""
    decode = msgspec.json.Decoder().decode
    return list({event["event_id"]: event for event in (decode(message.value) for message in messages)}.values())
