"""The store of events: inserts, recounts of tallies, and records of unread offsets."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

from sinks.contract.dead_letters import DeadLetter
from sinks.contract.tallies import Days, Span


class UnreadCause(enum.StrEnum):
    """Why offsets left the log before they were read."""

    DELETED = "deleted"  # retention or DeleteRecords
    TRUNCATED = "truncated"  # a leader that did not have them was elected
    RECREATED = "recreated"  # the topic was deleted, and perhaps created again


@dataclass(frozen=True, slots=True)
class UnreadRange:
    """Offsets ``first`` up to, not including, ``end`` of one partition, which left the log before ``group`` read them.

    The number of messages in them is unknown: ends of transactions and aborted messages have offsets, too.
    """

    topic: str
    partition: int
    first: int
    end: int
    group: str
    cause: UnreadCause


class EventStore(Protocol):
    """Where a worker writes.

    Order of use: store events, recount their minutes, then their days and procedures, then ``check_tables``.
    """

    def insert_events(self, rows: pa.Table) -> None:
        """Store events (``pipeline.ingest.event_rows.ROW_SCHEMA``). Durable when it returns."""
        ...

    def insert_dead_letters(self, dead_letters: Sequence[DeadLetter]) -> None:
        """Store dead letters. Durable when it returns."""
        ...

    def insert_unread(self, ranges: Sequence[UnreadRange]) -> None:
        """Record unread offsets. Durable when it returns."""
        ...

    def recount_minutes(self, span: Span) -> None:
        """Recount the tallies of every (agency, minute) of the span from the stored messages and corrections."""
        ...

    def roll_up_days(self, days: Days) -> None:
        """Sum the minute tallies of every (agency, civil day) again, and store the sums as day tallies."""
        ...

    def recount_procedures(self, days: Days) -> None:
        """Recount the tallies of every (agency, civil day, procedure) from the stored messages and corrections."""
        ...

    def check_tables(self) -> None:
        """Check that nothing hides stored events from the recounts, and that no table deletes rows by itself.

        Somebody may change row policies or tables at any time. So acknowledge what a recount counted only after a call of this
        method that began when the recount had ended.

        Raises:
            Fatal: rows are hidden or deleted.
        """
        ...
