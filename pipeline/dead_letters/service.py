"""Dead letters for people: list, show, replay, drop, accept. The command line asks this directly or over HTTP.

Replaying is idempotent in effect: an event has an id, so sending a message twice counts it once. A letter is marked as
replayed after Kafka acknowledged it; whether it is accepted now is decided by the worker alone, and a message that is refused
again becomes a new letter at its new offset.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, Protocol

from domain.clock import Clock
from domain.errors import ConfigurationError, UnavailableError
from domain.events import Reason, Rejection
from pipeline.dead_letters.message import message_of, shown
from pipeline.decode.validator import EventValidator
from pipeline.logs import get_logger
from sinks.contract.dead_letters import (
    DeadLetter,
    DeadLetterEntry,
    DeadLetterFilter,
    DeadLetterLimitStore,
    DeadLetterStore,
    Position,
)

#: Letters in memory at once while replaying: each may be as large as the broker allows.
_AT_ONCE = 200
#: Letters on one page at most.
MOST_ENTRIES = 1_000

log = get_logger("dead_letters")


class Sender(Protocol):
    """Sends messages again; returns when all of them are acknowledged."""

    def send(self, letters: Sequence[DeadLetter], messages: Sequence[bytes | None]) -> None:
        """``messages`` to the topics and with the keys of their ``letters``."""
        ...


class DeadLetterService:
    """Answers with plain values, ready for JSON.

    Args:
        clock: the wall clock: it says which events cannot have happened yet.
        sender: makes what sends again; asked only when something is sent.
        limits: where it stands what a worker may set aside beyond its limit.
        ends: the end of each partition of a topic, as Kafka says it now.
        future_tolerance: how far after now an event may be dated.
    """

    def __init__(
        self,
        store: DeadLetterStore,
        *,
        judge: EventValidator,
        clock: Clock,
        sender: Callable[[], Sender],
        limits: DeadLetterLimitStore,
        ends: Callable[[str], Mapping[int, int]],
        future_tolerance: dt.timedelta,
    ) -> None:
        self._store, self._judge, self._clock, self._sender = store, judge, clock, sender
        self._limits, self._ends = limits, ends
        self._future_tolerance = future_tolerance

    def page(self, wanted: DeadLetterFilter, *, limit: int, after: Position | None = None) -> dict[str, Any]:
        """Counts by reason and one page; ``next`` names where the next page begins, or is None."""
        entries = self._store.entries(wanted, limit=limit, after=after)
        return {
            "counts": dict(self._store.counts(wanted)),
            "letters": [_entry(entry) for entry in entries],
            "next": list(entries[-1].position) if len(entries) == limit else None,
        }

    def show(self, position: Position) -> dict[str, Any] | None:
        """One letter with its bytes, or None."""
        found = self._store.find(position)
        if found is None:
            return None
        letter, entry = found
        return _entry(entry) | {"key": shown(letter.key), "value": shown(letter.value)}

    def preview(self, wanted: DeadLetterFilter) -> dict[str, Any]:
        """What the present rules would make of the letters; nothing is sent."""
        latest = self._clock.now() + self._future_tolerance
        verdicts: Counter[str] = Counter()
        for page in self._pages(wanted):
            for letter in page:
                verdict = self._judge.validate(message_of(letter.value, letter.reason), latest=latest)
                verdicts[str(verdict.reason) if isinstance(verdict, Rejection) else ""] += 1
        accepted = verdicts.pop("", 0)
        return {"accepted": accepted, "refused": dict(sorted(verdicts.items()))}

    def replay(self, wanted: DeadLetterFilter) -> dict[str, Any]:
        """Send the letters again and mark them.

        Raises:
            UnavailableError: Kafka did not take all of a page; what was marked before stays marked.
        """
        now = self._clock.now()
        # What is refused again meanwhile is a new letter: without this bound it would be sent again, and again.
        before = replace(wanted, until=now if wanted.until is None else min(now, wanted.until))
        sent, sender = 0, None
        for page in self._pages(before):
            sender = sender or self._sender()
            sender.send(page, [message_of(letter.value, letter.reason) for letter in page])
            self._store.mark_replayed(page)
            sent += len(page)
        return {"sent": sent}

    def drop(self, wanted: DeadLetterFilter) -> dict[str, Any]:
        """Remove the letters for good.

        Raises:
            ConfigurationError: the filter would take everything.
        """
        if not wanted.has_criteria:
            raise ConfigurationError("Dropping needs a filter.", remedy="Give --reason, --topic, --from or --to.")
        return {"dropped": self._store.drop(wanted)}

    def accept(self, topic: str, partition: int, *, until: int | None = None) -> dict[str, Any]:
        """Let a worker set aside what stands in a partition now, beyond its limit. Once accepted, always accepted.

        Args:
            topic: its name.
            partition: its number.
            until: accept the messages below this offset instead; Kafka need not answer then.

        Raises:
            ConfigurationError: the topic or the partition does not exist, or ends before ``until``.
            UnavailableError: Kafka does not answer.
        """
        try:
            ends = self._ends(topic)
        except UnavailableError as error:
            if until is None:
                raise UnavailableError(
                    error.problem,
                    remedy="Start Kafka; or give --until OFFSET: messages below it are accepted then, and the last line of the"
                    " worker names the last one that it refused.",
                ) from error
            _require_numbers(partition, until)
        else:
            until = _accepted_end(topic, partition, until, ends)
        before = self._limits.limit_state(topic, partition, before=0).accepted_until
        if until > before:
            self._limits.accept(topic, partition, until)
        until = max(until, before)
        log.warning("dead_letters_accepted", topic=topic, partition=partition, until=until)
        return {"topic": topic, "partition": partition, "until": until}

    def _pages(self, wanted: DeadLetterFilter) -> Iterator[Sequence[DeadLetter]]:
        after: Position | None = None
        while page := self._store.dead_letters(wanted, limit=_AT_ONCE, after=after):
            yield page
            after = (page[-1].topic, page[-1].partition, page[-1].offset)


def _accepted_end(topic: str, partition: int, until: int | None, ends: Mapping[int, int]) -> int:
    """The offset below which messages are accepted: what has not come yet is not."""
    if partition not in ends:
        raise ConfigurationError(
            f"The topic {topic!r} has no partition {partition}.", remedy=f"Its partitions are 0 to {max(ends)}."
        )
    if until is not None and until > ends[partition]:
        raise ConfigurationError(
            f"Partition {partition} of {topic} ends at offset {ends[partition]}: messages beyond it have not come yet.",
            remedy="Leave --until out to accept what stands there now.",
        )
    return ends[partition] if until is None else until


def _require_numbers(partition: int, until: int) -> None:
    """Raises: ConfigurationError: a number that the storage cannot hold would turn into another one."""
    if not (0 <= partition < 2**31 and 0 < until < 2**63):
        raise ConfigurationError(
            f"Partition {partition} below offset {until} cannot be: Kafka counts with whole numbers up to 2^31 and 2^63.",
            remedy="Give the partition and the offset that the last line of the worker names.",
        )


def parse_filter(fields: Mapping[str, Any]) -> DeadLetterFilter:
    """A filter from its form in JSON or a query: reason and topic (lists), from and to (RFC 3339 with offset), replayed.

    Raises:
        ConfigurationError: a reason is not in the closed list, or a time cannot be read.
    """
    for name in ("reason", "topic"):
        if not isinstance(fields.get(name, ()), (list, tuple)):
            raise ConfigurationError(f"{name} must be a list.")
    reasons = tuple(str(reason) for reason in fields.get("reason", ()))
    for reason in reasons:
        if reason not in {str(known) for known in Reason}:
            raise ConfigurationError(f"There is no reason {reason!r}.", remedy=f"Reasons: {', '.join(Reason)}.")
    return DeadLetterFilter(
        reasons=reasons,
        topics=tuple(str(topic) for topic in fields.get("topic", ())),
        since=_instant("from", fields.get("from")),
        until=_instant("to", fields.get("to")),
        replayed=bool(fields.get("replayed", False)),
    )


def filter_fields(wanted: DeadLetterFilter) -> dict[str, Any]:
    """The form that ``parse_filter`` reads."""
    fields: dict[str, Any] = {"reason": list(wanted.reasons), "topic": list(wanted.topics), "replayed": wanted.replayed}
    for name, instant in (("from", wanted.since), ("to", wanted.until)):
        if instant is not None:
            fields[name] = instant.isoformat()
    return fields


def _instant(name: str, text: Any) -> dt.datetime | None:
    if text is None:
        return None
    try:
        instant = dt.datetime.fromisoformat(str(text))
        if instant.tzinfo is not None:
            return instant.astimezone(dt.UTC)
    except (ValueError, OverflowError):  # no time, or one that UTC has no date for
        pass
    raise ConfigurationError(
        f"{name!r} must be a time with an offset such as 2024-08-20T08:00:00+07:00, this is {str(text)[:40]!r}."
    )


def _entry(entry: DeadLetterEntry) -> dict[str, Any]:
    fields = asdict(entry)
    for name in ("first_seen", "replayed_at"):
        fields[name] = None if fields[name] is None else fields[name].isoformat(timespec="milliseconds")
    return fields
