"""The steps of ``portalpulse retention``: show and plan what expires, let one share expire. Plain values, ready for JSON."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Generator, Sequence
from typing import Any, Final, Protocol, TypeVar, cast

from domain.clock import Clock
from domain.errors import ConfigurationError
from domain.periods import VIETNAM, civil_day, day_start
from pipeline.retention.messages import Expired, MessageRetention
from pipeline.settings import RetentionSettings
from sinks.contract.audit import HashShard
from sinks.contract.dead_letters import DeadLetterFilter, DeadLetterStore
from sinks.contract.dossier_audit import Finished
from sinks.contract.expiry import ExpiredTotal, TableSize, Waiting
from sinks.tables import DOSSIER_CORRECTIONS, DOSSIER_INDEX, DOSSIER_MESSAGES

Result = TypeVar("Result")
#: Events of finished dossiers in one share, about: some hundred bytes of memory each for a block of them.
SHARE_EVENTS: Final = 1_000_000


class RetentionSteps(Protocol):
    """The steps of the command ``retention``, done in this process or in the one with the storage."""

    def show(self) -> dict[str, Any]:
        """How much is stored, from when on, and how much would expire now."""
        ...

    def plan(self, *, take_over: bool) -> dict[str, Any]:
        """Complete earlier runs; return the shares of dossiers that are to expire."""
        ...

    def share(self, share: dict[str, Any]) -> dict[str, Any]:
        """Let one share of the plan expire; return the numbers of dossiers and messages."""
        ...

    def remove(self) -> dict[str, Any]:
        """Delete the messages that expired, and old dead letters; return the number of these dead letters."""
        ...


class RetentionService:
    """Implements ``RetentionSteps``.

    Args:
        parts: the ``MessageRetention`` of the server, or of each shard.
        dead_letters: the stored dead letters.
        settings: how long messages and dead letters are kept.
        clock: gives today; in a scenario its fixed day.
        now: the storage's clock, which gives dead letters and rows of dossiers their times.
        share_events: see ``SHARE_EVENTS``.
    """

    def __init__(
        self,
        parts: Sequence[MessageRetention],
        dead_letters: DeadLetterStore,
        *,
        settings: RetentionSettings,
        clock: Clock,
        now: Callable[[], dt.datetime],
        share_events: int = SHARE_EVENTS,
    ) -> None:
        self._parts, self._dead_letters, self._settings = tuple(parts), dead_letters, settings
        self._clock, self._now, self._share_events = clock, now, share_events

    def show(self) -> dict[str, Any]:
        """See ``RetentionSteps``."""
        finished = self._finished()
        waiting = [Waiting(0, 0) if finished is None else part.expiry.waiting(finished) for part in self._parts]
        sizes = _added([part.expiry.sizes() for part in self._parts])
        expired = sum((part.expiry.total() for part in self._parts), ExpiredTotal())
        events = sum(each.events for each in waiting)
        return {
            "messages": {
                "days": self._settings.messages_days,
                "older_than": None if finished is None else _local(finished.older_than),
                "dossiers": sum(each.dossiers for each in waiting),
                "events": events,
                "bytes": _bytes_of(events, sizes),
            },
            "dead_letters": {
                "days": self._settings.dead_letters_days,
                "older_than": None if (before := self._dead_letters_before()) is None else _local(before),
                "letters": self._old_dead_letters(),
            },
            "expired": _expired(expired),
            "tables": [{"table": size.table, "rows": size.rows, "bytes": size.bytes, "first": size.first} for size in sizes],
        }

    def plan(self, *, take_over: bool) -> dict[str, Any]:
        """See ``RetentionSteps``."""
        for part in self._parts:
            _to_end(part.recover(take_over=take_over))
        finished = self._finished()
        shares: list[dict[str, Any]] = []
        for number, part in enumerate(self._parts):
            waiting = Waiting(0, 0) if finished is None else part.expiry.waiting(finished)
            if finished is None or not waiting.dossiers:
                continue
            count = max(1, -(-waiting.events // self._share_events))
            older_than = finished.older_than.isoformat()
            shares += [{"part": number, "index": index, "count": count, "older_than": older_than} for index in range(count)]
        return {"shares": shares}

    def share(self, share: dict[str, Any]) -> dict[str, Any]:
        """See ``RetentionSteps``.

        Raises:
            ConfigurationError: ``share`` is not one that a plan lists, or the settings changed since the plan.
        """
        try:
            part = self._parts[int(share["part"])]
            older_than = dt.datetime.fromisoformat(share["older_than"])
            shard = HashShard(int(share["index"]), int(share["count"]))
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise ConfigurationError("This share is not one of a plan.", remedy="Send a share as the plan lists it.") from error
        finished = self._finished()
        if finished is None or older_than.tzinfo is None or older_than > finished.older_than:
            raise ConfigurationError(
                "The settings now keep messages that this plan would let expire.", remedy="Ask for the plan again."
            )
        done: Expired = _to_end(part.expire(shard, Finished(older_than, finished.quiet)))
        return {"dossiers": done.dossiers, "messages": done.messages, "skipped": done.skipped}

    def remove(self) -> dict[str, Any]:
        """See ``RetentionSteps``. A deleted dead letter leaves a mark: it stays counted, and is not stored again."""
        for part in self._parts:
            _to_end(part.remove())
        before = self._dead_letters_before()
        dropped = 0 if before is None else self._dead_letters.drop(DeadLetterFilter(until=before, replayed=True))
        return {"dead_letters": dropped}

    def _finished(self) -> Finished | None:
        """Which dossiers may expire; None: the settings keep all messages."""
        days = self._settings.messages_days
        if not days:
            return None
        older_than = day_start(civil_day(self._clock.now()) - dt.timedelta(days=days))
        return Finished(older_than, self._now() - dt.timedelta(days=self._settings.quiet_days))

    def _dead_letters_before(self) -> dt.datetime | None:
        days = self._settings.dead_letters_days
        return self._now() - dt.timedelta(days=days) if days else None

    def _old_dead_letters(self) -> int:
        before = self._dead_letters_before()
        return 0 if before is None else sum(self._dead_letters.counts(DeadLetterFilter(until=before, replayed=True)).values())


def _to_end(steps: Generator[str, None, Result]) -> Result:
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return cast("Result", end.value)


def _added(parts: Sequence[Sequence[TableSize]]) -> list[TableSize]:
    """For each table the sum of its sizes in all parts."""
    return [
        TableSize(
            same[0].table,
            sum(size.rows for size in same),
            sum(size.bytes for size in same),
            min((size.first for size in same if size.rows), default=""),
        )
        for same in zip(*parts, strict=True)
    ]


def _bytes_of(events: int, sizes: Sequence[TableSize]) -> int:
    """About how many bytes ``events`` messages occupy in the tables ``sizes``."""
    of = {size.table: size for size in sizes}
    rows = of[DOSSIER_MESSAGES].rows
    size = sum(of[table].bytes for table in (DOSSIER_MESSAGES, DOSSIER_INDEX, DOSSIER_CORRECTIONS))
    return round(events * size / rows) if rows else 0


def _expired(total: ExpiredTotal) -> dict[str, Any]:
    return {
        "dossiers": total.dossiers,
        "messages": total.messages,
        "older_than": None if total.older_than is None else _local(total.older_than),
        "late": total.late,
    }


def _local(instant: dt.datetime) -> str:
    return str(instant.astimezone(VIETNAM).isoformat(timespec="seconds"))
