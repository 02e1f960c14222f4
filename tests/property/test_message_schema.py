"""The JSON Schema of messages against the validator: for any message, they differ only in what a schema cannot express."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from domain.agencies import AgencyRegistry
from domain.events import (
    DOSSIER_CODE,
    EVENT_ID,
    FIELDS,
    OCCURRED_AT,
    OPTIONAL_FIELDS,
    PORTAL_ID,
    PROCEDURE_CODE,
    REQUIRED_FIELDS,
    Reason,
    Rejection,
)
from domain.message_schema import NOT_IN_SCHEMA, schema_text
from domain.periods import FIRST_INSTANT, LAST_INSTANT
from domain.units import AGENCY_CODE
from pipeline.decode.validator import EventValidator
from producers.portals.faults import FAULTS
from tests.budget import examples
from tests.factories import LATEST, a_message
from tests.property.test_decode import dossier_codes, extremes, mangled, messages, moments, names, odd_moments

SCHEMA = json.loads(schema_text())
JUDGE = Draft202012Validator(SCHEMA)
VALIDATOR = EventValidator(AgencyRegistry.packaged())
#: Fields that are numbers.
NUMBERS = ("status", "channel", "legacy_level")


def instance(value):
    """A message as the JSON value that a schema judges; a whole number that Python does not read becomes a huge one."""
    return json.loads(value, parse_int=lambda text: int(text) if len(text) < 4_000 else 10**4_000)


def beyond_a_schema(verdict, value):
    """Whether the validator rejects a message for what a schema cannot express."""
    if verdict.reason in NOT_IN_SCHEMA:
        return True
    try:
        fields = instance(value)
    except ValueError:  # something else follows a value that is not an object
        return verdict.reason is Reason.NOT_AN_OBJECT
    if verdict.reason is Reason.WRONG_TYPE:  # to a schema, 9.0 is the whole number 9
        return any(isinstance(fields.get(name), float) and fields[name].is_integer() for name in NUMBERS)
    # The bounds of a due date are instants; the schema knows years.
    return verdict.reason is Reason.BAD_DUE_AT and "outside of" in verdict.detail


def agree(value, *, latest=LATEST):
    """Judge a message both ways and compare."""
    verdict = VALIDATOR.validate(value, latest=latest)
    if not isinstance(verdict, Rejection):
        faults = [error.message for error in JUDGE.iter_errors(instance(value))]
        assert faults == [], value
    elif not beyond_a_schema(verdict, value):
        assert not JUDGE.is_valid(instance(value)), (value, verdict)


def test_the_schema_is_one():
    """It is a valid schema of the draft that it names, and its examples are events for both."""
    assert SCHEMA["$schema"] == Draft202012Validator.META_SCHEMA["$id"]
    Draft202012Validator.check_schema(SCHEMA)
    assert len(SCHEMA["examples"]) >= 3
    for fields in SCHEMA["examples"]:
        assert JUDGE.is_valid(fields)
        assert not isinstance(VALIDATOR.validate(json.dumps(fields).encode(), latest=LATEST), Rejection)


def test_the_schema_has_the_fields_and_forms_of_the_contract():
    """Fields, required fields and patterns are those of the code."""
    assert tuple(SCHEMA["properties"]) == (*REQUIRED_FIELDS, *OPTIONAL_FIELDS) == FIELDS
    assert tuple(SCHEMA["required"]) == REQUIRED_FIELDS
    text = json.dumps(SCHEMA)
    agency = "^" + AGENCY_CODE.replace("(?P<unit>[A-Z][0-9]{2})", "[A-Z][0-9]{2}") + "$"
    for pattern in (EVENT_ID, DOSSIER_CODE, PROCEDURE_CODE, PORTAL_ID, OCCURRED_AT, agency):
        assert f'"pattern": {json.dumps(pattern)}' in text


def test_a_pattern_is_one_in_any_language():
    """A pattern has no syntax that ECMA-262, RE2 and Python read differently: no lookaround, no classes by letter, no names."""
    patterns = re.findall(r'"pattern": "((?:[^"\\]|\\.)*)"', json.dumps(SCHEMA))
    assert len(patterns) >= 8
    for pattern in map(json.loads, (f'"{found}"' for found in patterns)):
        assert not re.search(r"\(\?[^:]|\\[^.n]|\[\^", pattern), pattern


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.kind)
def test_a_malformed_message_is_refused_where_a_schema_can(fault):
    """Each defect of the simulated portals is refused by the schema, unless it lies in what no schema can express."""
    value = fault.corrupt(json.loads(a_message()))
    verdict = VALIDATOR.validate(value, latest=LATEST)
    assert verdict.reason is fault.reason
    if not beyond_a_schema(verdict, value):
        assert not JUDGE.is_valid(instance(value))


@settings(max_examples=examples(800))
@given(st.one_of(messages(), messages(), mangled()))
def test_schema_and_validator_agree(value):
    """The schema accepts what the validator accepts, and refuses what it rejects for a reason that a schema can express."""
    agree(value)


@settings(max_examples=examples(400))
@given(st.one_of(moments(), odd_moments), st.sampled_from(["occurred_at", "due_at"]))
@example("2024-02-29T23:59:59.123456789+07", "occurred_at")
@example("2100-02-29T00:00Z", "due_at")
@example("1975-12-31T17:00:00Z", "due_at")
def test_they_agree_about_every_time(text, name):
    """A date or time of any form exists for both or for neither, in leap years and centuries as well."""
    agree(a_message(**{name: text}), latest=LAST_INSTANT)


@settings(max_examples=examples(400))
@given(dossier_codes())
@example("H17-20000229-0001")
@example("H17-19000229-0001")
@example("H17-000229-0001")
@example("H17-00000101-0001")
def test_they_agree_about_every_dossier_code(code):
    """The date inside a dossier code exists for both or for neither."""
    agree(a_message(dossier_code=code))


@settings(max_examples=examples(400))
@given(names, extremes)
def test_they_agree_about_extremes(name, value):
    """The oddest values of every JSON type in every field are judged alike."""
    agree(a_message(**{name: ...})[:-1] + b', "' + name.encode() + b'": ' + value + b"}")


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("text", ["", " ", "9", "H17", "H17\n", "2024-01-02T08:30:00Z\n", "online\n", "x" * 64, "x" * 65])
def test_they_agree_about_line_ends_and_lengths(name, text):
    """A line feed at the end of a value, an empty text and the longest one are judged alike in every field."""
    agree(a_message(**{name: text}))


@pytest.mark.parametrize("name", OPTIONAL_FIELDS)
def test_an_optional_field_may_be_absent_null_or_empty(name):
    """Both accept a message without an optional field, with null, and with an empty text."""
    for missing in (..., None, ""):
        value = a_message(**{name: missing})
        assert JUDGE.is_valid(instance(value))
        assert not isinstance(VALIDATOR.validate(value, latest=LATEST), Rejection)


def test_years_beyond_the_tables_are_refused():
    """The years of the schema are those in which an event can happen."""
    for year, sound in ((FIRST_INSTANT.year - 1, False), (FIRST_INSTANT.year, True), (LAST_INSTANT.year, True), (2107, False)):
        assert JUDGE.is_valid(instance(a_message(occurred_at=f"{year}-01-02T08:30:00Z"))) == sound
