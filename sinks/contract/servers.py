"""What a server of the storage reports about itself. `portalpulse doctor` reads it; nothing here changes the server."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ServerIdentity:
    """The server that answered.

    Attributes:
        version: the version of the server.
        user: the user with whom the server was asked.
        started: when the server started.
        ahead: seconds by which the server's clock is ahead of this machine's; negative: behind.
        uncertain: the possible error of ``ahead`` in seconds: half the time that the answer took.
    """

    version: str
    user: str
    started: dt.datetime
    ahead: float
    uncertain: float


@dataclass(frozen=True, slots=True)
class Schema:
    """Which migrations a database has, compared with those of this release.

    Attributes:
        missing: numbers of migrations of this release that were not applied.
        newer: numbers of applied migrations that this release does not know.
        edited: numbers of migrations that were applied with another content than this release has.
        newest: the highest applied number; 0: none.
        applied_at: when the migration ``newest`` was applied; None: never.
    """

    missing: tuple[int, ...]
    newer: tuple[int, ...]
    edited: tuple[int, ...]
    newest: int
    applied_at: dt.datetime | None


@dataclass(frozen=True, slots=True)
class Disk:
    """A disk of a server, with its free and its total bytes."""

    name: str
    free: int
    total: int

    @property
    def share(self) -> float:
        """The free share of the disk, 0 to 1."""
        return self.free / self.total


@dataclass(frozen=True, slots=True)
class ReplicaTable:
    """The state of a replicated table on one server.

    Attributes:
        table: its name.
        readonly: whether this replica takes no rows.
        readonly_since: since when it is read-only; None: it is not, or the server does not tell.
        expired: whether the server has lost its session with the coordination service.
        delay: seconds by which this replica is behind the other replicas.
        queue: entries of the replication queue that this replica has not processed.
        oldest: when the oldest of these entries was made; None without one.
        error: the latest error of the queue; empty: none.
    """

    table: str
    readonly: bool
    readonly_since: dt.datetime | None
    expired: bool
    delay: int
    queue: int
    oldest: dt.datetime | None
    error: str
