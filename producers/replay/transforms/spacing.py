"""When each message of a replay is due, in seconds after its start: spaced as in the recording, at a fixed rate, or at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from producers.replay.transforms.loops import RepeatedMessage


class Due(NamedTuple):
    """A message of a loop, and when it is due: seconds after the start of the replay."""

    repeated: RepeatedMessage
    after: float


@dataclass(frozen=True, slots=True)
class Spacing:
    """Original spacing divided by ``speed``, or ``rate`` messages a second; neither: everything is due at once.

    ``valid_times``: earliest and latest time (epoch milliseconds) that an event can have; another time counts as missing. Without
    this bound, one event of the year 9999 would delay everything after it until then.
    """

    speed: float | None = None
    rate: float | None = None
    valid_times: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if self.speed is not None and self.rate is not None:
            raise ValueError("a replay has a speed or a rate")

    @property
    def unpaced(self) -> bool:
        """Whether all messages are due at once."""
        return self.speed is None and self.rate is None

    def due(self, repeated: Iterable[RepeatedMessage]) -> Iterator[Due]:
        """Each message with its due time.

        At original spacing the due time follows the newest time so far: an older message, or one without a time, is due together
        with the messages before it. A loop begins where the one before it ended.
        """
        if self.speed is not None:
            yield from self._original(repeated, self.speed, self.valid_times or (1, 1 << 62))
        elif self.rate is not None:
            for number, item in enumerate(repeated):
                yield Due(item, number / self.rate)
        else:
            for item in repeated:
                yield Due(item, 0.0)

    @staticmethod
    def _original(repeated: Iterable[RepeatedMessage], speed: float, valid_times: tuple[int, int]) -> Iterator[Due]:
        loop, first, begun, newest = 0, 0, 0.0, 0.0
        for item in repeated:
            if item.loop != loop:
                loop, first, begun = item.loop, 0, newest
            at = item.message.occurred_at
            if valid_times[0] <= at <= valid_times[1]:
                first = first or at
                newest = max(newest, begun + (at - first) / 1000 / speed)
            yield Due(item, newest)


class DueQueue:
    """Messages that are taken when they are due. Times count from the first message, which is due at once.

    Attributes:
        next_due: when the next message is due; None while another message is due now, or none is left.
    """

    def __init__(self, due: Iterable[Due]) -> None:
        self._due = iter(due)
        self._pending: Due | None = None
        self._begun = 0.0
        self.next_due: float | None = None
        self._first = True

    def take(self, *, until: float, limit: int) -> list[Due]:
        """The messages due by ``until`` seconds, ``limit`` of them at most; an empty list also when none is left."""
        taken: list[Due] = []
        while len(taken) < limit:
            item = self._pending or next(self._due, None)
            self._pending = None
            self.next_due = None
            if item is None:
                break
            if self._first:
                self._first, self._begun = False, item.after
            if item.after - self._begun > until:
                self._pending, self.next_due = item, item.after - self._begun
                break
            taken.append(item)
        return taken
