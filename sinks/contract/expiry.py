"""Expired messages: what is left of the messages of finished dossiers, and the steps by which they expire.

A message expires when a row that says what it counts as replaces it. The steps of a run are ``begin``, ``record``, ``switch``,
``entomb``, then a look at the dossiers of ``late``, and ``remove`` and ``finish``. ``switch`` lets all recorded rows count in the
place of the messages at one moment. A run that breaks off after ``switch`` is completed by a later run; a run that breaks off
before is given up.

A dossier whose messages expired has a *tombstone* in the index: a decision that excludes it, later than every other. So a new
event that arrives afterwards counts in ``events`` and as nothing else; a repeat of a known event counts as nothing.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import pyarrow as pa

from domain.errors import PortalPulseError
from sinks.contract.dossier_audit import DossierSelection, Finished
from sinks.contract.exclusions import EXCLUDED_FACT

#: The time of a tombstone, and of the judgement of a row that is kept as it is: later than all others.
FOR_EVER: Final = dt.datetime(2200, 1, 1, tzinfo=dt.UTC)
#: The bit of ``facts`` that tells a tombstone from a decision of an operator.
TOMBSTONE_FACT: Final = 1 << 15
#: ``facts`` of a tombstone.
TOMBSTONE: Final = TOMBSTONE_FACT | EXCLUDED_FACT
#: Columns of a message that expires. ``counts_as``: bits of ``domain.dossier_columns.BITS``. ``number``: of the message within
#: its dossier. ``weight``: see migration 0021.
RECORD_SCHEMA: Final = pa.schema(
    [
        ("dossier", pa.binary(16)),
        ("occurred_at", pa.timestamp("ms", "UTC")),
        ("event_id", pa.string()),
        ("agency", pa.string()),
        ("procedure_code", pa.string()),
        ("status", pa.uint8()),
        ("number", pa.uint32()),
        ("counts_as", pa.uint16()),
        ("weight", pa.uint32()),
    ]
)


class BusyError(PortalPulseError):
    """Another run of the retention is in progress, or replaced this one."""


def is_tombstone(facts: np.ndarray) -> np.ndarray:
    """Whether each row of the index is a tombstone."""
    found: np.ndarray = (facts & np.uint16(TOMBSTONE_FACT)) != 0
    return found


@dataclass(frozen=True, slots=True)
class Runs:
    """The runs that must be completed or given up.

    Attributes:
        unfinished: runs that were switched on (in force) and are not finished.
        begun: runs that were neither switched on nor given up, each with the seconds since it began.
    """

    unfinished: tuple[int, ...] = ()
    begun: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Waiting:
    """How many dossiers are finished and may expire, and how many distinct events they have."""

    dossiers: int
    events: int


@dataclass(frozen=True, slots=True)
class ExpiredTotal:
    """How many messages and dossiers have expired so far.

    ``older_than``: no message at or after this time has expired; None: no message has. ``late``: messages that arrived for the
    expired dossiers afterwards.
    """

    messages: int = 0
    dossiers: int = 0
    older_than: dt.datetime | None = None
    late: int = 0

    def __add__(self, other: ExpiredTotal) -> ExpiredTotal:
        """The totals of two shards added up; the later of the two ``older_than`` holds."""
        bounds = [at for at in (self.older_than, other.older_than) if at is not None]
        return ExpiredTotal(
            self.messages + other.messages, self.dossiers + other.dossiers, max(bounds, default=None), self.late + other.late
        )


@dataclass(frozen=True, slots=True)
class TableSize:
    """A table: its rows, repeats included, its bytes on disk, and its first partition: a month (202401), a year, or empty."""

    table: str
    rows: int
    bytes: int
    first: str


class MessageExpiry(Protocol):
    """Lets the messages of one server or one shard expire.

    Everything is durable when a call returns, and each call may be repeated.
    """

    def begin(self, older_than: dt.datetime) -> int:
        """Begin a run; returns its number, which is higher than that of every earlier run."""
        ...

    def waiting(self, finished: Finished) -> Waiting:
        """How many dossiers are finished, and how many events they have."""
        ...

    def candidates(self, selection: DossierSelection) -> pa.Table:
        """The selected dossiers that are finished: ``dossier``, and ``seen`` (messages and decisions that its row knows)."""
        ...

    def record(self, run: int, messages: pa.Table, dossiers: pa.Table) -> None:
        """Store what the messages of a run count as (``RECORD_SCHEMA``), and their dossiers (``dossier``, ``seen``)."""
        ...

    def switch(self, run: int) -> None:
        """Let everything that a run recorded count in the place of the messages.

        Raises:
            BusyError: the run was given up, or another one began. Nothing has changed.
        """
        ...

    def entomb(self, run: int) -> None:
        """Write a tombstone for each dossier of a run, and keep the dossier's row in the table of dossiers as it is."""
        ...

    def late(self, run: int) -> pa.Array:
        """The dossiers of a run (16 bytes each) of which the index has more messages and decisions than were recorded."""
        ...

    def remove(self, runs: Sequence[int]) -> None:
        """Delete the messages that these runs recorded, with their index rows and corrections."""
        ...

    def finish(self, run: int) -> None:
        """Record that a run is complete: no step of it is left."""
        ...

    def runs(self) -> Runs:
        """The runs that must be completed or given up."""
        ...

    def give_up(self, run: int) -> None:
        """Give up a run that was not switched on, and delete what it recorded."""
        ...

    def total(self) -> ExpiredTotal:
        """How many messages and dossiers have expired so far."""
        ...

    def sizes(self) -> Sequence[TableSize]:
        """The sizes of the tables that grow over time."""
        ...
