"""A message that matches a template is read as JSON reads it: no other message matches, and no value changes."""

from __future__ import annotations

import json

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.decode.message_template import infer_template
from pipeline.decode.templates import MessageTemplates
from tests.budget import examples
from tests.property.test_decode import agree, sound_fields

TEXTS = ("event_id", "agency_code", "occurred_at", "portal_id")
NUMBERS = ("status", "channel")
PLAIN = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FFF, exclude_characters='"\\'), max_size=12)

PIECES = (b"", b'"', b'""', b"\\", b'\\"', b",", b":", b"}", b"0", b"00", b"7", b"-1", b" ", b"\n", b"\xc3")


@st.composite
def templates(draw):
    """How a serialiser writes its messages: order of the names, spaces, names that are null."""
    names = draw(st.permutations([*TEXTS, *NUMBERS, "extra", "note.vi"]))[: draw(st.integers(3, 8))]
    nulls = {name for name in names if draw(st.integers(0, 9)) == 0}
    gaps = [draw(st.sampled_from(["", "", " ", "  "])) for _ in range(4)]
    return names, nulls, gaps


def write(template, draw):
    """One message with random values."""
    names, nulls, (lead, before, after, trail) = template
    members = []
    for name in names:
        if name in nulls:
            value = "null"
        elif name in NUMBERS:
            value = str(draw(st.integers(0, 99)))
        else:
            value = f'"{draw(PLAIN)}"'
        members.append(f'{lead}"{name}"{before}:{after}{value}{trail}')
    return ("{" + ",".join(members) + "}").encode()


@st.composite
def batches(draw):
    """Messages with a few templates, some of them damaged in one place."""
    kinds = draw(st.lists(templates(), min_size=1, max_size=3))
    values = [write(draw(st.sampled_from(kinds)), draw) for _ in range(draw(st.integers(1, 14)))]
    for _ in range(draw(st.integers(0, 3))):
        values.insert(draw(st.integers(0, len(values))), damaged(draw(st.sampled_from(values)), draw))
    return values


def damaged(value, draw):
    """A message with one range of bytes changed, removed, doubled or extended."""
    at = draw(st.integers(0, len(value)))
    to = draw(st.integers(at, min(len(value), at + 6)))
    piece = draw(
        st.sampled_from([b"", b'"', b'""', b"\\", b'\\"', b",", b":", b"}", b"0", b"00", b"7", b"-1", b" ", b"\n", b"\xc3"])
    )
    return value[:at] + piece + draw(st.sampled_from([b"", value[at:to]])) + value[to:]


def fresh():
    """Templates without any inferred yet."""
    return MessageTemplates(texts=TEXTS, numbers=NUMBERS, required=())


@settings(max_examples=examples(600))
@given(batches())
@example([b'{"status":1}', b'{"status":07}', b'{"status":7 }', b'{"status":}', b'{"status":123}'])
@example([b'{"event_id":"a","status":1}', b'{"event_id":"a\\","status":1}', b'{"event_id":"a\n","status":1}'])
@example([b'{"event_id":"a"}', b'{"event_id":"\xc3"}', b'{"event_id":"\xc3\xa0"}', b'{"event_id":"b"}{"event_id":"c"}'])
@example([b'{"event_id":"a"}', b"", b'{"event_id":"b"}', None, b'{"event_id":"c"}'])
def test_what_matches_reads_as_json_reads_it(values):
    """Every message is matched once or left over; a matched message is JSON with exactly the values found."""
    found = fresh()
    for _ in range(2):  # the second time with the inferred templates
        groups, rest = found.split(values)
        places = np.concatenate([rest, *(group.positions for group in groups)])
        assert sorted(places.tolist()) == list(range(len(values)))
        assert rest.tolist() == sorted(rest.tolist())
        for group in groups:
            columns = {name: group.column(name) for name in (*TEXTS, *NUMBERS)}
            for row, position in enumerate(group.positions.tolist()):
                sent = json.loads(values[position])
                assert {name: column[row].as_py() for name, column in columns.items() if column is not None} == {
                    name: value for name, value in sent.items() if name in columns and value is not None
                }


@settings(max_examples=examples(300))
@given(st.data())
def test_a_damaged_message_harms_no_intact_one(data):
    """A damaged message gets the validator's verdict; its intact neighbours with the same template are events."""
    fields = data.draw(sound_fields())
    sound = json.dumps(fields, ensure_ascii=False, separators=data.draw(st.sampled_from([(",", ":"), (", ", ": ")]))).encode()
    values = [sound] * 5
    for _ in range(data.draw(st.integers(1, 3))):
        values.insert(data.draw(st.integers(0, len(values))), damaged(sound, data.draw))
    agree(values)


def test_messages_of_many_portals_are_all_matched():
    """More than one block of messages with several alternating templates: no message is left to the parser."""
    values = []
    for number in range(30_000):
        names = (("status", "channel"), ("channel", "status"), ("status", "portal_id"))[number % 3]
        values.append(json.dumps({name: str(number) if name == "portal_id" else number % 9 for name in names}).encode())
    groups, rest = fresh().split(values)
    assert len(rest) == 0
    assert sorted(len(group.positions) for group in groups) == [10_000, 10_000, 10_000]
    assert [group.column("portal_id")[7].as_py() for group in groups if group.column("portal_id") is not None] == ["23"]


def test_an_irregular_message_hides_no_template():
    """A message without a template at the front does not keep the templates of others from being inferred."""
    odd, even = b'{"status":1,"event_id":true}', b'{"status":1,"event_id":"A"}'
    _, rest = fresh().split([odd] + [even] * 999)
    assert rest.tolist() == [0]


def test_a_template_without_required_fields_is_not_used():
    """Messages that cannot be events are left to the parser."""
    found = MessageTemplates(texts=TEXTS, numbers=NUMBERS, required=("event_id",))
    assert found.split([b'{"status":1}'] * 5)[1].tolist() == [0, 1, 2, 3, 4]


def test_only_flat_objects_have_a_template():
    """Only flat objects of plain texts, small numbers and nulls can be matched."""
    for message in (
        b"",
        b"{}",
        b"[]",
        b'{"status":1,}',
        b'{"status":1}}',
        b'{"status":1.0}',
        b'{"status":01}',
        b'{"status":100}',
        b'{"status":true}',
        b'{"status":"1"}',
        b'{"status":{"a":1}}',
        b'{"status":1,"status":1}',
        b'{"other":1}',
        b'{"status":1 "channel":1}',
        b' {"status":1}',
        b'{"x":"' + b'","y":"'.join([b"a"] * 3) + b'"}',
    ):
        assert infer_template(message, texts=frozenset(TEXTS), numbers=frozenset(NUMBERS)) is None, message
