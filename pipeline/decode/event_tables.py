"""Turns the events of the validator into tables."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from domain.errors import FATAL, place_of_error
from domain.events import DUE_NOT_SENT, DossierEvent, Reason, Rejection
from pipeline.decode.agency_columns import AgencyColumns
from pipeline.decode.event_schema import EVENT_SCHEMA, RETURN_WAYS, SERVICE_LEVELS

#: An event and the position of its message.
PositionedEvent = tuple[int, DossierEvent]


def tables_of(events: list[PositionedEvent], agencies: AgencyColumns) -> tuple[list[pa.Table], list[tuple[int, Rejection]]]:
    """The events as tables, and rejections of events that do not fit into the columns."""
    if not events:
        return [], []
    try:
        return [table_of(events, agencies)], []
    except FATAL:
        raise
    except Exception as error:  # noqa: BLE001 - see EventValidator.validate: one message must not stop the batch
        if len(events) == 1:
            return [], [(events[0][0], Rejection(Reason.UNFORESEEN, place_of_error(error)))]
    half = len(events) // 2
    left, left_rejected = tables_of(events[:half], agencies)
    right, right_rejected = tables_of(events[half:], agencies)
    return left + right, left_rejected + right_rejected


def table_of(events: list[PositionedEvent], agencies: AgencyColumns) -> pa.Table:
    """The events as one table of ``EVENT_SCHEMA``."""
    rows = [event for _, event in events]
    return pa.table(
        [
            pa.array([str(row.event_id) for row in rows], pa.string()),
            pa.array([row.dossier_code for row in rows], pa.string()),
            pa.DictionaryArray.from_arrays(pa.array([agencies.index[row.agency] for row in rows], pa.int32()), agencies.array),
            pa.array([row.procedure_code for row in rows], pa.string()),
            pa.array([row.status for row in rows], pa.uint8()),
            pa.array([row.channel for row in rows], pa.uint8()),
            pa.DictionaryArray.from_arrays(
                pc.index_in(pa.array([row.service_level for row in rows]), SERVICE_LEVELS), SERVICE_LEVELS
            ),
            pa.array([row.occurred_at for row in rows], EVENT_SCHEMA.field("occurred_at").type),
            pa.array([row.legacy_level for row in rows], pa.uint8()),
            pa.DictionaryArray.from_arrays(pc.index_in(pa.array([row.returned_by for row in rows]), RETURN_WAYS), RETURN_WAYS),
            pa.array([row.portal_id for row in rows], pa.string()),
            pa.array([row.due_at or DUE_NOT_SENT for row in rows], EVENT_SCHEMA.field("due_at").type),
            pa.array([row.named_by_code for row in rows], pa.bool_()),
            pa.array([position for position, _ in events], pa.int32()),
        ],
        schema=EVENT_SCHEMA,
    )
