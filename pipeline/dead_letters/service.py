"""Operations on dead letters: list, show, replay, drop, accept. Commands call them directly or over HTTP.

A replay may be repeated: an event has an id, so a message that is sent twice counts once. A dead letter is marked as replayed
after Kafka acknowledged its message. Only the worker decides whether the message is valid now. A message that the worker rejects
again becomes a new dead letter at its new offset.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, Protocol

from domain.clock import Clock
from domain.errors import ConfigurationError, UnavailableError, refuse_unknown
from domain.events import Reason, Rejection
from domain.periods import parse_instant
from pipeline.dead_letters.message import message_of, shown
from pipeline.decode.validator import EventValidator
from pipeline.logs import get_logger
from sinks.contract.dead_letters import (
    DeadLetter,
    DeadLetterEntry,
    DeadLetterFilter,
    DeadLetterLimitStore,
    DeadLetterStore,
    Kept,
    Position,
)

#: Dead letters in memory at once during a replay: each may be as large as the broker allows.
_BATCH_SIZE = 200
#: Most dead letters on one page.
MAX_PAGE_SIZE = 1_000

log = get_logger("dead_letters")


class Sender(Protocol):
    """Sends messages to Kafka and returns when all of them are acknowledged."""

    def send(self, dead_letters: Sequence[DeadLetter], messages: Sequence[bytes | None]) -> None:
        """Send each message to the topic of its dead letter, with the dead letter's key. Both sequences have the same length."""
        ...


class DeadLetterService:
    """Operations on dead letters. Returns plain values, ready for JSON.

    Args:
        store: the stored dead letters.
        validator: says whether a message would be accepted now.
        clock: the wall clock; events dated later than now plus ``future_tolerance`` are invalid.
        sender: makes the sender of messages; called only when something is sent.
        limits: stores up to which offset a worker may dead-letter messages beyond its limit.
        ends: asks Kafka for the current end of each partition of a topic.
        future_tolerance: see ``clock``.
        portal_of: the portal to which a topic belongs; None: any agency may report in it.
    """

    def __init__(
        self,
        store: DeadLetterStore,
        *,
        validator: EventValidator,
        clock: Clock,
        sender: Callable[[], Sender],
        limits: DeadLetterLimitStore,
        ends: Callable[[str], Mapping[int, int]],
        future_tolerance: dt.timedelta,
        portal_of: Callable[[str], str | None] = lambda _topic: None,
    ) -> None:
        self._store, self._validator, self._clock, self._sender = store, validator, clock, sender
        self._limits, self._ends = limits, ends
        self._future_tolerance, self._portal_of = future_tolerance, portal_of

    def page(self, criteria: DeadLetterFilter, *, limit: int, after: Position | None = None) -> dict[str, Any]:
        """Counts by reason, and one page of dead letters. ``next``: the position after which the next page begins, or None."""
        entries = self._store.entries(criteria, limit=limit, after=after)
        return {
            "counts": dict(self._store.counts(criteria)),
            "letters": [_entry(entry) for entry in entries],
            "next": list(entries[-1].position) if len(entries) >= limit else None,
        }

    def show(self, position: Position) -> dict[str, Any] | None:
        """The latest dead letter at a position and what is kept of its message; None: there is none.

        ``kept``: ``message`` (key and value as received), ``fields`` (the known fields of a message that parses) or ``removed``.

        ``earlier``: dead letters that had the same position before the topic was recreated or truncated, the latest first.
        """
        found = [
            _entry(entry)
            | {
                name: None if entry.kept is Kept.REMOVED else shown(content)
                for name, content in (("key", dead_letter.key), ("value", dead_letter.value))
            }
            for dead_letter, entry in self._store.find(position)
        ]
        return found[0] | {"earlier": found[1:]} if found else None

    def preview(self, criteria: DeadLetterFilter) -> dict[str, Any]:
        """How many messages the validator would accept now, and refuse by reason; sends nothing. ``removed``: bytes are gone."""
        latest = self._clock.now() + self._future_tolerance
        verdicts: Counter[str] = Counter()
        removed = 0
        for page in self._pages(criteria):
            there = _there(page)
            removed += len(page) - len(there)
            for dead_letter in there:
                message, portal = message_of(dead_letter.value, dead_letter.reason), self._portal_of(dead_letter.topic)
                verdict = self._validator.validate(message, latest=latest, portal=portal)
                verdicts[str(verdict.reason) if isinstance(verdict, Rejection) else ""] += 1
        accepted = verdicts.pop("", 0)
        return {"accepted": accepted, "refused": dict(sorted(verdicts.items())), "removed": removed}

    def replay(self, criteria: DeadLetterFilter) -> dict[str, Any]:
        """Send the messages again and mark their dead letters as replayed.

        ``sent``: number of messages sent. ``removed``: number of dead letters whose bytes were removed, so nothing can be sent.

        Raises:
            UnavailableError: Kafka did not acknowledge all messages of a batch. Earlier batches stay marked.
        """
        # A message that is rejected again becomes a new dead letter. Without this bound it would be sent in a loop. The storage's
        # clock dates dead letters: with a server ahead of this machine none would be sent, with one behind the loop would begin.
        now = self._store.now()
        before = replace(criteria, until=now if criteria.until is None else min(now, criteria.until))
        sent, removed, sender = 0, 0, None
        for page in self._pages(before):
            there = _there(page)
            removed += len(page) - len(there)
            if there:
                sender = sender or self._sender()
                sender.send(there, [message_of(dead_letter.value, dead_letter.reason) for dead_letter in there])
                self._store.mark_replayed(there)
                sent += len(there)
        return {"sent": sent, "removed": removed}

    def drop(self, criteria: DeadLetterFilter) -> dict[str, Any]:
        """Remove dead letters permanently.

        Raises:
            ConfigurationError: the filter has no criteria.
        """
        if not criteria.has_criteria:
            raise ConfigurationError("Dropping needs a filter.", remedy="Give --reason, --topic, --from or --to.")
        return {"dropped": self._store.drop(criteria)}

    def accept(self, topic: str, partition: int, *, until: int | None = None) -> dict[str, Any]:
        """Let workers dead-letter the messages that a partition has now without counting them for the dead-letter limit.

        An acceptance is permanent.

        Args:
            topic: name of the topic.
            partition: number of the partition.
            until: accept the messages below this offset; None for the current end of the partition, which needs Kafka.

        Raises:
            ConfigurationError: the topic or the partition does not exist, or ends before ``until``.
            UnavailableError: Kafka does not answer, and no message is known to be at ``until`` or beyond.
        """
        try:
            ends = self._ends(topic)
        except UnavailableError as error:
            _require_numbers(partition, 1 if until is None else until)
            # Messages beyond the end have not come yet. An acceptance of them would switch the limit off when they come.
            known = self._known_end(topic, partition)
            if until is None or until > known:
                otherwise = f" Without Kafka, --until may be at most {known}." if known else ""
                raise UnavailableError(
                    f"{error.problem} The end of partition {partition} of {topic} is not known.",
                    remedy=f"{error.remedy}{otherwise}",
                ) from error
        else:
            until = _accepted_end(topic, partition, until, ends)
        before = self._limits.limit_state(topic, partition, before=0).accepted_until
        if until > before:
            self._limits.accept(topic, partition, until)
        until = max(until, before)
        log.warning("dead_letters_accepted", topic=topic, partition=partition, until=until)
        return {"topic": topic, "partition": partition, "until": until}

    def _known_end(self, topic: str, partition: int) -> int:
        """The end of a partition as far as the storage knows it: the offset after the latest known or accepted message."""
        state = self._limits.limit_state(topic, partition, before=0)
        return max(self._store.latest_offset(topic, partition) + 1, state.newest + 1, state.accepted_until)

    def _pages(self, criteria: DeadLetterFilter) -> Iterator[Sequence[DeadLetter]]:
        after: Position | None = None
        while page := self._store.dead_letters(criteria, limit=_BATCH_SIZE, after=after):
            yield page
            after = page[-1].position


def _accepted_end(topic: str, partition: int, until: int | None, ends: Mapping[int, int]) -> int:
    """The offset below which messages are accepted: ``until``, or the end of the partition when it is None.

    Raises:
        ConfigurationError: the partition does not exist, or ends before ``until``.
    """
    if partition not in ends:
        raise ConfigurationError(
            f"The topic {topic!r} has no partition {partition}.", remedy=f"Its partitions are 0 to {max(ends)}."
        )
    if until is not None and until > ends[partition]:
        raise ConfigurationError(
            f"Partition {partition} of {topic} ends at offset {ends[partition]}: there are no messages beyond it yet.",
            remedy="Omit --until to accept every message that is there now.",
        )
    return ends[partition] if until is None else until


def _require_numbers(partition: int, until: int) -> None:
    """Check that the storage can hold a partition's number and an offset.

    Raises:
        ConfigurationError: a number is out of range.
    """
    if not (0 <= partition < 2**31 and 0 < until < 2**63):
        raise ConfigurationError(
            f"Partition {partition} below offset {until} is impossible: Kafka uses whole numbers below 2^31 and 2^63.",
            remedy="Give the partition and the offset that the last line of the worker's log names.",
        )


#: What a filter may have, see ``parse_filter``.
FILTER_FIELDS = frozenset({"reason", "topic", "from", "to", "replayed"})


def parse_filter(fields: Mapping[str, Any]) -> DeadLetterFilter:
    """Parse a filter from JSON or a query: reason and topic (lists), from and to (RFC 3339 with offset), replayed.

    Raises:
        ConfigurationError: a field or a reason does not exist, or a field has the wrong form.
    """
    refuse_unknown("field", fields.keys(), FILTER_FIELDS)  # without it, a wrong name would select every dead letter
    if not isinstance(fields.get("replayed", False), bool):
        raise ConfigurationError("replayed must be true or false.")
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
        replayed=fields.get("replayed", False),
    )


def filter_fields(criteria: DeadLetterFilter) -> dict[str, Any]:
    """A filter as the fields from which ``parse_filter`` makes it."""
    fields: dict[str, Any] = {"reason": list(criteria.reasons), "topic": list(criteria.topics), "replayed": criteria.replayed}
    for name, instant in (("from", criteria.since), ("to", criteria.until)):
        if instant is not None:
            fields[name] = instant.isoformat()
    return fields


def _instant(name: str, text: Any) -> dt.datetime | None:
    if text is None:
        return None
    try:
        instant = parse_instant(str(text))
        if instant.tzinfo is not None:
            return instant.astimezone(dt.UTC)
    except (ValueError, OverflowError):  # not a time, or out of range in UTC
        pass
    raise ConfigurationError(f"{name!r} must be a time with an offset such as 2024-08-20T08:00:00+07:00, not {str(text)[:40]!r}.")


def _there(dead_letters: Sequence[DeadLetter]) -> Sequence[DeadLetter]:
    """The dead letters whose message was not removed."""
    return [dead_letter for dead_letter in dead_letters if dead_letter.kept is not Kept.REMOVED]


def _entry(entry: DeadLetterEntry) -> dict[str, Any]:
    fields = asdict(entry)
    for name in ("first_seen", "replayed_at", "removed_at"):
        fields[name] = None if fields[name] is None else fields[name].isoformat(timespec="milliseconds")
    return fields
