"""The identity of a message: as it is sent, and as an expression of ClickHouse over the stored rows."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from typing import Final


def identity(value: bytes) -> tuple[int, int]:
    """Two numbers of a message: one for what must be a row of its own (``IDENTITY``), one for what counts as an event."""
    fields = json.loads(value)
    at = round(dt.datetime.fromisoformat(fields["occurred_at"]).timestamp() * 1000)
    due = dt.datetime.fromisoformat(fields["due_at"]).timestamp() if fields.get("due_at") else 0
    event = (fields["event_id"], at, fields["status"])
    row = (
        *event,
        fields.get("channel") or 0,
        fields.get("service_level") or "",
        fields.get("returned_by") or "",
        int(due),
        fields.get("legacy_level") or 0,
    )
    digest = hashlib.md5("|".join(map(str, row)).encode(), usedforsecurity=False).digest()
    return int.from_bytes(digest[:8], "little"), hash(event)


#: The first number of ``identity`` of a stored row, as an expression of ClickHouse.
IDENTITY: Final = (
    "reinterpretAsUInt64(substring(MD5(concatWithSeparator('|', toString(event_id), "
    "toString(toUnixTimestamp64Milli(occurred_at)), toString(status), toString(channel), toString(service_level), "
    "toString(returned_by), toString(toUnixTimestamp(due_at)), toString(legacy_level))), 1, 8))"
)
