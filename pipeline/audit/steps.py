"""The interface of the steps of an audit, and the values that they return.

Each step is small: one day, one hash shard of all event ids or dossier codes, or one range of offsets.

``pipeline.audit.service`` does the steps; ``pipeline.cli.remote_audit`` asks a running process to do them.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from pipeline.audit.dossier_check import DossierFaults
from pipeline.audit.dossier_repair import RepairedDossiers
from pipeline.audit.drift import DayComparison
from sinks.contract.audit import HashShard, Repeats
from sinks.contract.dossier_audit import DossierSelection
from sinks.contract.expiry import ExpiredTotal


@dataclass(frozen=True, slots=True)
class PartitionOffsets:
    """Offsets of one partition.

    Attributes:
        partition: number of the partition.
        begin, end: the first offset that is still in the log, and the offset after the last.
        committed: the next offset to read that the group acknowledged; None: it acknowledged nothing.
        highest_kept: the highest offset of a stored message or dead letter; None: nothing is stored.
        topic: the topic of a portal; empty: there is only one topic.
    """

    partition: int
    begin: int
    committed: int | None
    end: int
    highest_kept: int | None
    topic: str = ""  # of a portal; empty: the only one


@dataclass(frozen=True, slots=True)
class TopicOffsets:
    """Every partition of every topic, ascending. ``topic``: the only topic, or a name for all topics of portals together."""

    topic: str
    partitions: tuple[PartitionOffsets, ...]


@dataclass(frozen=True, slots=True)
class UnreadOffsets:
    """Unread offsets from ``first`` up to, not including, ``end``. ``kept``: of how many the message is stored anyway."""

    partition: int
    first: int
    end: int
    kept: int
    topic: str = ""  # of a portal; empty: the only one


@dataclass(frozen=True, slots=True)
class UnreadLog:
    """Disjoint ranges of unread offsets, sorted by partition and offset."""

    topic: str
    ranges: tuple[UnreadOffsets, ...]


@dataclass(frozen=True, slots=True)
class LookedUp:
    """Number of messages looked up in the storage, number of those missing there, and the offsets of some missing ones."""

    messages: int
    missing: int
    examples: tuple[int, ...]


class AuditSteps(Protocol):
    """The steps of an audit.

    Every step raises SinkError or PortalPulseError when the storage, Kafka or the running process does not answer.
    """

    def days(self, first: dt.date | None, last: dt.date | None) -> Mapping[dt.date, int]:
        """Civil day with events or tallies -> number of event rows, ascending. ``first``, ``last``: included; None: no bound."""
        ...

    def compare(self, day: dt.date, *, settle: float) -> DayComparison:
        """Compare the tallies of a day with its stored events.

        With ``settle`` 0 every stored event must be tallied. Otherwise events that the workers have in hand need not be tallied.
        When Kafka cannot say which these are, events stored within the last ``settle`` seconds need not be tallied.
        """
        ...

    def contradictions(self, day: dt.date) -> Repeats:
        """Events of a day that are stored with different contents."""
        ...

    def reused_event_ids(self, days: tuple[dt.date, dt.date] | None, shard: HashShard) -> Repeats:
        """Event ids used in several dossiers, of one hash shard of all ids. ``days``: first and last, included; None: all."""
        ...

    def dossiers(self, selection: DossierSelection, *, settle: float) -> DossierFaults:
        """Check the index rows and corrections of the selected dossiers. ``settle`` as in ``compare``."""
        ...

    def repair_dossiers(self, selection: DossierSelection, *, settle: float) -> RepairedDossiers:
        """Repair the index rows and corrections of the selected dossiers. The caller must recount the returned days."""
        ...

    def repair(self, day: dt.date, agencies: Sequence[str] | None, *, raise_epoch: bool) -> int | None:
        """Recount a day in every tier, for some agencies, or all when None; return the new epoch, None when none was raised.

        With ``raise_epoch`` recounts replace every stored tally, whatever its version.
        """
        ...

    def compact(self, days: Sequence[dt.date]) -> str:
        """Remove the rows of these days that a raised epoch replaced.

        Returns:
            Why this failed, so that rows stay; empty: they are removed.
        """
        ...

    def partitions(self) -> TopicOffsets:
        """Offsets of every partition in the log, acknowledged, and in the storage."""
        ...

    def unread(self) -> UnreadLog:
        """The recorded ranges of offsets that left the log before a worker read them.

        Some of their messages may be stored anyway: by a worker that died between storing and acknowledging them.
        """
        ...

    def expired(self) -> ExpiredTotal:
        """How many messages and dossiers expired: what they count as is kept, and can no longer be compared with them."""
        ...

    def verify(self, partition: int, begin: int, end: int, *, topic: str = "") -> LookedUp:
        """Read the messages from ``begin`` up to, not including, ``end`` from the log and look up each in the storage."""
        ...
