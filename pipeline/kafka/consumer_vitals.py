"""Reads from aiokafka's internals how a running consumer is doing. Changes nothing. tests/pins check these internals."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.kafka import record_batches
from pipeline.kafka.static_member import StaticMember


@dataclass(frozen=True, slots=True)
class ConsumerVitals:
    """Progress tokens of a consumer. A token changes whenever a broker answers; compare tokens only for equality.

    Attributes:
        assignment: number of the current assignment; tokens of different assignments cannot be compared.
        joined: whether the group has assigned partitions, perhaps none, since the last rebalance began.
        heartbeats: token of the group's coordinator: number of answered heartbeats.
        fetches: assigned partition -> its token.
        error: the error that ended aiokafka's own tasks or the membership in the group, which Faust does not check; None.
    """

    assignment: int
    joined: bool
    heartbeats: int
    fetches: Mapping[Any, tuple[int | None, int | None]]
    error: BaseException | None


def read_vitals(
    consumer: Any, *, assignment: int, joined: bool, heartbeats: int, place: StaticMember | None = None
) -> ConsumerVitals | None:
    """The current vitals of a consumer; None until aiokafka has contacted a broker and created coordinator and fetcher."""
    coordinator, fetcher = getattr(consumer, "_coordinator", None), getattr(consumer, "_fetcher", None)
    if coordinator is None or fetcher is None:
        return None
    error = (None if place is None else place.error) or coordinator._pending_exception  # noqa: SLF001
    for task in (coordinator._coordination_task, fetcher._fetch_task):  # noqa: SLF001
        if error is None and task.done() and not task.cancelled():
            error = task.exception()
    fetches = {tp: (state.timestamp, state._position) for tp, state in partition_states(consumer)}  # noqa: SLF001
    return ConsumerVitals(assignment, joined, heartbeats, fetches, error)


def read_through(consumer: Any) -> dict[Any, int]:
    """Partition -> offset before which it was read, perhaps only into memory. Partitions without a position are omitted."""
    found = {}
    for tp, state in partition_states(consumer):
        position, fetched = state._position, consumer._fetcher._records.get(tp)  # noqa: SLF001
        if position is not None:
            packed = getattr(getattr(fetched, "_partition_records", None), "_records", None)
            found[tp] = max(position, 0 if packed is None else record_batches.end_of(packed.data))
    return found


def behind(consumer: Any, end_of: Callable[[Any], int | None]) -> int:
    """The sum over assigned partitions of the offsets between the fetcher's position and the end.

    ``end_of`` returns the end for aiokafka's state of a partition. The position of the fetcher is used, because the end of a
    transaction has an offset and is not a message.
    """
    total = 0
    for _, state in partition_states(consumer):
        end, position = end_of(state), state._position  # noqa: SLF001
        if end is not None and position is not None:
            total += max(0, end - position)
    return total


def partition_states(consumer: Any) -> Iterator[tuple[Any, Any]]:
    """Each assigned partition and aiokafka's state of it; empty before the consumer is started."""
    subscription = None if consumer is None else consumer._subscription.subscription  # noqa: SLF001
    assignment = None if subscription is None else subscription.assignment
    if assignment is not None:
        for tp in assignment.tps:
            yield tp, assignment.state_value(tp)
