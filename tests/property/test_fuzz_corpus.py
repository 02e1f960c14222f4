"""The inputs that fuzzing found, each of which once reached new code, and the tools of the fuzzer."""

from __future__ import annotations

import json
import random

import pytest

from domain.events import Reason, Rejection
from tests.fuzz import target
from tests.fuzz.mutations import SOUND, mutated
from tests.fuzz.run import smallest_cover
from tests.fuzz.target import SEPARATOR, TOMBSTONE, check, corpus, messages_of


@pytest.mark.parametrize("part", range(8))
def test_every_input_of_the_corpus_is_decided(part):
    """Every message of the corpus is an event or a rejection with a reason, the same from decoder and validator."""
    inputs = corpus()[part::8]
    assert inputs
    for data in inputs:
        check(data)


def test_mutated_inputs_are_decided():
    """Some hundred new inputs, made as the fuzzer makes them, are decided as well."""
    source = random.Random(7)
    inputs = corpus()
    reasons = set()
    for _ in range(400):
        data = mutated(source.choice(inputs), source, lambda piece: piece[::-1])
        check(data)
        latest, values = messages_of(data)
        reasons |= {getattr(target._VALIDATOR.validate(value, latest=latest), "reason", "event") for value in values}
    assert len(reasons) > 12, "the mutations reach most of the contract"


class ContraryValidator:
    """Rejects every message as empty."""

    def validate(self, value, *, latest):  # noqa: ARG002 - as EventValidator
        return Rejection(Reason.EMPTY, "")


def test_the_fuzzer_notices_a_wrong_verdict(monkeypatch):
    """A decoder that differs from the validator is a finding."""
    data = b"\x00" + json.dumps(SOUND).encode() + SEPARATOR + TOMBSTONE
    check(data)
    monkeypatch.setattr(target, "_VALIDATOR", ContraryValidator())
    with pytest.raises(AssertionError):
        check(data)


def test_the_corpus_keeps_the_smallest_inputs_that_reach_as_much():
    """Of inputs that run the same lines and get the same verdicts the smallest stays; inputs that run other lines stay, too."""
    event = b"\x00" + json.dumps(SOUND).encode()
    larger = event.replace(b"1.001612", b"1.0016120000")
    assert smallest_cover([larger, event, b"\x00", event]) == [b"\x00", event]
    leap = event.replace(b"-240102-", b"-240229-")  # an event, too, but only to the validator
    assert smallest_cover([leap, event, b"\x00"]) == [b"\x00", *sorted([event, leap])]
