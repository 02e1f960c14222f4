"""Events, messages and rows for tests: valid unless a test changes something."""

from __future__ import annotations

import datetime as dt
import itertools
import json
import uuid

import pyarrow as pa

from domain.events import DUE_NOT_SENT, DossierEvent, Reason
from pipeline.decode.event_schema import EVENT_SCHEMA
from pipeline.ingest.event_rows import OffsetRange, with_positions

#: Later than every event a test makes.
LATEST = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
#: 08:30 of Viet Nam on a working day.
MORNING = dt.datetime(2024, 1, 2, 1, 30, tzinfo=dt.UTC)
TOPIC = "dvc.dossier-events.v1"
#: Reasons that do not follow from the content of a message: an error of this program, and a row that the storage refuses.
NOT_FROM_CONTENT = frozenset({Reason.WRONG_PORTAL, Reason.UNFORESEEN, Reason.REFUSED_BY_STORAGE})

_numbers = itertools.count(1)


def an_event(**changes) -> DossierEvent:
    """A settled toàn trình dossier of H17; every call another event."""
    number = next(_numbers)
    fields = {
        "event_id": uuid.UUID(int=number),
        "dossier_code": f"H17.1-240102-{number % 10_000_000:04d}",
        "agency": "H17",
        "procedure_code": "1.001612",
        "status": 9,
        "channel": 2,
        "service_level": "toan_trinh",
        "occurred_at": MORNING,
    }
    return DossierEvent(**fields | changes)


def fields_of(event: DossierEvent) -> dict[str, object]:
    """The JSON fields that a portal sends for ``event``."""
    sent = {
        "event_id": str(event.event_id),
        "dossier_code": event.dossier_code,
        "agency_code": event.agency,
        "procedure_code": event.procedure_code,
        "status": event.status,
        "channel": event.channel or None,
        "service_level": event.service_level or None,
        "occurred_at": event.occurred_at.isoformat(timespec="milliseconds"),
        "legacy_level": event.legacy_level or None,
        "returned_by": event.returned_by or None,
        "portal_id": event.portal_id or None,
        "due_at": event.due_at and event.due_at.isoformat(timespec="milliseconds"),
    }
    return {name: value for name, value in sent.items() if value is not None}


def a_message(event: DossierEvent | None = None, **changes) -> bytes:
    """The message of ``event`` with some fields changed; a field changed to ... is omitted."""
    fields = fields_of(event or an_event()) | changes
    return json.dumps({name: value for name, value in fields.items() if value is not ...}).encode()


def events_table(events: list[DossierEvent]) -> pa.Table:
    """Events as the decoder gives them."""
    columns = {
        "event_id": [str(event.event_id) for event in events],
        "dossier_code": [event.dossier_code for event in events],
        "agency": [event.agency for event in events],
        "procedure_code": [event.procedure_code for event in events],
        "status": [event.status for event in events],
        "channel": [event.channel for event in events],
        "service_level": [event.service_level for event in events],
        "occurred_at": [event.occurred_at for event in events],
        "legacy_level": [event.legacy_level for event in events],
        "returned_by": [event.returned_by for event in events],
        "portal_id": [event.portal_id for event in events],
        "due_at": [event.due_at or DUE_NOT_SENT for event in events],
        "named_by_code": [event.named_by_code for event in events],
        "position": list(range(len(events))),
    }
    arrays = []
    for field in EVENT_SCHEMA:
        if pa.types.is_dictionary(field.type):
            arrays.append(pa.array(columns[field.name], pa.string()).dictionary_encode())
        else:
            arrays.append(pa.array(columns[field.name], field.type))
    return pa.table(arrays, schema=EVENT_SCHEMA)


def rows_of(events: list[DossierEvent], *, offset: int = 0, partition: int = 0, topic: str = TOPIC) -> pa.Table:
    """Events as rows of ``dossier_messages``."""
    return with_positions(events_table(events), [OffsetRange(topic, partition, offset, len(events))])


def events_of(table: pa.Table) -> dict[int, DossierEvent]:
    """The events of a decoded table by position."""
    return {row.pop("position"): _event_of(row) for row in table.to_pylist()}


def _event_of(row: dict[str, object]) -> DossierEvent:
    due_at = None if row["due_at"] == DUE_NOT_SENT else row["due_at"]
    return DossierEvent(**row | {"event_id": uuid.UUID(row["event_id"]), "due_at": due_at})
