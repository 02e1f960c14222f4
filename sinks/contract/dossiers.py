"""The index of messages by dossier: what the dossier tier of a worker reads and writes.

It also holds the decisions of operators about dossiers (``sinks.contract.exclusions``) and the levels of the service catalogue
that dossiers were counted with (``sinks.contract.level_notes``), as rows without a status.

Order of use for a batch of stored messages: ``add``, ``suspects``, then for these ``histories``, ``levels``, ``note``, ``claim``
and ``histories`` again until nothing new is noted and claimed, and ``correct``; ``confirm`` when the tallies were recounted.
Everything is durable when a call returns, and may be repeated.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Collection, Mapping, Sequence
from typing import Final, Protocol

import numpy as np
import pyarrow as pa

from domain.catalogue_levels import CatalogueLevels
from domain.corrections import is_submission
from domain.dossier_columns import LEVEL_RANKS, RETURN_RANKS
from domain.events import DUE_NOT_SENT, Channel, DossierEvent, Status

#: Flags of an indexed message: what decides whether its dossier is plain.
SUBMISSION, ONLINE, OTHER_CHANNEL, FULL_NINE, COUNTER_TEN, BARE_NINE, CLAIM = 1, 2, 4, 8, 16, 32, 128

_FULL, _COUNTER = LEVEL_RANKS.index("toan_trinh"), RETURN_RANKS.index("counter")
#: Columns of a message in the index.
INDEX_SCHEMA: Final = pa.schema(
    [
        ("dossier_code", pa.string()),
        ("occurred_at", pa.timestamp("ms", "UTC")),
        ("event_id", pa.string()),
        ("agency", pa.dictionary(pa.int32(), pa.string())),
        ("procedure_code", pa.string()),
        ("due_at", pa.timestamp("ms", "UTC")),  # 1970-01-01: not sent
        ("facts", pa.uint16()),
        ("flags", pa.uint8()),
    ]
)


def facts_of(
    *,
    status: np.ndarray,
    channel: np.ndarray,
    level: np.ndarray,
    returned: np.ndarray,
    legacy: np.ndarray,
    named: np.ndarray,
) -> np.ndarray:
    """The small fields of each message packed into one number, uint16.

    Bits 0-3: status, 4-5: channel, 6-7: level, 8-9: way of return, 10-12: legacy level, 13: the dossier code names the unit.
    """
    fields = ((status, 0), (channel, 4), (level, 6), (returned, 8), (legacy, 10), (named, 13))
    found = np.zeros(len(status), dtype=np.uint16)
    for column, shift in fields:
        found |= column.astype(np.uint16) << np.uint16(shift)
    return found


def fields_of(facts: np.ndarray) -> dict[str, np.ndarray]:
    """Unpack the numbers of ``facts_of`` into their fields: name -> array."""
    shifts = {"status": (0, 15), "channel": (4, 3), "level": (6, 3), "returned": (8, 3), "legacy": (10, 7), "named": (13, 1)}
    found = {name: (facts >> np.uint16(shift)) & np.uint16(mask) for name, (shift, mask) in shifts.items()}
    return found | {"named": found["named"].astype(bool)}


def event_id_of(halves: bytes) -> uuid.UUID:
    """The id of an event from its two little-endian halves (8 bytes each); the first half is the first half of the id's text."""
    return uuid.UUID(int=int.from_bytes(halves[:8], "little") << 64 | int.from_bytes(halves[8:], "little"))


def message_of(
    *,
    code: str,
    event_id: uuid.UUID,
    agency: str,
    procedure: str,
    occurred_at: dt.datetime,
    due_at: dt.datetime,
    status: int,
    channel: int,
    level: int,
    returned: int,
    legacy: int,
    named: bool,
) -> DossierEvent:
    """A stored message as an event.

    The small fields are as in ``fields_of``, and ``due_at`` is ``DUE_NOT_SENT`` for a missing due date.
    """
    return DossierEvent(
        event_id=event_id,
        dossier_code=code,
        agency=agency,
        procedure_code=procedure,
        status=status,
        channel=channel,
        service_level=LEVEL_RANKS[level],
        occurred_at=occurred_at,
        legacy_level=legacy,
        returned_by=RETURN_RANKS[returned],
        due_at=None if due_at == DUE_NOT_SENT else due_at,
        named_by_code=named,
    )


def flags_of(*, status: np.ndarray, channel: np.ndarray, level: np.ndarray, returned: np.ndarray) -> np.ndarray:
    """The flags of each message, uint8; a decision row (``sinks.contract.exclusions``), which has no status, has ``CLAIM``."""
    online, nine = channel == Channel.ONLINE, status == Status.SETTLED
    conditions = {
        SUBMISSION: is_submission(status, channel),
        ONLINE: online,
        OTHER_CHANNEL: (channel != 0) & ~online,
        FULL_NINE: nine & online & (level == _FULL) & (returned != _COUNTER),
        COUNTER_TEN: (status == Status.RETURNED) & (returned == _COUNTER),
        BARE_NINE: nine & ((channel == 0) | (level == 0)),
    }
    flags = np.zeros(len(status), dtype=np.uint8)
    for flag, condition in conditions.items():
        flags[condition] |= flag
    flags[status == 0] = CLAIM
    return flags


class DossierIndex(Protocol):
    """Reads and writes the messages, decisions, level notes and claims of dossiers, and writes corrections."""

    def add(self, messages: pa.Table) -> None:
        """Index messages and decisions (``INDEX_SCHEMA``), and then note that their dossiers changed (``DossierTable.note``)."""
        ...

    def suspects(self, codes: pa.Table) -> pa.Table:
        """The suspects among dossiers: those with a message that may not count as alone, and all with an operator's decision.

        Args:
            codes: ``dossier_code``, each once.

        Returns:
            ``dossier`` (16 bytes), in an order in which ``histories`` reads neighbours together at low cost.
        """
        ...

    def histories(self, suspects: pa.Table) -> pa.Table:
        """The messages, decisions, level notes and claims of dossiers, in any order. A row may be there several times.

        Returns:
            ``dossier``, ``occurred_at``, ``event_id``, ``id`` (two little-endian halves, the first half of the text first),
            ``agency``, ``procedure_code``, ``due_at``, ``facts``; ``claim``: 0 for a message, else 1 + bits; ``confirmed``.
        """
        ...

    def levels(self, agencies: Collection[str]) -> CatalogueLevels:
        """The levels of the service catalogue of some agencies, as they are at one moment during this call."""
        ...

    def note(self, notes: pa.Table) -> None:
        """Write level notes (``sinks.contract.level_notes.note_rows``)."""
        ...

    def claim(self, claims: pa.Table) -> None:
        """Record what messages are going to count as, before their corrections are stored.

        Args:
            claims: ``dossier``, ``occurred_at``, ``event_id``, ``agency``, ``procedure_code``, ``due_at``, ``facts`` and
                ``claim`` as in ``histories``.
        """
        ...

    def confirm(self, claims: pa.Table) -> None:
        """Record that the corrections of these claims are stored, and that all tallies were recounted since.

        Args:
            claims: as for ``claim``.
        """
        ...

    def correct(self, corrections: pa.Table) -> None:
        """Store corrections.

        Of two corrections of one message the one that was decided with more messages of its dossier holds.
        """
        ...


class DossierReader(Protocol):
    """Reads the messages of single dossiers."""

    def messages(self, code: str) -> Sequence[DossierEvent]:
        """The distinct messages of the dossier with this code, in any order, without ``portal_id``; none for an unknown code."""
        ...

    def expired_at(self, code: str) -> dt.datetime | None:
        """When the messages of the dossier with this code expired; None: they have not expired."""
        ...

    def messages_of(self, codes: Sequence[str]) -> Mapping[str, Sequence[DossierEvent]]:
        """The distinct messages of several dossiers: code -> messages as ``messages`` returns them; unknown codes are omitted."""
        ...
