"""Ids and times are changed where asked and nothing else is; loops and spacing are a function of the recording."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.messages import Kind, Message
from producers.portals.event_ids import derived_id
from producers.replay.transforms.loops import RepeatedMessage, id_label, repeated, with_new_event_id
from producers.replay.transforms.rewriting import local_text, rewritten
from producers.replay.transforms.spacing import DueQueue, Spacing

OLD = "0190163d-8694-8f6a-a123-0000000000ff"
VALUE = b'{"event_id": "%s","x":{"y":"\\u1ea1"},"occurred_at":"2024-05-02T08:30:00Z"}' % OLD.encode()


def test_only_id_and_time_change():
    """Spaces, order, other fields and escapes stay as they are."""
    changed = rewritten(VALUE, label="loop 2", at=1_714_613_400_001)
    expected = VALUE.replace(OLD.encode(), derived_id(OLD, "loop 2").encode())
    assert changed == expected.replace(b"2024-05-02T08:30:00Z", b"2024-05-02T08:30:00.001+07:00")
    assert rewritten(VALUE) == VALUE


@pytest.mark.parametrize(
    "value",
    [
        b'{"inner":{"event_id":"%s"},"event_id":"%s","occurred_at":"x"}' % (OLD.encode(), OLD.encode()),
        b'{"\\u0065vent_id":"%s"}' % OLD.encode(),
        b'{"event_id":"a","event_id":"%s"}' % OLD.encode(),
    ],
)
def test_odd_json_is_rewritten_by_a_json_library(value):
    """Nested, escaped or repeated names: the field itself changes, the others do not."""
    assert json.loads(rewritten(value, label="l"))["event_id"] == derived_id(OLD, "l")


@given(st.binary(max_size=60))
def test_what_is_no_event_stays(value):
    """Rewriting never fails and leaves every message alone that has no id."""
    assert rewritten(value, label="l", at=0) == value


def test_derived_ids_are_uuids_that_follow_from_both_texts():
    """Same id and label, same result, whatever the case; another label, another id."""
    assert derived_id(OLD, "a") == derived_id(OLD.upper(), "a") != derived_id(OLD, "b")
    assert derived_id(OLD, "a")[14] == "8"
    assert local_text(1_714_613_400_123) == "2024-05-02T08:30:00.123+07:00"


def test_the_first_loop_is_the_recording_and_an_empty_one_ends():
    """Ids change from the second loop on, or in every loop when the events are rebased."""
    message = Message(b"k", VALUE, 1, Kind.RAW)
    assert [id_label(1), id_label(2)] == [None, "loop 2"]
    assert id_label(1, rebased="t") == "loop 1 t"
    assert with_new_event_id(message, 1) is message
    assert with_new_event_id(message, 2).value != VALUE
    assert [item.loop for item in repeated(lambda: [message], loops=3)] == [1, 2, 3]
    assert list(repeated(list, loops=0)) == []


def test_spacing_follows_the_newest_time_and_goes_on_in_the_next_loop():
    """Late and undated messages are due together with those before them; a loop begins where the last one ended."""
    repeated = [
        RepeatedMessage(Message(None, b"", at, Kind.RAW), loop)
        for loop in (1, 2)
        for at in (100_000, 110_000, 95_000, 0, 120_000)
    ]
    due = [item.after for item in Spacing(speed=2.0).due(repeated)]
    assert due == [0, 5, 5, 5, 10, 10, 15, 15, 15, 20]
    assert [item.after for item in Spacing(rate=4.0).due(repeated)][:3] == [0, 0.25, 0.5]
    assert {item.after for item in Spacing().due(repeated)} == {0.0}


def test_a_time_that_no_event_can_have_holds_nothing_back():
    """An event of the year 9999, or of the year 1, is due with those before it and delays none after it."""
    now, year = 1_714_613_400_000, 31_536_000_000
    times = (-62_135_596_800_000, now, 253_402_300_799_000, now + 10_000)
    repeated = [RepeatedMessage(Message(None, b"", at, Kind.RAW), 1) for at in times]
    assert [item.after for item in Spacing(speed=1.0, valid_times=(now - year, now + year)).due(repeated)] == [0, 0, 0, 10]


def test_a_queue_hands_out_what_is_due_and_says_when_the_next_is():
    """Times count from the first message taken; at most ``limit`` at once."""
    queue = DueQueue(Spacing(rate=1.0).due(RepeatedMessage(Message(None, b"", 0, Kind.RAW), 1) for _ in range(4)))
    assert len(queue.take(until=0.0, limit=10)) == 1
    assert queue.next_due == 1.0
    assert len(queue.take(until=5.0, limit=2)) == 2
    assert queue.next_due is None
    assert len(queue.take(until=5.0, limit=2)) == 1
    assert queue.take(until=9.0, limit=2) == []
