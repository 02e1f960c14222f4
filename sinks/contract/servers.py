"""What a server of the storage says of itself: for an examination, which changes nothing."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ServerIdentity:
    """Who answers.

    Attributes:
        version: of the server.
        user: as whom it was asked.
        started: since when it runs.
        ahead: seconds that its clock is ahead of this machine's; negative: behind.
        uncertain: ``ahead`` may be wrong by so many seconds, half the time that the answer took.
    """

    version: str
    user: str
    started: dt.datetime
    ahead: float
    uncertain: float


@dataclass(frozen=True, slots=True)
class Schema:
    """The migrations of a database.

    Attributes:
        missing: numbers of this release that it lacks.
        newer: numbers that this release does not know.
        edited: numbers that were applied with another content.
        newest: the highest applied number; 0: none.
        applied_at: when that was; None: never.
    """

    missing: tuple[int, ...]
    newer: tuple[int, ...]
    edited: tuple[int, ...]
    newest: int
    applied_at: dt.datetime | None


@dataclass(frozen=True, slots=True)
class Disk:
    """A disk of a server (bytes)."""

    name: str
    free: int
    total: int

    @property
    def share(self) -> float:
        """The part that is free."""
        return self.free / self.total


@dataclass(frozen=True, slots=True)
class ReplicaTable:
    """A replicated table on one server.

    Attributes:
        table: its name.
        readonly: whether it takes no rows.
        readonly_since: since when.
        expired: whether the server has no session with the coordination service.
        delay: seconds that it is behind the other replicas.
        queue: entries that it has not worked off.
        oldest: when the oldest of them was made; None without one.
        error: the latest error of its queue; empty: none.
    """

    table: str
    readonly: bool
    readonly_since: dt.datetime | None
    expired: bool
    delay: int
    queue: int
    oldest: dt.datetime | None
    error: str
