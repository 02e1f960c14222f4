"""Validates one message: the result is an event or a rejection.

This module defines what the contract means. The bulk path (``pipeline.decode.bulk``) may accept a message only when the validator
accepts it with the same values, and leaves every doubtful message to it. A property test compares the two.
"""

from __future__ import annotations

import datetime as dt
import re
import uuid
from dataclasses import dataclass
from typing import Any, Final, cast

import msgspec

from domain.agencies import AgencyRegistry
from domain.errors import FATAL, describe_error
from domain.events import (
    DOSSIER_CODE,
    EVENT_ID,
    FIELDS,
    LEGACY_LEVELS,
    MAX_MESSAGE_BYTES,
    MAX_NESTING,
    OCCURRED_AT,
    PORTAL_ID,
    PROCEDURE_CODE,
    Channel,
    DossierEvent,
    Reason,
    Rejection,
    ReturnedBy,
    ServiceLevel,
    Status,
    dossier_date_exists,
)
from domain.periods import LAST_INSTANT, civil_day


class _RejectedError(Exception):
    """Carries a rejection out of the nested checks; never leaves this module."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.rejection = Rejection(reason, detail)


_EVENT_ID = re.compile(EVENT_ID, re.ASCII)
_DOSSIER_CODE = re.compile(DOSSIER_CODE, re.ASCII)
_PROCEDURE_CODE = re.compile(PROCEDURE_CODE, re.ASCII)
_OCCURRED_AT = re.compile(OCCURRED_AT, re.ASCII)
_PORTAL_ID = re.compile(PORTAL_ID, re.ASCII)

_STRING_OR_BRACKET = re.compile(rb'"(?:[^"\\]|\\.)*"?|[][{}]', re.DOTALL)

_JSON_KINDS: Final = {
    b"{": "an object",
    b"[": "an array",
    b'"': "a string",
    b"t": "a boolean",
    b"f": "a boolean",
    b"n": "null",
}

#: Each known field as raw JSON, absent when it was not sent.
_KNOWN: Final = msgspec.defstruct("_Known", [(name, msgspec.Raw | msgspec.UnsetType, msgspec.UNSET) for name in FIELDS], gc=False)
_KNOWN_DECODER: Final = msgspec.json.Decoder(_KNOWN)
_ENCODER: Final = msgspec.json.Encoder()

_STATUSES = frozenset(int(status) for status in Status)
_CHANNELS = frozenset(int(channel) for channel in Channel)
_SERVICE_LEVELS = frozenset(str(level) for level in ServiceLevel)
_RETURNS = frozenset(str(way) for way in ReturnedBy)


@dataclass(frozen=True, slots=True)
class EventValidator:
    """Applies the whole contract to one message.

    Checks run in a fixed order, so a message with several faults always gets the same reason: size and syntax first, then
    field by field, then the future and the agency's validity.
    """

    registry: AgencyRegistry

    def validate(self, value: bytes | None, *, latest: dt.datetime) -> DossierEvent | Rejection:
        """The event in ``value``, or why there is none. ``latest``: no event may be dated after this instant (aware).

        An error of this program that one message causes is a rejection, too (``Reason.UNFORESEEN``). Raised, it would happen
        again after every restart and block every later message.

        Raises:
            MemoryError, InvariantError: the process is at fault, not the message.
        """
        try:
            return self._event(_json_object(value), min(latest, LAST_INSTANT))
        except _RejectedError as rejected:
            return rejected.rejection
        except FATAL:
            raise
        except Exception as error:  # noqa: BLE001 - see above
            return Rejection(Reason.UNFORESEEN, describe_error(error))

    def _event(self, fields: dict[str, Any], latest: dt.datetime) -> DossierEvent:
        event_id = _text(fields, "event_id", _EVENT_ID, Reason.BAD_EVENT_ID)
        dossier_code = _text(fields, "dossier_code", _DOSSIER_CODE, Reason.BAD_DOSSIER_CODE)
        if not dossier_date_exists(dossier_code):
            raise _RejectedError(Reason.IMPOSSIBLE_DATE, f"dossier_code {dossier_code!r} contains a date that does not exist")
        agency_code = _required(fields, "agency_code", str)
        if agency_code not in self.registry:
            raise _RejectedError(Reason.UNKNOWN_AGENCY, f"agency_code {_shown(agency_code)} is not in the registry")
        procedure_code = _text(fields, "procedure_code", _PROCEDURE_CODE, Reason.BAD_PROCEDURE_CODE)
        status = _member(fields, "status", _STATUSES, Reason.UNKNOWN_STATUS)
        channel = _member(fields, "channel", _CHANNELS, Reason.UNKNOWN_CHANNEL)
        service_level = _required(fields, "service_level", str)
        if service_level not in _SERVICE_LEVELS:
            raise _RejectedError(Reason.UNKNOWN_SERVICE_LEVEL, f"service_level {_shown(service_level)} is not in the code list")
        occurred_at = _instant(_text(fields, "occurred_at", _OCCURRED_AT, Reason.BAD_OCCURRED_AT))
        legacy_level = 0
        if fields.get("legacy_level") is not None:
            legacy_level = _member(fields, "legacy_level", frozenset(LEGACY_LEVELS), Reason.UNKNOWN_LEGACY_LEVEL)
        returned_by = ""
        if fields.get("returned_by") is not None:
            returned_by = _required(fields, "returned_by", str)
            if returned_by not in _RETURNS:
                raise _RejectedError(Reason.UNKNOWN_RETURN, f"returned_by {_shown(returned_by)} is not in the code list")
        portal_id = ""
        if fields.get("portal_id") is not None:
            portal_id = _text(fields, "portal_id", _PORTAL_ID, Reason.BAD_PORTAL_ID)
        if occurred_at > latest:  # before the civil day is computed: the calendar ends with the year 9999
            raise _RejectedError(
                Reason.IN_THE_FUTURE, f"occurred_at {occurred_at.isoformat()} is later than {latest.isoformat()}"
            )
        agency = self.registry.responsible(agency_code, civil_day(occurred_at))
        if agency is None:
            raise _RejectedError(
                Reason.AGENCY_NOT_IN_FORCE, f"agency_code {agency_code} was not in force on {civil_day(occurred_at)}"
            )
        return DossierEvent(
            event_id=uuid.UUID(event_id),
            dossier_code=dossier_code,
            agency=agency.code,
            procedure_code=procedure_code,
            status=status,
            channel=channel,
            service_level=service_level,
            occurred_at=occurred_at,
            legacy_level=legacy_level,
            returned_by=returned_by,
            portal_id=portal_id,
        )


def _json_object(value: bytes | None) -> dict[str, Any]:
    if value is None or not value.strip(b" \t\r\n"):
        raise _RejectedError(Reason.EMPTY, "the message has no content")
    if len(value) > MAX_MESSAGE_BYTES:
        raise _RejectedError(Reason.TOO_LARGE, f"{len(value)} bytes; the limit is {MAX_MESSAGE_BYTES}")
    try:
        value.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _RejectedError(Reason.NOT_UTF8, str(error)) from error
    if value.count(b"[") + value.count(b"{") > MAX_NESTING and _nesting(value) > MAX_NESTING:
        raise _RejectedError(Reason.NOT_JSON, f"objects and arrays are nested deeper than {MAX_NESTING}")
    try:
        fields = msgspec.json.decode(known_fields(value))
    except msgspec.ValidationError as error:
        raise _not_an_object(value, error) from error
    except (msgspec.DecodeError, ValueError) as error:
        raise _RejectedError(Reason.NOT_JSON, str(error)) from error
    return cast("dict[str, Any]", fields)


def known_fields(value: bytes) -> bytes:
    """The message without unknown fields. Their content only has to be well-formed JSON.

    Raises:
        msgspec.DecodeError: the message is not one JSON object.
    """
    return _ENCODER.encode(_KNOWN_DECODER.decode(value))


def _not_an_object(value: bytes, error: msgspec.ValidationError) -> _RejectedError:
    """The rejection of well-formed JSON that is not an object, or of a number that is too large to be read."""
    kind = _JSON_KINDS.get(value.lstrip(b" \t\r\n")[:1], "a number")
    if kind == "an object":
        return _RejectedError(Reason.NOT_JSON, str(error))
    return _RejectedError(Reason.NOT_AN_OBJECT, f"expected a JSON object, got {kind}")


def _nesting(value: bytes) -> int:
    """The deepest nesting of brackets outside of strings."""
    depth = deepest = 0
    for token in _STRING_OR_BRACKET.finditer(value):
        if token[0] in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif token[0] in b"]}":
            depth -= 1
    return deepest


def _required(fields: dict[str, Any], name: str, kind: type) -> Any:
    value = fields.get(name)
    if value is None:
        raise _RejectedError(Reason.MISSING_FIELD, f"{name} is missing")
    if type(value) is not kind:  # bool is an int to isinstance, not to the contract
        raise _RejectedError(
            Reason.WRONG_TYPE, f"{name} must be {_KIND_NAMES[kind]}, not {_KIND_NAMES.get(type(value), 'nested')}"
        )
    return value


_KIND_NAMES: Final[dict[type, str]] = {
    str: "a string",
    int: "a whole number",
    float: "a number with a fraction",
    bool: "a boolean",
}


def _text(fields: dict[str, Any], name: str, pattern: re.Pattern[str], reason: Reason) -> str:
    value: str = _required(fields, name, str)
    if pattern.fullmatch(value) is None:
        raise _RejectedError(reason, f"{name} {_shown(value)} is malformed")
    return value


def _member(fields: dict[str, Any], name: str, allowed: frozenset[int], reason: Reason) -> int:
    value: int = _required(fields, name, int)
    if value not in allowed:
        raise _RejectedError(reason, f"{name} {_shown(str(value))} is not in the code list")
    return value


def _instant(text: str) -> dt.datetime:
    """The time in UTC, cut to whole milliseconds."""
    try:
        instant = dt.datetime.fromisoformat(text).astimezone(dt.UTC)
    except (ValueError, OverflowError) as error:
        raise _RejectedError(Reason.IMPOSSIBLE_DATE, f"occurred_at {text!r} is a date or time that does not exist") from error
    return instant.replace(microsecond=instant.microsecond // 1000 * 1000)


def _shown(text: str) -> str:
    """A value for an error text: of limited length, and without line breaks or control characters."""
    return ascii(text if len(text) <= 40 else text[:40] + "...")
