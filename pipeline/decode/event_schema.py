"""The columns of decoded events, and the fields of a message as columns."""

from __future__ import annotations

from typing import Final

import pyarrow as pa

from domain.events import ReturnedBy, ServiceLevel

#: Columns of accepted events. ``position`` is the index of the message among the values given to the decoder.
EVENT_SCHEMA: Final = pa.schema(
    [
        ("event_id", pa.string()),
        ("dossier_code", pa.string()),
        ("agency", pa.dictionary(pa.int32(), pa.string())),
        ("procedure_code", pa.string()),
        ("status", pa.uint8()),
        ("channel", pa.uint8()),
        ("service_level", pa.dictionary(pa.int32(), pa.string())),
        ("occurred_at", pa.timestamp("ms", "UTC")),
        ("legacy_level", pa.uint8()),
        ("returned_by", pa.dictionary(pa.int32(), pa.string())),
        ("portal_id", pa.string()),
        ("position", pa.int32()),
    ]
)
#: Dictionaries of the columns ``service_level`` and ``returned_by``.
SERVICE_LEVELS: Final = pa.array([str(level) for level in ServiceLevel])
RETURN_WAYS: Final = pa.array(["", *(str(way) for way in ReturnedBy)])

#: Fields of a message and their types.
MESSAGE_FIELDS: Final = (
    ("event_id", pa.string()),
    ("dossier_code", pa.string()),
    ("agency_code", pa.string()),
    ("procedure_code", pa.string()),
    ("status", pa.uint8()),
    ("channel", pa.uint8()),
    ("service_level", pa.string()),
    ("occurred_at", pa.string()),
    ("legacy_level", pa.uint8()),
    ("returned_by", pa.string()),
    ("portal_id", pa.string()),
)
