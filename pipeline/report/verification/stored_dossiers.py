"""Turns the rows of ``RawMessageReader.by_dossier`` into dossiers, one at a time, with a limit on messages in memory."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow as pa

from domain.dossiers import MAX_EVENTS, distinct_events
from domain.events import DUE_NOT_SENT, DossierEvent
from domain.periods import FIRST_DAY, LAST_DAY, Period
from sinks.contract.dossiers import event_id_of, message_of
from sinks.contract.raw_messages import RAW_COLUMNS

#: With more messages of one dossier than this, those that do not count are dropped. Two for each event that a dossier may have.
_MAX_MESSAGES: Final = 2 * (MAX_EVENTS + 1)


@dataclass(slots=True)
class StoredDossier:
    """The stored messages of a dossier.

    Attributes:
        code: the dossier code.
        messages: its messages; of too many only as many as ``judge`` needs for the same result.
        events: (index of the period, unit) -> distinct events in that period.
        rows: number of stored messages that were read.
    """

    code: str
    messages: list[DossierEvent] = field(default_factory=list)
    events: Counter[tuple[int, str]] = field(default_factory=Counter)
    rows: int = 0


def stored_dossiers(batches: Iterable[pa.RecordBatch], periods: Sequence[Period]) -> Iterator[StoredDossier]:
    """Yield each dossier with its messages and its distinct events in each of the periods."""
    bounds = [_instants(period) for period in periods]
    current: StoredDossier | None = None
    identity: tuple[object, ...] | None = None
    limit = _MAX_MESSAGES
    for batch in batches:
        for row in zip(*(batch.column(name).to_pylist() for name in RAW_COLUMNS), strict=True):
            code, agency, occurred_at, halves, status = row[:5]
            if current is None or code != current.code:
                if current is not None:
                    yield current
                current, identity, limit = StoredDossier(code), None, _MAX_MESSAGES
            current.rows += 1
            if (known := (agency, occurred_at, halves, status)) != identity:
                identity = known
                _note_event(current, agency, occurred_at, bounds)
            current.messages.append(_message(row))
            if len(current.messages) > limit:
                # Too many events remain too many, whatever follows.
                current.messages = list(distinct_events(current.messages)[: MAX_EVENTS + 1])
                limit = len(current.messages) + _MAX_MESSAGES
    if current is not None:
        yield current


def _instants(period: Period) -> tuple[dt.datetime, dt.datetime]:
    """The start and end instant of the part of a period in which an event may lie; an empty interval when there is none."""
    first, last = max(period.start, FIRST_DAY), min(period.end, LAST_DAY)
    return Period(first, last).instants() if first <= last else (DUE_NOT_SENT, DUE_NOT_SENT)


def _note_event(
    dossier: StoredDossier, agency: str, occurred_at: dt.datetime, bounds: Sequence[tuple[dt.datetime, dt.datetime]]
) -> None:
    for number, (start, end) in enumerate(bounds):
        if start <= occurred_at < end:
            dossier.events[number, agency] += 1


def _message(row: Sequence[Any]) -> DossierEvent:
    code, agency, occurred_at, halves, status, procedure, channel, level, legacy, returned, due_at, named = row
    return message_of(
        code=code,
        event_id=event_id_of(halves),
        agency=agency,
        procedure=procedure,
        occurred_at=occurred_at,
        due_at=due_at,
        status=status,
        channel=channel,
        level=level,
        returned=returned,
        legacy=legacy,
        named=bool(named),
    )
