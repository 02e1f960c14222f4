"""How complete the figures of a report are: final, or why not.

Figures are final when the period is over and every message that lay in the topic when the report was asked for is stored,
counted and corrected. A worker acknowledges a message to Kafka only after all of that, so the group's committed offsets tell it.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import enum
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from domain.errors import PortalPulseError

#: How often Kafka is asked while a report waits (seconds).
_PAUSE: Final = 0.3
#: How long a report waits for messages that are not counted yet, unless it is asked for another time (seconds).
WAIT_SECONDS: Final = 10.0


class NotFinal(enum.StrEnum):
    """Why figures are not final."""

    PERIOD_NOT_OVER = "period_not_over"
    MESSAGES_WAITING = "messages_waiting"
    UNKNOWN = "unknown"  # Kafka does not answer


@dataclass(frozen=True, slots=True)
class TopicOffsets:
    """The end offset and the offset that the workers have acknowledged, by partition."""

    ends: Mapping[int, int]
    acknowledged: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Reason:
    """Why figures are not final: a code, and a sentence for people."""

    code: NotFinal
    text: str


@dataclass(frozen=True, slots=True)
class Completeness:
    """How complete figures are.

    Attributes:
        asked_at: when the topic was asked for its ends; messages that came later may or may not be counted.
        waiting: messages that lay in the topic then and are not acknowledged; None when Kafka does not say.
        reasons: empty when the figures are final.
    """

    asked_at: dt.datetime
    waiting: int | None
    reasons: tuple[Reason, ...]

    @property
    def final(self) -> bool:
        """Whether the figures cannot change but by late messages."""
        return not self.reasons

    def as_dict(self) -> dict[str, Any]:
        """As plain values for JSON."""
        return {
            "final": self.final,
            "reasons": [{"code": reason.code.value, "text": reason.text} for reason in self.reasons],
            "asked_at": self.asked_at.isoformat(timespec="milliseconds"),
            "messages_waiting": self.waiting,
        }


def waiting_messages(ends: Mapping[int, int], now: TopicOffsets) -> int:
    """Messages before ``ends`` that are not acknowledged now.

    An offset beyond the present end was committed in an earlier topic of this name, so it says nothing about this one.
    """
    waiting = 0
    for number, end in ends.items():
        acknowledged = now.acknowledged.get(number, 0)
        waiting += max(0, end - (acknowledged if acknowledged <= now.ends.get(number, 0) else 0))
    return waiting


class CompletenessCheck:
    """Asks Kafka, and waits for the workers.

    Args:
        offsets: asks Kafka; blocks.
        now: the system's time.
        in_thread: runs what blocks.
    """

    def __init__(
        self,
        offsets: Callable[[], TopicOffsets],
        *,
        now: Callable[[], dt.datetime],
        in_thread: Callable[[Callable[[], Any]], Awaitable[Any]],
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep,
    ) -> None:
        self._offsets, self._now, self._in_thread = offsets, now, in_thread
        self._monotonic, self._sleep = monotonic, sleep

    async def __call__(self, periods: Sequence[dt.date], *, today: dt.date, wait: float | None = None) -> Completeness:
        """Ask for the ends of the topic, then wait until everything before them is counted.

        Args:
            periods: last days of the periods whose figures are asked for.
            today: the civil day of the clock.
            wait: longest wait (seconds). None: ``WAIT_SECONDS``, and none at all while a period is not over: its figures are not
                final anyway.
        """
        asked_at = self._now()
        reasons = [
            Reason(NotFinal.PERIOD_NOT_OVER, f"The period ends on {last} and is not over: today is {today}.")
            for last in sorted(set(periods))
            if last >= today
        ]
        longest = (0.0 if reasons else WAIT_SECONDS) if wait is None else wait
        until = self._monotonic() + longest
        waiting: int | None = None
        try:
            first: TopicOffsets = await self._in_thread(self._offsets)
            waiting = waiting_messages(first.ends, first)
            while waiting and self._monotonic() < until:
                await self._sleep(_PAUSE)
                later: TopicOffsets = await self._in_thread(self._offsets)
                waiting = waiting_messages(first.ends, later)
        except PortalPulseError as error:
            waiting = None
            text = f"It is not known whether every message is counted: {error.problem}"
            reasons.append(Reason(NotFinal.UNKNOWN, text))
        if waiting:
            text = f"{waiting:,} messages that were sent before the report was asked for are not counted yet."
            reasons.append(Reason(NotFinal.MESSAGES_WAITING, text))
        return Completeness(asked_at, waiting, tuple(reasons))
