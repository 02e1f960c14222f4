"""The table of dossiers: one judged row a dossier, and which dossiers wait to be judged again.

A dossier *waits* while a change of it was noted at or after the time of its row (``judged_at``), or it has no row. That time is
read before its messages are, and changes are noted after they are in the index; so a row that is later than a note has seen its
change. Of several rows of a dossier the one with the larger version holds, so several workers may write the same dossier at once.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import pyarrow as pa

from domain.dossier_milestones import DossierMilestones

_TIME: Final = pa.timestamp("ms", "UTC")
#: A dossier with as many messages and decisions or more is read alone.
MANY: Final = 64
#: Columns of a row; their meaning is in ``domain.dossier_milestones``. ``dossier``: its number, 16 bytes, as in the index.
ROW_SCHEMA: Final = pa.schema(
    [
        ("dossier", pa.binary(16)),
        ("dossier_code", pa.string()),
        ("version", pa.uint64()),
        ("seen", pa.uint64()),
        ("judged_at", _TIME),
        ("state", pa.string()),
        ("submitted_at", _TIME),
        ("submitted_unit", pa.string()),
        ("submitted_procedure", pa.string()),
        ("submitted_status", pa.uint8()),
        ("channel", pa.uint8()),
        ("legacy_level", pa.uint8()),
        ("settled_at", _TIME),
        ("settled_unit", pa.string()),
        ("settled_procedure", pa.string()),
        ("settled_full", pa.bool_()),
        ("settled_full_any_return", pa.bool_()),
        ("given_back_at", _TIME),
        ("first_answer_at", _TIME),
        ("due_at", _TIME),
        ("times", pa.list_(_TIME)),
        ("statuses", pa.list_(pa.uint8())),
        ("dues", pa.list_(_TIME)),
    ]
)


def rows_of(dossiers: Mapping[bytes, DossierMilestones], *, judged_at: dt.datetime) -> pa.Table:
    """The rows (``ROW_SCHEMA``) of dossiers by 16-byte number. ``judged_at``: a time before their messages were read."""
    columns: dict[str, list[object]] = {name: [] for name in ROW_SCHEMA.names}
    for dossier, found in dossiers.items():
        columns["dossier"].append(dossier)
        columns["dossier_code"].append(found.code)
        columns["judged_at"].append(judged_at)
        columns["state"].append(found.state.value)
        for name in _SAME_NAME:
            columns[name].append(getattr(found, name))
    return pa.table([pa.array(columns[field.name], field.type) for field in ROW_SCHEMA], schema=ROW_SCHEMA)


#: Columns that are named as the fields of ``DossierMilestones``.
_SAME_NAME: Final = tuple(name for name in ROW_SCHEMA.names if name not in {"dossier", "dossier_code", "judged_at", "state"})


@dataclass(frozen=True, slots=True)
class Noted:
    """When changes were noted: from ``since`` up to and with ``until``, None for no bound."""

    since: dt.datetime | None = None
    until: dt.datetime | None = None


@dataclass(frozen=True, slots=True)
class WaitingPage:
    """Some of the dossiers that wait.

    Attributes:
        dossiers: ``dossier``, ``dossier_code`` (empty: not known), ``oldest`` (the time of the oldest change that waits, or of a
            later one), ``seen`` (of its row; 0 without one), in the order of numbers.
        last: changes of dossiers up to this number were looked at; None: of all that were asked for.
    """

    dossiers: pa.Table
    last: bytes | None


@dataclass(frozen=True, slots=True)
class WaitingTotal:
    """How many dossiers wait, since when, and where.

    Attributes:
        dossiers: how many.
        oldest: the time of the oldest change that waits, about; None: nothing waits.
        marks: numbers of some of them, in the order of numbers, with about as many dossiers from each to the next (1,000).
    """

    dossiers: int
    oldest: dt.datetime | None
    marks: Sequence[bytes] = ()


@dataclass(frozen=True, slots=True)
class CheckedPage:
    """Some dossiers whose rows were compared with the index.

    Attributes:
        agreeing: ``dossier`` of those whose row knows as many messages and decisions as the index, in the order of numbers.
        differing: ``dossier`` of those whose row is missing, or knows fewer or more messages and decisions than the index,
            although no change of them is noted any more.
        last: dossiers up to this number were compared; None: all.
    """

    agreeing: pa.Table
    differing: pa.Table
    last: bytes | None


@dataclass(frozen=True, slots=True)
class LongHistory:
    """A dossier with many messages.

    Attributes:
        seen: its distinct messages and decisions.
        events: its distinct events.
        rows: as of ``DossierHistories.histories``; only its decisions when it has more events than a dossier may have.
    """

    seen: int
    events: int
    rows: Iterator[pa.RecordBatch]


class DossierTable(Protocol):
    """Keeps the rows of dossiers, and knows which dossiers wait."""

    def now(self) -> dt.datetime:
        """The clock by which changes are noted."""
        ...

    def write(self, rows: pa.Table) -> None:
        """Store rows (``ROW_SCHEMA``); durable when it returns."""
        ...

    def forget(self, dossiers: pa.Table) -> None:
        """Delete the rows of dossiers (``dossier``). For rows that knew more than there is."""
        ...

    def keep(self, dossiers: pa.Table) -> None:
        """Keep the rows of dossiers (``dossier``) as they are: their messages expired. They never wait again."""
        ...

    def rows(self, first: bytes, last: bytes) -> pa.Table:
        """The rows that hold (``ROW_SCHEMA``) of the dossiers from one number to another."""
        ...

    def note(self, dossiers: pa.Table) -> None:
        """Note a change of dossiers (``dossier``)."""
        ...

    def waiting(self, noted: Noted, *, after: bytes | None = None, until: bytes | None = None) -> WaitingPage:
        """The first dossiers after a number, up to and with another, that wait because of changes of a time."""
        ...

    def waiting_total(self, noted: Noted) -> WaitingTotal:
        """All dossiers that wait because of changes of a time."""
        ...

    def waiting_since(self, asked_at: dt.datetime) -> int:
        """How many dossiers wait of which a change was noted at or before a time of ``now``."""
        ...

    def periods_of_changes(self, before: dt.datetime) -> Sequence[Noted]:
        """The periods that ended before a time and of which changes are kept."""
        ...

    def drop_changes(self, period: Noted) -> None:
        """Delete all changes of one of these periods."""
        ...

    def compare_with_index(self, *, after: bytes | None = None) -> CheckedPage:
        """Compare the rows of the first dossiers after a number with the index."""
        ...


class DossierHistories(Protocol):
    """Reads what dossiers are judged by."""

    def histories(self, dossiers: pa.Table) -> pa.Table:
        """The distinct messages and decisions of dossiers (``dossier``), dossier by dossier.

        Returns:
            ``dossier``, ``occurred_at``, ``event_id``, ``id``, ``agency``, ``procedure_code``, ``due_at``, ``facts`` as
            ``DossierIndex.histories``; at most ``MANY`` rows of a dossier.
        """
        ...

    def long_history(self, dossier: bytes) -> LongHistory:
        """The same of one dossier, however many there are."""
        ...

    def codes(self, rows: pa.Table) -> Mapping[bytes, str]:
        """The codes of dossiers by rows of ``histories``, one each; those without a stored message or decision are missing."""
        ...
