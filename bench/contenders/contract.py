"""The interface of a contender: prepare, start, stop, start again, and the queries that read what it has tallied."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from bench.measure import STOP_SECONDS, Stack
from deploy.native.processes import ChildProcess, stop_all


@dataclass(frozen=True, slots=True)
class RunContext:
    """The stack, topic, group and database of one run; shared with other runs only for reading."""

    stack: Stack
    topic: str
    group: str
    database: str


class Contender(ABC):
    """One contender in one run."""

    #: Rows stored and events tallied, as one row of two numbers, so that both are of the same time.
    progress: str
    #: Rows stored, answered from metadata, so that frequent queries cost the contender nothing.
    stored: str
    #: (agency code, minute in seconds since 1970, events) for every tally.
    tallies: str

    def __init__(self, context: RunContext) -> None:
        self.context = context

    @property
    def children(self) -> Sequence[ChildProcess]:
        """Its own processes."""
        return ()

    @abstractmethod
    def prepare(self) -> None:
        """Create what it needs; not part of the measured time."""

    @abstractmethod
    def start(self) -> None:
        """Read from the committed offsets of its group, else from the beginning; returns at once."""

    @abstractmethod
    def stop(self) -> None:
        """A clean stop that leaves the consumer group."""


class Programs(Contender):
    """A contender that is one or more programs of its own."""

    @property
    @abstractmethod
    def children(self) -> Sequence[ChildProcess]:
        """Its own processes, always the same objects."""

    def start(self) -> None:
        """Start all of them at once."""
        for child in self.children:
            child.start()

    def stop(self) -> None:
        """SIGTERM, and SIGKILL to what still runs later."""
        stop_all(self.children, grace=STOP_SECONDS)
