"""docs/messages.md against the code: its fields, reasons and examples are those of the contract."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from domain.agencies import AgencyRegistry
from domain.events import FIELDS, MAX_MESSAGE_BYTES, MAX_NESTING, REQUIRED_FIELDS, Reason, Rejection
from domain.message_schema import NOT_IN_SCHEMA, schema_text
from pipeline.decode.validator import EventValidator
from producers.portals.faults import FAULTS
from tests.factories import LATEST

PAGE = (Path(__file__).parents[3] / "docs" / "messages.md").read_text(encoding="utf-8")
FIELD_LINES = re.findall(r"^\| `(\w+)` \| (required|optional) \| (.*) \| (.*) \| (.*) \|$", PAGE, re.MULTILINE)


def test_the_page_lists_every_field():
    """Each field of the contract has one line, in order, and is required there exactly if it is."""
    assert [name for name, *_ in FIELD_LINES] == list(FIELDS)
    assert [name for name, needed, *_ in FIELD_LINES if needed == "required"] == list(REQUIRED_FIELDS)
    assert f"{MAX_MESSAGE_BYTES:,} bytes" in PAGE
    assert f"at most {MAX_NESTING} deep" in PAGE


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault.kind.startswith(FIELDS)], ids=lambda fault: fault.kind)
def test_a_field_names_the_reasons_of_its_wrong_values(fault):
    """A wrong value of a field leads to a reason of its line, or to that of a wrong type or a missing value."""
    (name,) = (name for name in FIELDS if fault.kind.startswith(name))
    reasons = next(reasons for field, *_, reasons in FIELD_LINES if field == name)
    assert f"`{fault.reason}`" in reasons or fault.reason is Reason.WRONG_TYPE


def test_the_page_lists_every_reason():
    """Each reason has one line, which says whether a schema can refuse such a message."""
    listed = re.findall(r"^\| `(\w+)` \| (yes|no)\b", PAGE, re.MULTILINE)
    assert listed == [(reason.value, "no" if reason in NOT_IN_SCHEMA else "yes") for reason in Reason]


def test_the_examples_are_events():
    """The validator and the schema accept every example."""
    found = [json.loads(text) for text in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)]
    judge = Draft202012Validator(json.loads(schema_text()))
    assert len(found) == 3
    for fields in found:
        assert judge.is_valid(fields)
        verdict = EventValidator(AgencyRegistry.packaged()).validate(json.dumps(fields).encode(), latest=LATEST)
        assert not isinstance(verdict, Rejection), verdict
