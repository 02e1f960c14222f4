"""Asks the brokers for the lag and the readers of each partition, also of partitions that no worker reads.

Workers report only the partitions that they read. A partition that nobody reads, or whose worker hangs, is missing there.
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
    """What is asked of the brokers. ``pipeline.kafka.topic_reader`` implements this interface."""

    def partitions(self) -> Sequence[Partition]:
        """The partitions of every topic, with first, last and committed offsets."""
        ...

    def group(self) -> Group:
        """The consumer group: its members and their partitions."""
        ...


@dataclass(frozen=True, slots=True)
class PartitionState:
    """A partition. ``lag``: unacknowledged messages in the log. ``readers``: members that read it; None: being assigned."""

    topic: str
    number: int
    lag: int
    readers: tuple[Member, ...] | None


@dataclass(frozen=True, slots=True)
class PartitionStates:
    """The state of all partitions; empty while Kafka does not answer."""

    partitions: tuple[PartitionState, ...] = ()


def partition_states(reader: LagReader, *, topic: str) -> PartitionStates:
    """Ask the brokers for the state of all partitions. ``topic``: the name of the topic if there is only one.

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
    """Asks every ``ROUND_SECONDS`` seconds; ``state`` is the last answer, without partitions after an error.

    Errors stop nothing, and only the first of several in succession is logged, then that the brokers answer again.

    Args:
        reader: asks the brokers.
        topic: the name of the topic if there is only one.
    """

    def __init__(self, reader: LagReader, *, topic: str) -> None:
        super().__init__("partitions")
        self._reader, self._topic = reader, topic
        self._problem = ""
        self.state = PartitionStates()  # replaced as a whole, so that readers need no lock

    def round(self) -> float:
        """Ask the brokers once; return the pause until the next round (seconds)."""
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
