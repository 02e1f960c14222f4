"""Finds out whether the figures of a report are final, or why not.

Figures are final when the period is over and every message that the topic had when the report was asked for is stored, counted
and corrected. A worker acknowledges a message to Kafka only after all of that, so the group's committed offsets tell which
messages are. Figures over whole dossiers are final when, besides, every dossier with such a message was judged since.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import enum
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Protocol

from domain.errors import ConfigurationError, PortalPulseError, UnavailableError
from pipeline.report.question import PartitionName, Question, instant_text

#: How often Kafka is asked while a report waits (seconds).
_PAUSE: Final = 0.3
#: How often the storage is asked for waiting dossiers meanwhile (seconds).
_DOSSIER_PAUSE: Final = 1.0
#: Agencies that a reason names.
_NAMED: Final = 5
#: How long a report waits for messages that are not counted yet, unless it is asked for another time (seconds).
WAIT_SECONDS: Final = 10.0


class NotFinal(enum.StrEnum):
    """Why figures are not final."""

    PERIOD_NOT_OVER = "period_not_over"
    ANSWERS_NOT_OVER = "answers_not_over"  # of the accepted late: a dossier may still be answered in time
    MESSAGES_WAITING = "messages_waiting"
    DOSSIERS_WAITING = "dossiers_waiting"
    CATALOGUE_RECOUNT = "catalogue_recount"  # stored dossiers were not all counted with the catalogue that was loaded last
    UNKNOWN = "unknown"  # Kafka does not answer


@dataclass(frozen=True, slots=True)
class TopicOffsets:
    """Partition -> its end offset, and partition -> the offset up to which workers have acknowledged it."""

    ends: Mapping[PartitionName, int]
    acknowledged: Mapping[PartitionName, int]


class WaitingDossiers(Protocol):
    """Tells how many dossiers wait to be judged with all of their messages."""

    def now(self) -> dt.datetime:
        """The time of the storage's clock, by which messages of dossiers are noted."""
        ...

    def waiting_since(self, asked_at: dt.datetime, /) -> int:
        """How many dossiers wait to be judged because of messages noted up to ``asked_at``, a time of the storage's clock."""
        ...


@dataclass(frozen=True, slots=True)
class Reason:
    """A reason why figures are not final: a code, and a sentence for people."""

    code: NotFinal
    text: str


@dataclass(frozen=True, slots=True)
class Completeness:
    """How complete figures are.

    Attributes:
        asked_at: when Kafka was asked for the ends of the topic; messages that came later may or may not be counted.
        waiting: number of messages before these ends that are not acknowledged; None: Kafka does not tell.
        reasons: why the figures are not final; empty: they are.
        question: the question to send with a later request that waits for the same messages and dossiers; None: none wait.
        dossiers_waiting: number of dossiers that were not judged since their messages were noted; None: no figure is read from
            whole dossiers, or messages wait.
    """

    asked_at: dt.datetime
    waiting: int | None
    reasons: tuple[Reason, ...]
    question: Question | None = None
    dossiers_waiting: int | None = None

    @property
    def final(self) -> bool:
        """Whether the figures are final: only messages that come later can change them."""
        return not self.reasons

    def as_dict(self) -> dict[str, Any]:
        """The completeness as plain values for JSON."""
        return {
            "final": self.final,
            "reasons": [{"code": reason.code.value, "text": reason.text} for reason in self.reasons],
            "asked_at": instant_text(self.asked_at),
            "messages_waiting": self.waiting,
            "dossiers_waiting": self.dossiers_waiting,
            "question": None if self.question is None else self.question.as_text(),
        }


def waiting_messages(ends: Mapping[PartitionName, int], now: TopicOffsets) -> dict[PartitionName, int]:
    """Partition -> number of messages before its offset in ``ends`` that are not acknowledged now; without those with 0.

    An acknowledged offset beyond the present end was committed for an earlier topic of this name, so it is ignored.
    """
    waiting: dict[PartitionName, int] = {}
    for number, end in ends.items():
        acknowledged = now.acknowledged.get(number, 0)
        left = end - (acknowledged if acknowledged <= now.ends.get(number, 0) else 0)
        if left > 0:
            waiting[number] = left
    return waiting


@dataclass(frozen=True, slots=True)
class Scope:
    """The figures of a report, as far as their completeness depends on it.

    Attributes:
        periods: the last day of each period.
        answers: last days on which an answer to a dossier of the periods is in time (group of the accepted late).
        reads_dossiers: whether a figure is read from whole dossiers.
    """

    periods: Sequence[dt.date]
    answers: Sequence[dt.date] = field(default=())
    reads_dossiers: bool = False

    def reasons(self, today: dt.date) -> list[Reason]:
        """The reasons why figures are not final that do not depend on messages: days that are not over."""
        periods = [
            Reason(NotFinal.PERIOD_NOT_OVER, f"The period ends on {last} and is not over: today is {today}.")
            for last in sorted(set(self.periods))
            if last >= today
        ]
        if periods:
            return periods
        text = "Dossiers of the last day of the period may be answered in time until {} is over: today is {}."
        return [
            Reason(NotFinal.ANSWERS_NOT_OVER, text.format(last, today)) for last in sorted(set(self.answers)) if last >= today
        ]


class CompletenessCheck:
    """Finds out how complete figures are, and waits until workers have counted the messages of the topic.

    Args:
        offsets: asks Kafka for the offsets of the topic; blocks.
        dossiers: asks the storage for waiting dossiers; blocks. None: no figure is read from whole dossiers.
        not_recounted: reads the agencies whose stored dossiers have not all been counted with their last catalogue; blocks.
        now: the system's time.
        in_thread: runs in a thread what blocks.
        monotonic: a monotonic clock (seconds).
        sleep: sleeps for a number of seconds.
    """

    def __init__(
        self,
        offsets: Callable[[], TopicOffsets],
        *,
        dossiers: WaitingDossiers | None = None,
        not_recounted: Callable[[], Collection[str]] = tuple,
        now: Callable[[], dt.datetime],
        in_thread: Callable[[Callable[[], Any]], Awaitable[Any]],
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep,
    ) -> None:
        self._offsets, self._dossiers, self._now, self._in_thread = offsets, dossiers, now, in_thread
        self._monotonic, self._sleep = monotonic, sleep
        self._not_recounted = not_recounted

    async def __call__(
        self, scope: Scope, *, today: dt.date, wait: float | None = None, question: Question | None = None
    ) -> Completeness:
        """Ask Kafka for the ends of the topic, then wait until every message before them is counted.

        Args:
            scope: the figures of the report.
            today: the civil day of the clock.
            wait: longest wait (seconds). None: ``WAIT_SECONDS``, or 0 when the figures are not final for another reason anyway.
            question: wait only for the messages of this earlier question, not for messages that came later.

        Raises:
            ConfigurationError: the time of the question is in the future.
            SinkError: the storage does not answer.
        """
        now = self._now()
        if question is not None and question.asked_at > now:
            raise ConfigurationError(
                f"The earlier question that this one continues is of {instant_text(question.asked_at)}, which is in the future.",
                remedy="Ask without that question, or correct the clock of this machine.",
            )
        asked_at = now if question is None else question.asked_at
        reasons = scope.reasons(today)
        if agencies := await self._in_thread(self._not_recounted):
            named = ", ".join(list(agencies)[:_NAMED]) + (f" and {len(agencies) - _NAMED} more" if len(agencies) > _NAMED else "")
            text = f"Stored dossiers are not counted with the catalogue that was loaded last: {named}. Load its file again."
            reasons.append(Reason(NotFinal.CATALOGUE_RECOUNT, text))
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
        if waiting:
            text = f"{waiting:,} messages that were sent before the report was asked for are not counted yet."
            reasons.append(Reason(NotFinal.MESSAGES_WAITING, text))
            return Completeness(asked_at, waiting, tuple(reasons), Question(asked_at, {number: ends[number] for number in left}))
        if self._dossiers is None or not scope.reads_dossiers:
            return Completeness(asked_at, 0, tuple(reasons))
        noted_until, dossiers = await self._waiting_dossiers(self._dossiers, question, until)
        if not dossiers:
            return Completeness(asked_at, 0, tuple(reasons), dossiers_waiting=0)
        text = f"{dossiers:,} dossiers with messages that were sent before the report was asked for are not judged yet."
        reasons.append(Reason(NotFinal.DOSSIERS_WAITING, text))
        return Completeness(asked_at, 0, tuple(reasons), Question(asked_at, {}, noted_until), dossiers)

    async def _waiting_dossiers(
        self, dossiers: WaitingDossiers, question: Question | None, until: float
    ) -> tuple[dt.datetime, int]:
        """Wait until dossiers are judged; return the storage's time up to which messages count, and how many wait."""
        noted_until = question.noted_until if question is not None else None
        if noted_until is None:
            noted_until = await self._in_thread(dossiers.now)
        while True:
            left: int = await self._in_thread(partial(dossiers.waiting_since, noted_until))
            if not left or self._monotonic() >= until:
                return noted_until, left
            await self._sleep(_DOSSIER_PAUSE)
