"""The table of dossiers: one row for each judged dossier, and which dossiers wait to be judged again.

A dossier *waits* while a change of it was noted at or after the time of its row (``judged_at``), or it has a noted change and no
row. ``judged_at`` is read from the clock before the messages are read, and a change is noted after it is in the index; so a row
with a later time than a note was judged with that change. Of several rows of a dossier the one with the larger version holds, so
several workers may write the same dossier at once.
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
    """The table rows (``ROW_SCHEMA``) of judged dossiers (16-byte number -> dossier).

    ``judged_at``: a time before messages were read.
    """
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
    """Selects changes by the time at which they were noted: ``since`` and ``until``, both included; None for no bound."""

    since: dt.datetime | None = None
    until: dt.datetime | None = None


@dataclass(frozen=True, slots=True)
class WaitingPage:
    """A page of the dossiers that wait.

    Attributes:
        dossiers: ``dossier``, ``dossier_code`` (empty: not known), ``oldest`` (the time of the oldest change that waits, or of a
            later one), ``seen`` (messages and decisions that the dossier's row knows; 0 without a row), ascending by number.
        last: the page covers the dossiers up to this number, included; None: all dossiers that were asked for.
    """

    dossiers: pa.Table
    last: bytes | None


@dataclass(frozen=True, slots=True)
class WaitingTotal:
    """How many dossiers wait, since when, and how they are spread over the numbers.

    Attributes:
        dossiers: how many.
        oldest: about the time of the oldest change that waits; None: nothing waits.
        marks: numbers of some waiting dossiers, ascending; about 1,000 dossiers wait from each mark to the next.
    """

    dossiers: int
    oldest: dt.datetime | None
    marks: Sequence[bytes] = ()


@dataclass(frozen=True, slots=True)
class CheckedPage:
    """A page of dossiers whose rows were compared with the index.

    Attributes:
        agreeing: ``dossier`` of those whose row knows as many messages and decisions as the index, in the order of numbers.
        differing: ``dossier`` of those whose row is missing, or knows fewer or more messages and decisions than the index,
            although no change of them is noted any more.
        last: the page covers the dossiers up to this number, included; None: all dossiers.
    """

    agreeing: pa.Table
    differing: pa.Table
    last: bytes | None


@dataclass(frozen=True, slots=True)
class LongHistory:
    """A dossier with many messages.

    Attributes:
        seen: the number of its distinct messages and decisions.
        events: the number of its distinct events.
        rows: its rows as of ``DossierHistories.histories``; only its decisions when it has more events than a dossier may have.
    """

    seen: int
    events: int
    rows: Iterator[pa.RecordBatch]


class DossierTable(Protocol):
    """Stores the rows of dossiers, and knows which dossiers wait."""

    def now(self) -> dt.datetime:
        """The time of the storage's clock, which dates the noted changes."""
        ...

    def write(self, rows: pa.Table) -> None:
        """Store rows of dossiers (``ROW_SCHEMA``); durable when it returns."""
        ...

    def forget(self, dossiers: pa.Table) -> None:
        """Delete the rows of these dossiers (column ``dossier``). For rows that were judged with more messages than there are."""
        ...

    def keep(self, dossiers: pa.Table) -> None:
        """Keep the rows of these dossiers (column ``dossier``) as they are, because their messages expired.

        They never wait again.
        """
        ...

    def rows(self, first: bytes, last: bytes) -> pa.Table:
        """The current rows (``ROW_SCHEMA``) of the dossiers with numbers from ``first`` to ``last``, both included."""
        ...

    def note(self, dossiers: pa.Table) -> None:
        """Note that these dossiers (column ``dossier``) changed now."""
        ...

    def waiting(self, noted: Noted, *, after: bytes | None = None, until: bytes | None = None) -> WaitingPage:
        """A page of the dossiers that wait with a change noted within ``noted``.

        Numbers above ``after``, up to and with ``until``.
        """
        ...

    def waiting_total(self, noted: Noted) -> WaitingTotal:
        """All waiting dossiers with a change noted within ``noted``."""
        ...

    def waiting_since(self, asked_at: dt.datetime) -> int:
        """How many dossiers wait because of a change that was noted at or before ``asked_at``, a time that ``now`` returned."""
        ...

    def periods_of_changes(self, before: dt.datetime) -> Sequence[Noted]:
        """Every period with stored changes that ended at or before ``before``; changes are stored and dropped by period."""
        ...

    def drop_changes(self, period: Noted) -> None:
        """Delete all changes of one period that ``periods_of_changes`` returned."""
        ...

    def compare_with_index(self, *, after: bytes | None = None) -> CheckedPage:
        """Compare the rows of a page of dossiers with the index; the page begins above the number ``after`` (None: at 0)."""
        ...


class DossierHistories(Protocol):
    """Reads the messages and decisions by which dossiers are judged."""

    def histories(self, dossiers: pa.Table) -> pa.Table:
        """The distinct messages and decisions of dossiers (``dossier``), dossier by dossier.

        Returns:
            ``dossier``, ``occurred_at``, ``event_id``, ``id``, ``agency``, ``procedure_code``, ``due_at``, ``facts`` as
            ``DossierIndex.histories``; at most ``MANY`` rows of a dossier.
        """
        ...

    def long_history(self, dossier: bytes) -> LongHistory:
        """The distinct messages and decisions of one dossier, however many it has."""
        ...

    def codes(self, rows: pa.Table) -> Mapping[bytes, str]:
        """The codes of dossiers, each looked up by one of its ``rows`` of ``histories``.

        Omits dossiers without stored message or decision.
        """
        ...
