"""The steps of an audit and what they return.

Each step is small: one day, one hash shard of all event ids and dossier codes, or one range of offsets.

``pipeline.audit.service`` does them; ``pipeline.cli.remote_audit`` asks a running process to.
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
    """Offsets of one partition: in the log, acknowledged by the group, and the highest one in the storage."""

    partition: int
    begin: int
    committed: int | None
    end: int
    highest_kept: int | None
    topic: str = ""  # of a portal; empty: the only one


@dataclass(frozen=True, slots=True)
class TopicOffsets:
    """Every partition of every topic, ascending. ``topic``: the name of the only one, or what stands for those of portals."""

    topic: str
    partitions: tuple[PartitionOffsets, ...]


@dataclass(frozen=True, slots=True)
class UnreadOffsets:
    """Unread offsets from ``first`` up to, not including, ``end``. ``kept``: how many are stored anyway."""

    partition: int
    first: int
    end: int
    kept: int
    topic: str = ""  # of a portal; empty: the only one


@dataclass(frozen=True, slots=True)
class UnreadLog:
    """Disjoint ranges of unread offsets, by partition and offset."""

    topic: str
    ranges: tuple[UnreadOffsets, ...]


@dataclass(frozen=True, slots=True)
class LookedUp:
    """Messages looked up in the storage, how many are not there, and the offsets of some of these."""

    messages: int
    missing: int
    examples: tuple[int, ...]


class AuditSteps(Protocol):
    """Every step raises SinkError or PortalPulseError when the storage, Kafka or the running process does not answer."""

    def days(self, first: dt.date | None, last: dt.date | None) -> Mapping[dt.date, int]:
        """Civil days with events or tallies, ascending, and the rows of events of each; bounds included, None for none."""
        ...

    def compare(self, day: dt.date, *, settle: float) -> DayComparison:
        """Compare a day.

        With ``settle`` 0 every stored event must be tallied. Otherwise events that the workers have in hand need not be. When
        Kafka cannot say which these are, events stored within the last ``settle`` seconds need not be.
        """
        ...

    def contradictions(self, day: dt.date) -> Repeats:
        """Events of a day that are stored with different contents."""
        ...

    def reused_event_ids(self, days: tuple[dt.date, dt.date] | None, shard: HashShard) -> Repeats:
        """Ids that are used in several dossiers, of one hash shard of all ids; ``days``: both ends included, None for all."""
        ...

    def dossiers(self, selection: DossierSelection, *, settle: float) -> DossierFaults:
        """Check the index rows and corrections of the selected dossiers. ``settle`` as in ``compare``."""
        ...

    def repair_dossiers(self, selection: DossierSelection, *, settle: float) -> RepairedDossiers:
        """Repair the index rows and corrections of the selected dossiers. Recount the days that it returns afterwards."""
        ...

    def repair(self, day: dt.date, agencies: Sequence[str] | None, *, raise_epoch: bool) -> int | None:
        """Recount a day in every tier, for some agencies or all; returns the new epoch when it was raised.

        With ``raise_epoch`` recounts replace every tally there is, whatever its version.
        """
        ...

    def compact(self, days: Sequence[dt.date]) -> str:
        """Remove the rows that a raised epoch replaced. Returns why it failed, empty when it did not; the rows then stay."""
        ...

    def partitions(self) -> TopicOffsets:
        """Offsets of every partition."""
        ...

    def unread(self) -> UnreadLog:
        """Recorded offsets that left the log before a worker read them.

        Some may be stored anyway: a worker that dies between storing and acknowledging messages leaves such ranges.
        """
        ...

    def expired(self) -> ExpiredTotal:
        """The messages that expired: what they count as is kept, and no longer compared with them."""
        ...

    def verify(self, partition: int, begin: int, end: int, *, topic: str = "") -> LookedUp:
        """Read the messages of a range from the log and look each up in the storage."""
        ...
