"""How complete the figures of a report are: final, or why not.

Figures are final when the period is over and every message that lay in the topic when the report was asked for is stored,
counted and corrected. A worker acknowledges a message to Kafka only after all of that, so the group's committed offsets tell it.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import enum
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from domain.errors import ConfigurationError, PortalPulseError, UnavailableError

#: How often Kafka is asked while a report waits (seconds).
_PAUSE: Final = 0.3
#: The end of one partition in the text of a question.
_END: Final = re.compile(r"[0-9]{1,10}:[0-9]{1,19}", re.ASCII)
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
class Question:
    """When a topic was asked for its ends, and those that matter. Sent back, it waits for the same messages.

    Asking for the ends again would add what has come since, so that under constant traffic a wait would never end.

    Attributes:
        asked_at: aware.
        ends: the end offset of each partition with messages that are not acknowledged.
    """

    asked_at: dt.datetime
    ends: Mapping[int, int]

    def as_text(self) -> str:
        """As one parameter of a request: 2024-09-01T00:00:00.000+00:00,0:120,3:77."""
        return ",".join([_instant(self.asked_at), *(f"{number}:{end}" for number, end in sorted(self.ends.items()))])

    @classmethod
    def from_text(cls, text: str) -> Question:
        """The reverse of ``as_text``.

        Raises:
            ConfigurationError: it is none.
        """
        begin, *parts = text.split(",")
        asked_at: dt.datetime | None
        try:
            asked_at = dt.datetime.fromisoformat(begin)
        except ValueError:
            asked_at = None
        if asked_at is None or asked_at.tzinfo is None or any(_END.fullmatch(part) is None for part in parts):
            raise ConfigurationError(
                f"{text[:40]!r} is not the question of a report.", remedy="Send back completeness.question of an answer as it is."
            )
        return cls(asked_at, {int(number): int(end) for number, _, end in (part.partition(":") for part in parts)})


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
        question: what to ask again to wait for the same messages; None when none is waited for.
    """

    asked_at: dt.datetime
    waiting: int | None
    reasons: tuple[Reason, ...]
    question: Question | None = None

    @property
    def final(self) -> bool:
        """Whether the figures cannot change but by late messages."""
        return not self.reasons

    def as_dict(self) -> dict[str, Any]:
        """As plain values for JSON."""
        return {
            "final": self.final,
            "reasons": [{"code": reason.code.value, "text": reason.text} for reason in self.reasons],
            "asked_at": _instant(self.asked_at),
            "messages_waiting": self.waiting,
            "question": None if self.question is None else self.question.as_text(),
        }


def _instant(time: dt.datetime) -> str:
    return time.isoformat(timespec="milliseconds")


def waiting_messages(ends: Mapping[int, int], now: TopicOffsets) -> dict[int, int]:
    """Messages before ``ends`` that are not acknowledged now, of each partition that has some.

    An offset beyond the present end was committed in an earlier topic of this name, so it says nothing about this one.
    """
    waiting = {}
    for number, end in ends.items():
        acknowledged = now.acknowledged.get(number, 0)
        left = end - (acknowledged if acknowledged <= now.ends.get(number, 0) else 0)
        if left > 0:
            waiting[number] = left
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

    async def __call__(
        self, periods: Sequence[dt.date], *, today: dt.date, wait: float | None = None, question: Question | None = None
    ) -> Completeness:
        """Ask for the ends of the topic, then wait until everything before them is counted.

        Args:
            periods: last days of the periods whose figures are asked for.
            today: the civil day of the clock.
            wait: longest wait (seconds). None: ``WAIT_SECONDS``, and none at all while a period is not over: its figures are not
                final anyway.
            question: wait for the messages of this earlier question, whatever has come since.

        Raises:
            ConfigurationError: the question comes from the future.
        """
        now = self._now()
        if question is not None and question.asked_at > now:
            raise ConfigurationError(f"The question was asked at {_instant(question.asked_at)}, which is in the future.")
        asked_at = now if question is None else question.asked_at
        reasons = [
            Reason(NotFinal.PERIOD_NOT_OVER, f"The period ends on {last} and is not over: today is {today}.")
            for last in sorted(set(periods))
            if last >= today
        ]
        longest = (0.0 if reasons else WAIT_SECONDS) if wait is None else wait
        until = self._monotonic() + longest
        try:
            found: TopicOffsets = await self._in_thread(self._offsets)
            ends = found.ends if question is None else question.ends
            left = waiting_messages(ends, found)
            while left and self._monotonic() < until:
                await self._sleep(_PAUSE)
                found = await self._in_thread(self._offsets)
                left = waiting_messages(ends, found)
            if any(found.ends.get(number, 0) < ends[number] for number in left):
                raise UnavailableError("The topic ends before the messages that are waited for: it was created again.")
        except PortalPulseError as error:
            text = f"It is not known whether every message is counted: {error.problem}"
            return Completeness(asked_at, None, (*reasons, Reason(NotFinal.UNKNOWN, text)))
        waiting = sum(left.values())
        if not waiting:
            return Completeness(asked_at, 0, tuple(reasons))
        text = f"{waiting:,} messages that were sent before the report was asked for are not counted yet."
        reasons.append(Reason(NotFinal.MESSAGES_WAITING, text))
        return Completeness(asked_at, waiting, tuple(reasons), Question(asked_at, {number: ends[number] for number in left}))
