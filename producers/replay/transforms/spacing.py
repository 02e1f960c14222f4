"""When each message of a replay is due, in seconds after its start: by the recording, at a fixed rate, or at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from producers.replay.transforms.loops import RepeatedMessage


class Due(NamedTuple):
    """A message of a loop and when it is due: seconds after the start of the replay."""

    played: RepeatedMessage
    after: float


@dataclass(frozen=True, slots=True)
class Spacing:
    """Original spacing divided by ``speed``, or ``rate`` messages a second; neither: flat out (due at once).

    ``dated``: earliest and latest time (epoch milliseconds) that an event can have; another one counts as none. Without this one
    event of the year 9999 would hold back everything behind it until then.
    """

    speed: float | None = None
    rate: float | None = None
    dated: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if self.speed is not None and self.rate is not None:
            raise ValueError("a replay has a speed or a rate")

    @property
    def flat_out(self) -> bool:
        """Whether nobody waits."""
        return self.speed is None and self.rate is None

    def due(self, played: Iterable[RepeatedMessage]) -> Iterator[Due]:
        """Each message with its due time.

        At original spacing the due time follows the newest time seen: a message older than those before it, or without a
        time, is due together with them. A loop begins where the one before it ended.
        """
        if self.speed is not None:
            yield from self._original(played, self.speed, self.dated or (1, 1 << 62))
        elif self.rate is not None:
            for number, item in enumerate(played):
                yield Due(item, number / self.rate)
        else:
            for item in played:
                yield Due(item, 0.0)

    @staticmethod
    def _original(played: Iterable[RepeatedMessage], speed: float, dated: tuple[int, int]) -> Iterator[Due]:
        loop, first, begun, newest = 0, 0, 0.0, 0.0
        for item in played:
            if item.loop != loop:
                loop, first, begun = item.loop, 0, newest
            at = item.message.occurred_at
            if dated[0] <= at <= dated[1]:
                first = first or at
                newest = max(newest, begun + (at - first) / 1000 / speed)
            yield Due(item, newest)


class Queue:
    """Due messages, taken when their time has come. Times count from the first message, which is due at once.

    Attributes:
        next_after: when the next message is due; None while that is not known, because more is due or none is left.
    """

    def __init__(self, due: Iterable[Due]) -> None:
        self._due = iter(due)
        self._held: Due | None = None
        self._begun = 0.0
        self.next_after: float | None = None
        self._first = True

    def take(self, *, until: float, most: int) -> list[Due]:
        """The messages due by ``until`` seconds, ``most`` of them at most; an empty list also when none is left."""
        taken: list[Due] = []
        while len(taken) < most:
            item = self._held or next(self._due, None)
            self._held = None
            self.next_after = None
            if item is None:
                break
            if self._first:
                self._first, self._begun = False, item.after
            if item.after - self._begun > until:
                self._held, self.next_after = item, item.after - self._begun
                break
            taken.append(item)
        return taken
