"""Malformed messages as real portals send them, each with the reason of its rejection.

Every fault is one deliberate defect in an otherwise valid event. The expected reason is part of the contract: a test compares
this list with ``pipeline.decode.validator``.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from domain.events import MAX_MESSAGE_BYTES, REQUIRED_FIELDS, Reason
from producers.messages import Kind, Message
from producers.portals.catalogue import rng_of
from producers.portals.event_ids import EventIds

#: Deeper than any parser accepts, shorter than the largest message.
_DEPTH: Final = 20_000

_Fields = dict[str, Any]
_Corrupt = Callable[[_Fields], bytes | None]


class Malformed(NamedTuple):
    """One message that must become a dead letter: its defect and the expected reason."""

    kind: str
    reason: Reason
    key: bytes | None
    value: bytes | None


@dataclass(frozen=True, slots=True)
class Fault:
    """A defect: its name, the reason of the rejection, and the function that makes the bytes from valid fields."""

    kind: str
    reason: Reason
    corrupt: _Corrupt


def _bytes(fields: _Fields) -> bytes:
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def _with(name: str, value: Any) -> _Corrupt:
    """The event with another value in one field."""
    return lambda fields: _bytes({**fields, name: value})


def _without(name: str) -> _Corrupt:
    """The event without one field."""
    return lambda fields: _bytes({key: value for key, value in fields.items() if key != name})


def _literal(name: str, text: str) -> _Corrupt:
    """The event with raw JSON text in place of one value."""
    return lambda fields: _bytes({**fields, name: "@@"}).replace(b'"@@"', text.encode("ascii"))


def _always(value: bytes | None) -> _Corrupt:
    return lambda _fields: value


#: Every fault, in the order of the checks: size, encoding, syntax, then field by field, then the agency's day and the future.
FAULTS: Final[tuple[Fault, ...]] = (
    # The message as a whole.
    Fault("tombstone", Reason.EMPTY, _always(None)),
    Fault("empty", Reason.EMPTY, _always(b"")),
    Fault("whitespace_only", Reason.EMPTY, _always(b" \r\n\t ")),
    Fault("oversized", Reason.TOO_LARGE, lambda fields: _bytes({**fields, "note": "x" * MAX_MESSAGE_BYTES})),
    Fault("latin1_text", Reason.NOT_UTF8, lambda fields: _bytes({**fields, "note": "Hà"}).replace(b"\xc3\xa0", b"\xe0")),
    Fault("utf16", Reason.NOT_UTF8, lambda fields: _bytes(fields).decode().encode("utf-16")),
    Fault("lone_surrogate_bytes", Reason.NOT_UTF8, _with("portal_id", "\ud800")),
    Fault("truncated", Reason.NOT_JSON, lambda fields: _bytes(fields)[:-25]),
    Fault("two_objects", Reason.NOT_JSON, lambda fields: _bytes(fields) + b"\n" + _bytes(fields)),
    Fault("single_quotes", Reason.NOT_JSON, lambda fields: _bytes(fields).replace(b'"', b"'")),
    Fault("form_encoded", Reason.NOT_JSON, _always(b"MaHoSo=000.00.00.H26-240502-0001&TrangThai=9")),
    Fault("html_error_page", Reason.NOT_JSON, _always(b"<html><body><h1>502 Bad Gateway</h1></body></html>")),
    Fault("byte_order_mark", Reason.NOT_JSON, lambda fields: b"\xef\xbb\xbf" + _bytes(fields)),
    Fault("nul_bytes", Reason.NOT_JSON, lambda fields: _bytes(fields).replace(b'"status"', b'\x00"status"')),
    Fault("only_nul_bytes", Reason.NOT_JSON, _always(b"\x00" * 64)),
    Fault("not_a_number", Reason.NOT_JSON, _literal("status", "NaN")),
    Fault("escaped_lone_surrogate", Reason.NOT_JSON, _literal("portal_id", '"\\ud800"')),
    Fault("deeply_nested", Reason.NOT_JSON, _literal("note", "[" * _DEPTH + "]" * _DEPTH)),
    Fault("number_out_of_range", Reason.NOT_JSON, _literal("status", "1e999")),
    Fault("array_of_events", Reason.NOT_AN_OBJECT, lambda fields: b"[" + _bytes(fields) + b"]"),
    Fault("scalar", Reason.NOT_AN_OBJECT, _always(b"9")),
    Fault("json_null", Reason.NOT_AN_OBJECT, _always(b"null")),
    Fault("json_in_a_string", Reason.NOT_AN_OBJECT, lambda fields: json.dumps(_bytes(fields).decode()).encode()),
    # Missing fields.
    *(Fault(f"missing_{name}", Reason.MISSING_FIELD, _without(name)) for name in REQUIRED_FIELDS),
    *(Fault(f"null_{name}", Reason.MISSING_FIELD, _with(name, None)) for name in REQUIRED_FIELDS),
    Fault("empty_object", Reason.MISSING_FIELD, _always(b"{}")),
    # Fields of a wrong type.
    Fault("status_as_text", Reason.WRONG_TYPE, _with("status", "9")),
    Fault("status_with_fraction", Reason.WRONG_TYPE, _with("status", 9.5)),
    Fault("status_as_decimal", Reason.WRONG_TYPE, _with("status", 9.0)),
    Fault("status_as_truth_value", Reason.WRONG_TYPE, lambda fields: _bytes({**fields, "status": True})),
    Fault("status_in_a_list", Reason.WRONG_TYPE, _with("status", [9])),
    Fault("channel_as_text", Reason.WRONG_TYPE, _with("channel", "2")),
    Fault("agency_code_as_object", Reason.WRONG_TYPE, _with("agency_code", {"code": "H26"})),
    Fault("procedure_code_as_number", Reason.WRONG_TYPE, _with("procedure_code", 1.001612)),
    Fault("due_at_as_number", Reason.WRONG_TYPE, _with("due_at", 1_714_613_400_000)),
    Fault("occurred_at_as_number", Reason.WRONG_TYPE, _with("occurred_at", 1_714_613_400_000)),
    # Fields with an invalid value.
    Fault("event_id_no_uuid", Reason.BAD_EVENT_ID, _with("event_id", "17")),
    Fault("event_id_in_braces", Reason.BAD_EVENT_ID, lambda fields: _bytes({**fields, "event_id": f"{{{fields['event_id']}}}"})),
    Fault("dossier_code_no_date", Reason.BAD_DOSSIER_CODE, _with("dossier_code", "000.00.00.H26-0001")),
    Fault("dossier_code_is_a_procedure", Reason.BAD_DOSSIER_CODE, _with("dossier_code", "1.001612")),
    Fault("dossier_code_30_february", Reason.IMPOSSIBLE_DATE, _with("dossier_code", "000.00.00.H26-240230-0001")),
    Fault("dossier_code_month_13", Reason.IMPOSSIBLE_DATE, _with("dossier_code", "H26.17-20241301-0000001")),
    Fault("agency_unknown", Reason.UNKNOWN_AGENCY, _with("agency_code", "Z99")),
    Fault("agency_empty", Reason.UNKNOWN_AGENCY, _with("agency_code", "")),
    Fault("agency_of_a_lower_level_unknown", Reason.UNKNOWN_AGENCY, _with("agency_code", "000.00.25.Z99")),
    Fault("agency_code_is_a_dossier_code", Reason.UNKNOWN_AGENCY, _with("agency_code", "000.00.25.H26-240502-0001")),
    Fault("procedure_code_with_spaces", Reason.BAD_PROCEDURE_CODE, _with("procedure_code", "1.001612 (sửa đổi)")),
    Fault("procedure_code_empty", Reason.BAD_PROCEDURE_CODE, _with("procedure_code", "")),
    Fault("procedure_code_with_escaped_nul", Reason.BAD_PROCEDURE_CODE, _with("procedure_code", "1.001612\0")),
    Fault("status_0", Reason.UNKNOWN_STATUS, _with("status", 0)),
    Fault("status_11", Reason.UNKNOWN_STATUS, _with("status", 11)),
    Fault("status_negative", Reason.UNKNOWN_STATUS, _with("status", -9)),
    Fault("status_huge", Reason.UNKNOWN_STATUS, _literal("status", "9" * 40)),
    Fault("channel_4", Reason.UNKNOWN_CHANNEL, _with("channel", 4)),
    Fault("service_level_unknown", Reason.UNKNOWN_SERVICE_LEVEL, _with("service_level", "muc_do_4")),
    Fault("service_level_in_capitals", Reason.UNKNOWN_SERVICE_LEVEL, _with("service_level", "TOAN_TRINH")),
    Fault("occurred_at_without_offset", Reason.BAD_OCCURRED_AT, _with("occurred_at", "2024-05-02T08:30:00.000")),
    Fault("occurred_at_local_form", Reason.BAD_OCCURRED_AT, _with("occurred_at", "20240502083000")),
    Fault("occurred_at_day_first", Reason.BAD_OCCURRED_AT, _with("occurred_at", "02/05/2024 08:30:00")),
    Fault("occurred_at_30_february", Reason.IMPOSSIBLE_DATE, _with("occurred_at", "2024-02-30T08:30:00.000+07:00")),
    Fault("occurred_at_25_hours", Reason.IMPOSSIBLE_DATE, _with("occurred_at", "2024-05-02T25:30:00.000+07:00")),
    Fault("legacy_level_7", Reason.UNKNOWN_LEGACY_LEVEL, _with("legacy_level", 7)),
    Fault("due_at_without_offset", Reason.BAD_DUE_AT, _with("due_at", "2024-05-12T17:00:00.000")),
    Fault("due_at_is_a_day", Reason.BAD_DUE_AT, _with("due_at", "12/05/2024")),
    Fault("due_at_year_1900", Reason.BAD_DUE_AT, _with("due_at", "1900-01-01T00:00:00+07:00")),
    Fault("due_at_end_of_the_calendar", Reason.BAD_DUE_AT, _with("due_at", "9999-12-31T23:59:59+07:00")),
    Fault("due_at_31_june", Reason.IMPOSSIBLE_DATE, _with("due_at", "2024-06-31T17:00:00.000+07:00")),
    Fault("returned_by_pigeon", Reason.UNKNOWN_RETURN, _with("returned_by", "pigeon")),
    Fault("portal_id_with_slash", Reason.BAD_PORTAL_ID, _with("portal_id", "https://dvc.example/")),
    # A well-formed event at an impossible time.
    Fault("before_the_agency", Reason.AGENCY_NOT_IN_FORCE, _with("occurred_at", "2015-05-04T08:30:00.000+07:00")),
    Fault("year_2100", Reason.IN_THE_FUTURE, _with("occurred_at", "2100-01-04T08:30:00.000+07:00")),
    Fault("end_of_the_calendar", Reason.IN_THE_FUTURE, _with("occurred_at", "9999-12-31T23:59:59.999Z")),
)


def malformed(seed: int, count: int) -> Iterator[Malformed]:
    """``count`` malformed messages, each kind in turn, each from another event; a pure function of the seed."""
    rng = rng_of(seed, "malformed")
    ids = EventIds(seed, "malformed")
    for number, fault in enumerate(itertools.islice(itertools.cycle(FAULTS), count), start=1):
        code = f"000.00.00.H26-240502-{number:04d}"
        fields: _Fields = {
            "event_id": ids.of(code, 1),
            "dossier_code": code,
            "agency_code": "H26",
            "procedure_code": f"1.{int(rng.integers(1, 13_000)):06d}",
            "status": 9,
            "channel": 2,
            "service_level": "toan_trinh",
            "occurred_at": "2024-05-02T08:30:00.000+07:00",
            "returned_by": "online",
        }
        # Some broken senders set no key either.
        key = None if rng.random() < 0.3 else code.encode()
        yield Malformed(fault.kind, fault.reason, key, fault.corrupt(fields))


def mix(messages: Iterable[Message], faults: Iterable[Malformed], *, positions: Iterable[int]) -> Iterator[Message]:
    """The messages, with a malformed message before each of the ascending ``positions`` (several may share one).

    When either input ends, the other continues alone; positions beyond the end are not used.
    """
    due = iter(positions)
    spoiled = iter(faults)
    position = next(due, None)
    for number, message in enumerate(messages):
        while position is not None and position <= number:
            fault = next(spoiled, None)
            if fault is None:
                position = None
                break
            yield Message(fault.key, fault.value, message.occurred_at, Kind.MALFORMED)
            position = next(due, None)
        yield message
