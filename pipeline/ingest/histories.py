"""Turns the rows of ``FindingReader.histories`` into the histories of dossiers, one at a time, each in bounded memory."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa

from domain.catalogue_levels import Generation
from domain.dossier_columns import LEVEL_RANKS
from domain.dossiers import MAX_EVENTS
from domain.events import DossierEvent
from domain.exclusions import ExclusionDecision, last_decision
from domain.findings import needed_messages
from domain.periods import civil_day
from sinks.contract.dossiers import event_id_of, fields_of, message_of
from sinks.contract.exclusions import excludes
from sinks.contract.expiry import FOR_EVER
from sinks.contract.level_notes import NotedLevel, is_level_note

#: With more messages of one dossier than this, those that decide nothing are dropped. Two for each event that a dossier may have.
_MAX_MESSAGES: Final = 2 * (MAX_EVENTS + 1)


class Service(NamedTuple):
    """A service on a civil day: what a level note is about."""

    agency: str
    procedure: str
    day: dt.date


@dataclass(slots=True)
class History:
    """What is stored of one dossier.

    Attributes:
        dossier: the number of the dossier.
        messages: its messages, or enough of them for the same findings. Their ``dossier_code`` is the number as text.
        decision: the operator's decision that holds; None: there is none.
        noted: service and day -> the level note that holds.
    """

    dossier: bytes
    messages: list[DossierEvent] = field(default_factory=list)
    decision: ExclusionDecision | None = None
    noted: dict[Service, NotedLevel] = field(default_factory=dict)

    @property
    def expired(self) -> bool:
        """Whether messages of the dossier expired (``sinks.contract.expiry``), so that ``messages`` lacks them."""
        return self.decision is not None and self.decision.decided_at >= FOR_EVER

    @property
    def decisions(self) -> tuple[ExclusionDecision, ...]:
        """The decision that holds, as a tuple with at most one element."""
        return () if self.decision is None else (self.decision,)

    def level(self, agency: str, procedure: str, day: dt.date) -> str:
        """The level of the catalogue with which the dossier was counted; "": none. Serves as ``domain.dossiers.Levels``."""
        noted = self.noted.get(Service(agency, procedure, day))
        return "" if noted is None else LEVEL_RANKS[noted.level]


def dossiers_in(batches: Iterable[pa.RecordBatch]) -> Iterator[History]:
    """The history of each dossier. ``batches``: rows sorted by dossier."""
    current: History | None = None
    limit = _MAX_MESSAGES
    for batch in batches:
        for dossier, row in _rows(batch):
            if current is None or dossier != current.dossier:
                if current is not None:
                    yield current
                current, limit = History(dossier), _MAX_MESSAGES
            if isinstance(row, tuple):
                service, noted = row
                current.noted[service] = max(noted, current.noted.get(service, noted))
                continue
            if isinstance(row, ExclusionDecision):
                current.decision = last_decision((row, *current.decisions))
                continue
            messages = current.messages
            messages.append(row)
            if len(messages) > limit:
                messages = list(needed_messages(messages))
                if len({(known.event_id, known.status) for known in messages}) > MAX_EVENTS:
                    messages = messages[: MAX_EVENTS + 1]  # which is too many, whatever follows
                current.messages, limit = messages, len(messages) + _MAX_MESSAGES
    if current is not None:
        yield current


def _rows(batch: pa.RecordBatch) -> Iterator[tuple[bytes, DossierEvent | ExclusionDecision | tuple[Service, NotedLevel]]]:
    """Each row of a batch as the number of its dossier, and a message, a decision or a level note."""
    dossiers, identities = (_sixteen_bytes(batch.column(name)) for name in ("dossier", "id"))
    columns = [
        dossiers,
        _instants(batch.column("occurred_at")),
        identities,
        _texts(batch.column("agency")),
        batch.column("procedure_code").to_pylist(),
        _instants(batch.column("due_at")),
    ]
    numbers = batch.column("facts").to_numpy(zero_copy_only=False).astype(np.uint16)
    facts = fields_of(numbers)
    small = [facts[name].tolist() for name in ("status", "channel", "level", "returned", "legacy", "named")]
    for (
        dossier,
        occurred_at,
        halves,
        agency,
        procedure,
        due_at,
        status,
        channel,
        level,
        returned,
        legacy,
        named,
        excluded,
        is_note,
    ) in zip(*columns, *small, excludes(numbers).tolist(), is_level_note(numbers).tolist(), strict=True):
        identity = event_id_of(halves)
        if is_note:
            generation = Generation(round(due_at.timestamp() * 1_000), str(identity))
            yield dossier, (Service(agency, procedure, civil_day(occurred_at)), NotedLevel(generation, level))
            continue
        if not status:
            yield dossier, ExclusionDecision(occurred_at, identity, excluded=excluded)
            continue
        yield (
            dossier,
            message_of(
                code=dossier.hex(),
                event_id=identity,
                agency=agency,
                procedure=procedure,
                occurred_at=occurred_at,
                due_at=due_at,
                status=status,
                channel=channel,
                level=level,
                returned=returned,
                legacy=legacy,
                named=named,
            ),
        )


# ``to_pylist`` of these types takes several times as long as the rest of reading a row.


def _sixteen_bytes(column: pa.Array) -> list[bytes]:
    data = memoryview(column.buffers()[1])[column.offset * 16 : (column.offset + len(column)) * 16].tobytes()
    return [data[start : start + 16] for start in range(0, len(data), 16)]


def _instants(column: pa.Array) -> list[dt.datetime]:
    return [instant.replace(tzinfo=dt.UTC) for instant in column.to_numpy(zero_copy_only=False).astype("datetime64[ms]").tolist()]


def _texts(column: pa.Array) -> list[str]:
    if not pa.types.is_dictionary(column.type):
        return list(column.to_pylist())
    texts = column.dictionary.to_pylist()
    return [texts[index] for index in column.indices.to_pylist()]
