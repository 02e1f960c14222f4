"""The lag of each partition and who reads it, asked of the brokers: also of partitions that no worker has.

Workers report what they read themselves. A partition that nobody reads, or whose worker hangs, is in no report of theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from domain.errors import PortalPulseError
from pipeline.audit.topic_log import Partition
from pipeline.background import BackgroundRounds
from pipeline.kafka.group_members import Group, Member
from pipeline.logs import get_logger

#: Seconds between two rounds; an alert on a lag waits for minutes.
ROUND_SECONDS: Final = 15.0

log = get_logger("partitions")


class LagReader(Protocol):
    """Asks the brokers; ``pipeline.kafka.topic_reader`` implements it."""

    def partitions(self) -> Sequence[Partition]:
        """The partitions of every topic, with first, last and committed offsets."""
        ...

    def group(self) -> Group:
        """The group: its members and their partitions."""
        ...


@dataclass(frozen=True, slots=True)
class PartitionState:
    """A partition: messages that are not acknowledged, and the members that read it; None: partitions are being given out."""

    topic: str
    number: int
    lag: int
    readers: tuple[Member, ...] | None


@dataclass(frozen=True, slots=True)
class PartitionStates:
    """All partitions; none while Kafka does not answer."""

    partitions: tuple[PartitionState, ...] = ()


def partition_states(reader: LagReader, *, topic: str) -> PartitionStates:
    """Ask the brokers now. ``topic``: the name of the only topic.

    Raises:
        PortalPulseError: no broker answers, or the topic does not exist.
    """
    group = reader.group()
    readers: dict[tuple[str, int], tuple[Member, ...]] = {}
    for member in group.members:
        for place in member.partitions:
            readers[place] = (*readers.get(place, ()), member)
    given_out = group.stable or not group.members
    found = []
    for part in reader.partitions():
        place = part.topic or topic, part.number
        # What left the log cannot be read; the worker reports it.
        lag = part.end - max(part.begin, part.committed or 0)
        found.append(PartitionState(*place, max(0, lag), readers.get(place, ()) if given_out else None))
    return PartitionStates(tuple(found))


class PartitionWatch(BackgroundRounds):
    """Asks every ``ROUND_SECONDS``; ``state`` is the last answer. An error is logged when it begins and ends, and stops nothing.

    Args:
        reader: asks the brokers.
        topic: the name of the only topic.
    """

    def __init__(self, reader: LagReader, *, topic: str) -> None:
        super().__init__("partitions")
        self._reader, self._topic = reader, topic
        self._problem = ""
        self.state = PartitionStates()  # replaced as a whole, so that readers need no lock

    def round(self) -> float:
        """Ask once; returns the pause until the next time (seconds)."""
        problem = ""
        try:
            self.state = partition_states(self._reader, topic=self._topic)
        except PortalPulseError as error:
            self.state, problem = PartitionStates(), error.problem
        except Exception as error:  # noqa: BLE001 - it must not stop the process that it runs in
            self.state, problem = PartitionStates(), repr(error)
        if bool(problem) != bool(self._problem):
            log.info("partitions_asked", kafka=not problem, reason=problem)
        self._problem = problem
        return ROUND_SECONDS
