"""What fuzzing has found so far, again: each input that once reached new code, and the tools of the fuzzer itself."""

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
    """Every message that fuzzing came upon is an event or a refusal with a reason, the same from decoder and judge."""
    inputs = corpus()[part::8]
    assert inputs
    for data in inputs:
        check(data)


def test_mutated_inputs_are_decided():
    """Some hundred fresh inputs, made as the fuzzer makes them, are decided as well."""
    source = random.Random(7)
    inputs = corpus()
    reasons = set()
    for _ in range(400):
        data = mutated(source.choice(inputs), source, lambda piece: piece[::-1])
        check(data)
        latest, values = messages_of(data)
        reasons |= {getattr(target._VALIDATOR.validate(value, latest=latest), "reason", "event") for value in values}
    assert len(reasons) > 12, "the mutations reach most of the contract"


class ContraryJudge:
    """Refuses every message as empty."""

    def validate(self, value, *, latest):  # noqa: ARG002 - as the judge
        return Rejection(Reason.EMPTY, "")


def test_the_fuzzer_notices_a_wrong_verdict(monkeypatch):
    """A decoder that says something else than the judge is a finding."""
    data = b"\x00" + json.dumps(SOUND).encode() + SEPARATOR + TOMBSTONE
    check(data)
    monkeypatch.setattr(target, "_VALIDATOR", ContraryJudge())
    with pytest.raises(AssertionError):
        check(data)


def test_the_corpus_keeps_the_smallest_inputs_that_reach_as_much():
    """Of inputs that take the same way through the code and get the same verdicts the smallest stays."""
    event = b"\x00" + json.dumps(SOUND).encode()
    larger = event.replace(b"1.001612", b"1.0016120000")
    assert smallest_cover([larger, event, b"\x00", event]) == [b"\x00", event]
