"""The validator: the contract of a message, fault by fault."""

from __future__ import annotations

import datetime as dt

import pytest

from domain.agencies import AgencyRegistry
from domain.errors import InvariantError
from domain.events import REQUIRED_FIELDS, DossierEvent, Reason, Rejection
from domain.periods import FIRST_INSTANT, LAST_INSTANT
from domain.units import level_one
from pipeline.decode.validator import EventValidator
from tests.factories import LATEST, NOT_FROM_CONTENT, a_message

#: A message for every reason that a message can have by its content, and a text that its detail must contain.
FAULTS = {
    Reason.EMPTY: (None, "no content"),
    Reason.TOO_LARGE: (b"x" * 65_537, "65537 bytes"),
    Reason.NOT_UTF8: (b'{"a": "\xff"}', "utf-8"),
    Reason.NOT_JSON: (b"{", "truncated"),
    Reason.NOT_AN_OBJECT: (b"[1]", "array"),
    Reason.MISSING_FIELD: (a_message(status=...), "status"),
    Reason.WRONG_TYPE: (a_message(status="9"), "status must be a whole number"),
    Reason.BAD_EVENT_ID: (a_message(event_id="{00000000-0000-0000-0000-000000000001}"), "event_id"),
    Reason.BAD_DOSSIER_CODE: (a_message(dossier_code="1.001612.000.00.00.H19"), "dossier_code"),
    Reason.IMPOSSIBLE_DATE: (a_message(dossier_code="H17-230229-0001"), "does not exist"),
    Reason.BAD_PROCEDURE_CODE: (a_message(procedure_code="1.001 612"), "procedure_code"),
    Reason.UNKNOWN_AGENCY: (a_message(agency_code="H99"), "'H99'"),
    Reason.AGENCY_NOT_IN_FORCE: (a_message(occurred_at="2016-03-31T23:59:59+07:00"), "2016-03-31"),
    Reason.UNKNOWN_STATUS: (a_message(status=11), "'11'"),
    Reason.UNKNOWN_CHANNEL: (a_message(channel=0), "channel"),
    Reason.UNKNOWN_SERVICE_LEVEL: (a_message(service_level="TOAN_TRINH"), "TOAN_TRINH"),
    Reason.UNKNOWN_LEGACY_LEVEL: (a_message(legacy_level=5), "legacy_level"),
    Reason.UNKNOWN_RETURN: (a_message(returned_by="pigeon"), "returned_by"),
    Reason.BAD_OCCURRED_AT: (a_message(occurred_at="2024-01-02T08:30:00"), "occurred_at"),
    Reason.BAD_DUE_AT: (a_message(due_at="2024-01-12"), "due_at"),
    Reason.IN_THE_FUTURE: (a_message(occurred_at="2026-01-01T00:00:00.001Z"), "later than"),
    Reason.BAD_PORTAL_ID: (a_message(portal_id=" "), "portal_id"),
}


@pytest.fixture(scope="module")
def validator(registry):
    """The validator over the packaged registry."""
    return EventValidator(registry)


@pytest.mark.parametrize("reason", list(FAULTS))
def test_every_reason_has_its_message(validator, reason):
    """Each reason of the closed list is given for its own fault, with a detail that names the field."""
    value, word = FAULTS[reason]
    rejection = validator.validate(value, latest=LATEST)
    assert rejection.reason is reason
    assert word in rejection.detail


@pytest.mark.parametrize(
    ("text", "half"),
    [
        (r"\ud800", r"\ud800"),
        (r"a\uD800b", r"\uD800"),
        (r"\ud800 and a text behind it", r"\ud800"),
        (r"\udc00", r"\udc00"),
        (r"\ud800\ud83d\ude00", r"\ud800"),
        (r"\ud83d\ude00\ude00", r"\ude00"),
        (r"\\\udfff", r"\udfff"),
    ],
)
@pytest.mark.parametrize("field", ["portal_id", "note"])
def test_half_of_a_surrogate_pair_is_named(validator, text, half, field):
    """JSON can write half of a pair, which is not a character. The message is complete, so it is not called cut off."""
    value = a_message(portal_id="x", note="x").replace(f'"{field}": "x"'.encode(), f'"{field}": "{text}"'.encode())
    assert text.encode() in value
    rejection = validator.validate(value, latest=LATEST)
    assert rejection.reason is Reason.NOT_JSON
    assert rejection.detail == f"{half} is half of a surrogate pair, not a character"


@pytest.mark.parametrize("value", [rb'{"portal_id":"\ud800', rb'{"portal_id":"\\ud800"', rb'{"a":"\ud83d\ude00"', rb'{"a":"\ud8'])
def test_a_message_that_is_cut_off_is_called_so(validator, value):
    """A message that ends early is cut off, whatever its last escape is."""
    rejection = validator.validate(value, latest=LATEST)
    assert rejection.reason is Reason.NOT_JSON
    assert "surrogate" not in rejection.detail


def test_no_reason_is_forgotten():
    """Every reason that a message can have by its content has an example above."""
    assert set(FAULTS) == set(Reason) - NOT_FROM_CONTENT


@pytest.mark.parametrize(
    "text",
    [
        "9999-12-31T16:59:59.999Z",
        "9999-12-31T17:00:00Z",
        "9999-12-31T23:59:59.999999999Z",
        "9999-12-31T23:59:59+00:00",
        "9999-12-31 23:59Z",
    ],
)
def test_a_time_at_the_end_of_the_calendar_lies_in_the_future(validator, text):
    """The last representable times, which some systems use for "no end date", are rejected as in the future."""
    rejection = validator.validate(a_message(occurred_at=text), latest=LATEST)
    assert rejection.reason is Reason.IN_THE_FUTURE


def test_no_event_lies_beyond_the_days_that_tallies_can_hold(validator):
    """At any tolerance, an event later than the last day of the tally tables is in the future."""
    latest = dt.datetime(2130, 1, 1, tzinfo=dt.UTC)
    inside = validator.validate(a_message(occurred_at="2106-02-06T23:59:59.999+07:00"), latest=latest)
    outside = validator.validate(a_message(occurred_at="2106-02-07T00:00:00.000+07:00"), latest=latest)
    assert inside.occurred_at == LAST_INSTANT
    assert outside.reason is Reason.IN_THE_FUTURE


class BrokenRegistry(AgencyRegistry):
    """A registry whose answer is an error."""

    error: Exception

    def responsible(self, code, day):  # noqa: ARG002 - as in the base class
        raise self.error


def broken(error):
    """A validator that fails with ``error`` when it looks up the agency of a message."""
    registry = BrokenRegistry(AgencyRegistry.packaged())
    registry.error = error
    return EventValidator(registry)


class _UnreadableError(Exception):
    def __str__(self):
        raise ValueError


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ZeroDivisionError("division by zero"), "ZeroDivisionError in test_validator.py:"),
        (RecursionError(), "RecursionError"),
        (ValueError("\ud800 \x00\n"), "ValueError in test_validator.py:"),
        (KeyError("Nguyễn" * 5_000), "KeyError"),
        (_UnreadableError(), "_UnreadableError"),
    ],
)
def test_an_unforeseen_error_rejects_its_message(error, words):
    """An error of the program that one message causes is its rejection, with type and place and without text."""
    rejection = broken(error).validate(a_message(), latest=LATEST)
    assert rejection.reason is Reason.UNFORESEEN
    assert words in rejection.detail
    assert rejection.detail.isascii()
    assert rejection.detail.isprintable()
    assert "Nguy" not in rejection.detail
    assert len(rejection.detail) < 100


@pytest.mark.parametrize("error", [MemoryError(), InvariantError("counted twice")])
def test_an_error_of_the_process_is_no_refusal(error):
    """Lack of memory and a broken invariant are not the message's fault: they stop the worker."""
    with pytest.raises(type(error)):
        broken(error).validate(a_message(), latest=LATEST)


def test_the_detail_is_short_and_printable(validator):
    """Line breaks and long texts of a message do not appear in the detail."""
    rejection = validator.validate(a_message(portal_id="\n\x1b[2J" + "ế" * 5_000), latest=LATEST)
    assert rejection.reason is Reason.BAD_PORTAL_ID
    assert len(rejection.detail) < 400
    assert rejection.detail.isascii()
    assert rejection.detail.isprintable()


def test_the_order_of_checks_is_fixed(validator):
    """A message with several faults gets the reason of the first: fields in order, then the future, then the agency."""
    value = a_message(event_id="x", status=0, occurred_at="x", agency_code="?")
    assert validator.validate(value, latest=LATEST).reason is Reason.BAD_EVENT_ID
    future = a_message(agency_code="H17", occurred_at="2030-01-01T00:00:00Z", portal_id=" ")
    assert validator.validate(future, latest=LATEST).reason is Reason.BAD_PORTAL_ID


def test_an_event_with_everything(validator):
    """All fields arrive, the time in UTC and whole milliseconds, unknown fields omitted."""
    event = validator.validate(
        a_message(
            occurred_at="2024-01-02T08:30:00.123999+07:00",
            legacy_level=4,
            returned_by="post",
            portal_id="dvc:1",
            due_at="2024-01-12 17:00+07",
            applicant={"name": "nobody"},
        ),
        latest=LATEST,
    )
    assert isinstance(event, DossierEvent)
    assert event.occurred_at == dt.datetime(2024, 1, 2, 1, 30, 0, 123_000, dt.UTC)
    assert event.due_at == dt.datetime(2024, 1, 12, 10, tzinfo=dt.UTC)
    assert (event.legacy_level, event.returned_by, event.portal_id) == (4, "post", "dvc:1")
    assert "nobody" not in repr(event)


MISSING = {"channel": 0, "service_level": "", "legacy_level": 0, "returned_by": "", "due_at": None, "portal_id": ""}


@pytest.mark.parametrize("name", MISSING)
@pytest.mark.parametrize("value", [..., None, ""], ids=["absent", "null", "empty"])
def test_a_missing_optional_field_is_accepted(validator, name, value):
    """An optional field that is absent, null or empty is missing, and the message is an event."""
    event = validator.validate(a_message(**{name: value}), latest=LATEST)
    assert isinstance(event, DossierEvent), event
    assert getattr(event, name) == MISSING[name]


@pytest.mark.parametrize("name", MISSING)
@pytest.mark.parametrize("value", [" ", [], {}, False, 0.0, "null"], ids=repr)
def test_an_optional_field_with_another_value_is_not_missing(validator, name, value):
    """Only absent, null and empty text mean missing: other values that stand for nothing are rejected."""
    event = validator.validate(a_message(**{name: value}), latest=LATEST)
    if (name, value) == ("portal_id", "null"):  # a text like any other
        assert event.portal_id == "null"
    else:
        assert event.reason in {
            *(Reason.WRONG_TYPE, Reason.UNKNOWN_SERVICE_LEVEL, Reason.UNKNOWN_RETURN, Reason.BAD_DUE_AT, Reason.BAD_PORTAL_ID),
        }


@pytest.mark.parametrize("name", REQUIRED_FIELDS)
@pytest.mark.parametrize("value", [..., None], ids=["absent", "null"])
def test_a_required_field_must_be_sent(validator, name, value):
    """Without a required field a message is not an event."""
    assert validator.validate(a_message(**{name: value}), latest=LATEST).reason is Reason.MISSING_FIELD


@pytest.mark.parametrize(
    ("text", "due"),
    [
        ("2024-01-12T17:00:00.123999+07:00", dt.datetime(2024, 1, 12, 10, 0, 0, 123_000, dt.UTC)),
        ("2023-12-01 08:00Z", dt.datetime(2023, 12, 1, 8, tzinfo=dt.UTC)),
        ("2090-01-01T00:00:00Z", dt.datetime(2090, 1, 1, tzinfo=dt.UTC)),
        ("1976-01-01T00:00:00+07:00", FIRST_INSTANT),
        ("2106-02-06T23:59:59.999+07:00", LAST_INSTANT),
    ],
)
def test_a_due_date_may_lie_before_the_event_and_in_the_future(validator, text, due):
    """A due date has the forms of every time, and may be any instant that tables can hold."""
    assert validator.validate(a_message(due_at=text), latest=LATEST).due_at == due


@pytest.mark.parametrize(
    "text", ["1975-12-31T16:59:59.999Z", "2106-02-06T17:00:00Z", "0001-01-01T00:00:00Z", "9999-12-31T00:00Z"]
)
def test_a_due_date_that_no_table_holds_is_rejected(validator, text):
    """Due dates before 1976 and after the last day of the tables, often placeholders for "none", are rejected by name."""
    rejection = validator.validate(a_message(due_at=text), latest=LATEST)
    assert rejection.reason is Reason.BAD_DUE_AT
    assert "outside of 1976-01-01 to 2106-02-06" in rejection.detail


@pytest.mark.parametrize(
    ("agency_code", "dossier_code", "at", "expected"),
    [
        ("000.00.12.H17", "H17-240102-0001", "2024-01-02", ("H17", True)),
        ("H17.12", "H17.12-240102-0001", "2024-01-02", ("H17", True)),
        ("H17.1.22.333.4", "H17-240102-0001", "2024-01-02", ("H17", True)),
        ("000.00.12.H02", "000.00.12.H02-250630-0001", "2025-06-30", ("H02", True)),
        ("000.00.12.H02", "000.00.12.H02-250630-0001", "2025-07-01", ("H05", True)),
        # The successor sends the history again, under its own code.
        ("H05", "H02-250601-0001", "2025-06-30", ("H02", True)),
        ("000.00.12.H05", "H02.7-250601-0001", "2025-06-30", ("H02", True)),
        ("H05", "H02-250601-0001", "2025-07-01", ("H05", True)),
        # Units that no succession links.
        ("H17", "H26-240102-0001", "2024-01-02", ("H17", False)),
        ("H02", "H05-250601-0001", "2025-06-30", ("H02", False)),
        ("H17", "Z99-240102-0001", "2024-01-02", ("H17", False)),
    ],
)
def test_the_unit_of_an_event(validator, agency_code, dossier_code, at, expected):
    """The unit is found from both codes and the day: full codes, mergers, and history that a successor sends."""
    sent = a_message(agency_code=agency_code, dossier_code=dossier_code, occurred_at=f"{at}T12:00:00+07:00")
    event = validator.validate(sent, latest=LATEST)
    assert (event.agency, event.named_by_code) == expected


@pytest.mark.parametrize("code", ["", "h17", "H17 ", "H17.", ".H17", "12.H17.1234", "1.2.3.4.H17", "H17-1", "000.00.12.Z99"])
def test_other_agency_codes_are_unknown(validator, code):
    """A text that is not an agency code, or whose level 1 is not in the registry, is rejected."""
    assert validator.validate(a_message(agency_code=code), latest=LATEST).reason is Reason.UNKNOWN_AGENCY


@pytest.mark.parametrize(
    "code",
    [
        *("000.00.00.H26-230101-0001", "000.A0.01.H26-210212-9090", "38.98.H29-210519-0003", "000.00.01.H29-260310-0420"),
        *("000.00.01.H26-260930-0012", "000.00.00.H05-260818-0001", "G09.20-20260609-0092637", "H55.242-250101-0001"),
    ],
)
def test_dossier_codes_seen_in_use(validator, code):
    """The codes that public systems print are accepted."""
    assert isinstance(validator.validate(a_message(dossier_code=code), latest=LATEST), DossierEvent)


@pytest.mark.parametrize(
    "code", ["1.001612", "1.001612.000.00.00.H19", "H17-240102-001", "h17-240102-0001", "H17-2401021-0001", "H17-240102-0001\n"]
)
def test_other_codes_are_none(validator, code):
    """Procedure codes and malformed dossier codes are refused."""
    assert validator.validate(a_message(dossier_code=code), latest=LATEST).reason is Reason.BAD_DOSSIER_CODE


def test_the_verdict_does_not_depend_on_the_depth_of_the_stack(validator):
    """The verdict depends on the message alone, not on the number of stack frames of the caller."""
    nested = a_message()[:-1] + b', "x": ' + b"[" * 700 + b"]" * 700 + b"}"

    def deeper(frames):
        return validator.validate(nested, latest=LATEST) if frames == 0 else deeper(frames - 1)

    assert type(deeper(600)) is type(deeper(0))


@pytest.mark.parametrize("sent", ["H17", "000.00.12.H17", "H17.12", "000.00.16.H62", "H62"])
@pytest.mark.parametrize("portal", [None, "H17", "H62", "XX", ""])
def test_a_portal_reports_for_its_own_agency_only(validator, sent, portal):
    """In a portal's topic the level 1 of the agency code as sent is that of the portal; in a shared topic it may be any."""
    own = portal is None or level_one(sent) == portal
    verdict = validator.validate(a_message(agency_code=sent), latest=LATEST, portal=portal)
    if own:
        assert isinstance(verdict, DossierEvent)
    else:
        assert verdict == Rejection(Reason.WRONG_PORTAL, f"agency_code {sent} in the topic of portal {portal!r}")


def test_another_fault_is_named_before_the_portal(validator):
    """The portal is compared last: a fault has the same reason in a shared topic and in that of a portal."""
    assert validator.validate(a_message(agency_code="X99"), latest=LATEST, portal="H17").reason is Reason.UNKNOWN_AGENCY
    assert validator.validate(a_message(status=99), latest=LATEST, portal="H62").reason is Reason.UNKNOWN_STATUS
