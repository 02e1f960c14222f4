"""What the comparison asks of a contender: get ready, start, stop, start again, and say how to read what it has counted."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from bench.measure import STOP_SECONDS, Stack
from deploy.native.processes import ChildProcess, stop_all


@dataclass(frozen=True, slots=True)
class Place:
    """Where one run takes place; topic, group and database are for this run alone or shared read-only."""

    stack: Stack
    topic: str
    group: str
    database: str


class Contender(ABC):
    """One contender in one run."""

    #: Rows stored and events counted, as one row of two numbers, so that both are of the same moment.
    progress: str
    #: Rows stored alone: answered from metadata, so that looking often costs the contender nothing.
    stored: str
    #: (agency code, minute in seconds since 1970, events) for every tally.
    tallies: str

    def __init__(self, place: Place) -> None:
        self.place = place

    @property
    def children(self) -> Sequence[ChildProcess]:
        """Its own processes."""
        return ()

    @abstractmethod
    def prepare(self) -> None:
        """Create what it needs; before the clock starts."""

    @abstractmethod
    def start(self) -> None:
        """Begin to read where its group has committed, else at the beginning; returns at once."""

    @abstractmethod
    def stop(self) -> None:
        """An orderly end that leaves the consumer group."""


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
        """SIGTERM, and SIGKILL to those who do not obey."""
        stop_all(self.children, grace=STOP_SECONDS)
