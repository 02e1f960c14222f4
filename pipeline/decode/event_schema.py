"""The schemas of two tables: the columns of decoded events, and the fields of messages as columns."""

from __future__ import annotations

from typing import Final

import pyarrow as pa

from domain.dossier_columns import LEVEL_RANKS, RETURN_RANKS

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
        ("due_at", pa.timestamp("ms", "UTC")),  # 1970-01-01T00:00:00Z: not sent
        ("named_by_code", pa.bool_()),
        ("position", pa.int32()),
    ]
)
#: Dictionaries of the columns ``service_level`` and ``returned_by``; "": not sent.
SERVICE_LEVELS: Final = pa.array(LEVEL_RANKS)
RETURN_WAYS: Final = pa.array(RETURN_RANKS)

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
    ("due_at", pa.string()),
)
