"""Makes the message that is sent again for a dead letter, and shows raw bytes as text or hexadecimal digits."""

from __future__ import annotations

import json
from typing import Any

from domain.events import Reason

#: Columns of a stored row -> fields of the event contract. Other columns belong to the storage.
_FIELDS = {
    "event_id": "event_id",
    "dossier_code": "dossier_code",
    "agency": "agency_code",
    "procedure_code": "procedure_code",
    "status": "status",
    "channel": "channel",
    "service_level": "service_level",
    "occurred_at": "occurred_at",
    "legacy_level": "legacy_level",
    "returned_by": "returned_by",
    "portal_id": "portal_id",
    "due_at": "due_at",
}
_MAY_BE_MISSING = ("channel", "service_level", "legacy_level", "returned_by", "portal_id", "due_at")


def message_of(value: bytes | None, reason: str) -> bytes | None:
    """The message to send again for a dead letter whose kept content is ``value``.

    It is ``value`` itself, except when the storage refused a row (``reason``): ``value`` is then this row, which is converted.
    """
    if value is None or reason != Reason.REFUSED_BY_STORAGE:
        return value
    try:
        row: Any = json.loads(value)
        fields = {field: row.get(column, "") if column in _MAY_BE_MISSING else row[column] for column, field in _FIELDS.items()}
    except (ValueError, KeyError, TypeError):
        return value
    if str(fields["due_at"]).startswith("1970-01-01 00:00:00"):
        fields["due_at"] = ""  # not sent
    return json.dumps(
        {name: content for name, content in fields.items() if content or name not in _MAY_BE_MISSING}, ensure_ascii=False
    ).encode()


def shown(content: bytes | None) -> dict[str, str] | None:
    """Bytes for JSON and terminals: ``{"text": ...}`` when they are UTF-8, else ``{"hex": ...}``."""
    if content is None:
        return None
    try:
        return {"text": content.decode("utf-8")}
    except UnicodeDecodeError:
        return {"hex": content.hex()}
