"""Validates one message: the result is an event or a rejection.

This module defines what the contract means. The bulk path (``pipeline.decode.bulk``) may accept a message only when the validator
accepts it with the same values, and leaves every doubtful message to the validator. A property test compares the two.
"""

from __future__ import annotations

import datetime as dt
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeVar, cast

import msgspec

from domain.agencies import AgencyRegistry
from domain.errors import FATAL, place_of_error
from domain.events import (
    DOSSIER_CODE,
    EVENT_ID,
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
from domain.periods import FIRST_DAY, FIRST_INSTANT, LAST_DAY, LAST_INSTANT, civil_day
from domain.units import agency_level_one, unit_of_event
from pipeline.decode.json_errors import describe_json_error
from pipeline.decode.known_fields import known_fields, nesting
from pipeline.decode.known_values import quoted

_Value = TypeVar("_Value")


class _RejectedError(Exception):
    """Carries a rejection out of nested checks. It is never raised out of this module."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.rejection = Rejection(reason, detail)


_EVENT_ID = re.compile(EVENT_ID, re.ASCII)
_DOSSIER_CODE = re.compile(DOSSIER_CODE, re.ASCII)
_PROCEDURE_CODE = re.compile(PROCEDURE_CODE, re.ASCII)
_OCCURRED_AT = re.compile(OCCURRED_AT, re.ASCII)
_PORTAL_ID = re.compile(PORTAL_ID, re.ASCII)

_JSON_KINDS: Final = {
    b"{": "an object",
    b"[": "an array",
    b'"': "a string",
    b"t": "a boolean",
    b"f": "a boolean",
    b"n": "null",
}

_STATUSES = frozenset(int(status) for status in Status)
_CHANNELS = frozenset(int(channel) for channel in Channel)
_SERVICE_LEVELS = frozenset(str(level) for level in ServiceLevel)
_LEGACY_LEVELS = frozenset(LEGACY_LEVELS)
_RETURNS = frozenset(str(way) for way in ReturnedBy)


@dataclass(frozen=True, slots=True)
class EventValidator:
    """Applies the whole contract to one message.

    Checks run in a fixed order, so a message with several faults always gets the same reason: size and syntax first, then
    field by field, then a date in the future, an agency that is not in force, and the wrong portal.
    """

    registry: AgencyRegistry

    def validate(self, value: bytes | None, *, latest: dt.datetime, portal: str | None = None) -> DossierEvent | Rejection:
        """The event in a message's value, or the rejection that says why it is not an event.

        Args:
            value: the value of the message; None is a tombstone.
            latest: no event may be dated after this instant (aware).
            portal: level-1 code of the portal to which the topic belongs; None: any agency may report in it.

        An error of this program that one message causes becomes a rejection, too (``Reason.UNFORESEEN``). If it were raised, it
        would be raised again after every restart and block every later message.

        Raises:
            MemoryError, InvariantError: the process is at fault, not the message.
        """
        try:
            return self._event(_json_object(value), min(latest, LAST_INSTANT), portal)
        except _RejectedError as rejected:
            return rejected.rejection
        except FATAL:
            raise
        except Exception as error:  # noqa: BLE001 - see above
            return Rejection(Reason.UNFORESEEN, place_of_error(error))

    def _event(self, fields: dict[str, Any], latest: dt.datetime, portal: str | None) -> DossierEvent:
        event_id = _text(fields, "event_id", _EVENT_ID, Reason.BAD_EVENT_ID)
        dossier_code = _dossier_code(fields)
        agency_code = self._agency_code(fields)
        procedure_code = _text(fields, "procedure_code", _PROCEDURE_CODE, Reason.BAD_PROCEDURE_CODE)
        status = _member(fields, "status", _STATUSES, Reason.UNKNOWN_STATUS)
        channel = _if_sent(fields, "channel", _READ_CHANNEL, 0)
        service_level = _if_sent(fields, "service_level", _READ_SERVICE_LEVEL, "")
        occurred_at = _instant(fields, "occurred_at", Reason.BAD_OCCURRED_AT)
        legacy_level = _if_sent(fields, "legacy_level", _READ_LEGACY_LEVEL, 0)
        returned_by = _if_sent(fields, "returned_by", _READ_RETURNED_BY, "")
        due_at = _due_at(fields)
        portal_id = _if_sent(fields, "portal_id", _READ_PORTAL_ID, "")
        if occurred_at > latest:  # before the civil day is computed: the calendar ends with the year 9999
            raise _RejectedError(
                Reason.IN_THE_FUTURE, f"occurred_at {occurred_at.isoformat()} is later than {latest.isoformat()}"
            )
        day = civil_day(occurred_at)
        unit = unit_of_event(self.registry, agency_code=agency_code, dossier_code=dossier_code, day=day)
        if unit is None:
            raise _RejectedError(Reason.AGENCY_NOT_IN_FORCE, f"agency_code {agency_code} was not in force on {day}")
        if portal is not None and agency_level_one(agency_code) != portal:
            raise _RejectedError(Reason.WRONG_PORTAL, f"agency_code {agency_code} in the topic of portal {portal!r}")
        return DossierEvent(
            event_id=uuid.UUID(event_id),
            dossier_code=dossier_code,
            agency=unit.code,
            procedure_code=procedure_code,
            status=status,
            channel=channel,
            service_level=service_level,
            occurred_at=occurred_at,
            legacy_level=legacy_level,
            returned_by=returned_by,
            portal_id=portal_id,
            due_at=due_at,
            named_by_code=unit.named_by_code,
        )

    def _agency_code(self, fields: dict[str, Any]) -> str:
        """The agency code as sent, a level-1 code or a full one, after checking that its level-1 code is in the registry."""
        agency_code: str = _required(fields, "agency_code", str)
        if (agency_level_one(agency_code) or "") not in self.registry:
            raise _RejectedError(
                Reason.UNKNOWN_AGENCY, f"agency_code {quoted('agency_code', agency_code)} is not in the registry"
            )
        return agency_code


def _json_object(value: bytes | None) -> dict[str, Any]:
    if value is None or not value.strip(b" \t\r\n"):
        raise _RejectedError(Reason.EMPTY, "the message has no content")
    if len(value) > MAX_MESSAGE_BYTES:
        raise _RejectedError(Reason.TOO_LARGE, f"{len(value)} bytes; the limit is {MAX_MESSAGE_BYTES}")
    try:
        value.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _RejectedError(Reason.NOT_UTF8, str(error)) from error
    if value.count(b"[") + value.count(b"{") > MAX_NESTING and nesting(value) > MAX_NESTING:
        raise _RejectedError(Reason.NOT_JSON, f"objects and arrays are nested deeper than {MAX_NESTING}")
    try:
        return cast("dict[str, Any]", msgspec.json.decode(known_fields(value)))
    except msgspec.ValidationError as error:
        raise _not_an_object(value, error) from error
    except (msgspec.DecodeError, ValueError) as error:
        raise _RejectedError(Reason.NOT_JSON, describe_json_error(value, error)) from error


def _not_an_object(value: bytes, error: msgspec.ValidationError) -> _RejectedError:
    """The rejection of well-formed JSON that is not an object, or that has a number too large to be read."""
    kind = _JSON_KINDS.get(value.lstrip(b" \t\r\n")[:1], "a number")
    if kind == "an object":
        return _RejectedError(Reason.NOT_JSON, str(error))
    return _RejectedError(Reason.NOT_AN_OBJECT, f"expected a JSON object, got {kind}")


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
        raise _RejectedError(reason, f"{name} {quoted(name, value)} is malformed")
    return value


def _member(fields: dict[str, Any], name: str, allowed: frozenset[int], reason: Reason) -> int:
    value: int = _required(fields, name, int)
    if value not in allowed:
        raise _RejectedError(reason, f"{name} {quoted(name, value)} is not in the code list")
    return value


def _word(fields: dict[str, Any], name: str, allowed: frozenset[str], reason: Reason) -> str:
    value: str = _required(fields, name, str)
    if value not in allowed:
        raise _RejectedError(reason, f"{name} {quoted(name, value)} is not in the code list")
    return value


def _if_sent(fields: dict[str, Any], name: str, read: Callable[[dict[str, Any], str], _Value], missing: _Value) -> _Value:
    """The value that ``read`` returns for an optional field; ``missing`` when the field is absent, null or empty."""
    return read(fields, name) if _is_sent(fields, name) else missing


#: How each optional field is read when it is sent.
_READ_CHANNEL: Final = partial(_member, allowed=_CHANNELS, reason=Reason.UNKNOWN_CHANNEL)
_READ_SERVICE_LEVEL: Final = partial(_word, allowed=_SERVICE_LEVELS, reason=Reason.UNKNOWN_SERVICE_LEVEL)
_READ_LEGACY_LEVEL: Final = partial(_member, allowed=_LEGACY_LEVELS, reason=Reason.UNKNOWN_LEGACY_LEVEL)
_READ_RETURNED_BY: Final = partial(_word, allowed=_RETURNS, reason=Reason.UNKNOWN_RETURN)
_READ_PORTAL_ID: Final = partial(_text, pattern=_PORTAL_ID, reason=Reason.BAD_PORTAL_ID)


def _is_sent(fields: dict[str, Any], name: str) -> bool:
    """Whether an optional field has a value: it is neither absent nor null nor empty."""
    return fields.get(name) not in (None, "")


def _dossier_code(fields: dict[str, Any]) -> str:
    dossier_code = _text(fields, "dossier_code", _DOSSIER_CODE, Reason.BAD_DOSSIER_CODE)
    if not dossier_date_exists(dossier_code):
        raise _RejectedError(Reason.IMPOSSIBLE_DATE, f"dossier_code {dossier_code!r} contains a date that does not exist")
    return dossier_code


def _due_at(fields: dict[str, Any]) -> dt.datetime | None:
    if not _is_sent(fields, "due_at"):
        return None
    due_at = _instant(fields, "due_at", Reason.BAD_DUE_AT)
    if not FIRST_INSTANT <= due_at <= LAST_INSTANT:
        raise _RejectedError(Reason.BAD_DUE_AT, f"due_at {due_at.isoformat()} is outside of {FIRST_DAY} to {LAST_DAY}")
    return due_at


def _instant(fields: dict[str, Any], name: str, malformed: Reason) -> dt.datetime:
    """Read the time in a field, in UTC and cut to whole milliseconds."""
    text = _text(fields, name, _OCCURRED_AT, malformed)
    try:
        instant = dt.datetime.fromisoformat(text).astimezone(dt.UTC)
    except (ValueError, OverflowError) as error:
        raise _RejectedError(Reason.IMPOSSIBLE_DATE, f"{name} {text!r} is a date or time that does not exist") from error
    return instant.replace(microsecond=instant.microsecond // 1000 * 1000)
