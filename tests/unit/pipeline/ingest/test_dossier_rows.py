"""Which rows of the index are the same message."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from pipeline.ingest import dossier_rows
from pipeline.ingest.dossier_rows import distinct_messages
from tests.factories import an_event
from tests.property.test_dossiers import columns_of

FIRST = an_event(status=9)
SECOND = dataclasses.replace(FIRST, channel=1)
#: The first message three times, twice with a claim; the second one once.
ROWS = columns_of([FIRST, SECOND, FIRST, FIRST])
CLAIMS = np.array([6, 0, 0, 1], dtype=np.uint16)


def test_rows_with_equal_fields_are_one_message():
    """A claim belongs to the message with the same fields, and the row of a message is not one of its claims."""
    message, first = distinct_messages(ROWS, CLAIMS)
    assert message[0] == message[2] == message[3] != message[1]
    assert sorted(first) == [1, 2]
    assert [first[number] for number in message] == [2, 1, 2, 2]


@pytest.mark.parametrize("constant", [0, 7])
def test_different_messages_with_one_hash_stay_apart(monkeypatch, constant):
    """Should two messages have the same hash, they are still two."""
    usual = [part.tolist() for part in distinct_messages(ROWS, CLAIMS)]
    monkeypatch.setattr(dossier_rows, "_hash", lambda keys: np.full(len(keys[0]), constant, dtype=np.uint64))
    message, first = distinct_messages(ROWS, CLAIMS)
    assert [first[number] for number in message] == [usual[1][number] for number in usual[0]]


def test_a_claim_without_its_message_has_no_number():
    """The message may have been deleted; its claim is ignored."""
    message, first = distinct_messages(columns_of([FIRST, SECOND]), np.array([0, 3], dtype=np.uint16))
    assert message.tolist() == [0, -1]
    assert first.tolist() == [0]


def test_no_rows():
    """Nothing is nothing."""
    message, first = distinct_messages(columns_of([]), np.array([], dtype=np.uint16))
    assert (message.tolist(), first.tolist()) == ([], [])
