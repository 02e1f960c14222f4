"""Matching a layout is reading the message: nothing that is not that JSON object matches, and no value changes."""

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
def layouts(draw):
    """How a serialiser lays out its messages: names in an order, spaces, what is sent as null."""
    names = draw(st.permutations([*TEXTS, *NUMBERS, "extra", "note.vi"]))[: draw(st.integers(3, 8))]
    nulls = {name for name in names if draw(st.integers(0, 9)) == 0}
    gaps = [draw(st.sampled_from(["", "", " ", "  "])) for _ in range(4)]
    return names, nulls, gaps


def write(layout, draw):
    """One message of the layout with values of its own."""
    names, nulls, (lead, before, behind, trail) = layout
    members = []
    for name in names:
        if name in nulls:
            value = "null"
        elif name in NUMBERS:
            value = str(draw(st.integers(0, 99)))
        else:
            value = f'"{draw(PLAIN)}"'
        members.append(f'{lead}"{name}"{before}:{behind}{value}{trail}')
    return ("{" + ",".join(members) + "}").encode()


@st.composite
def crowds(draw):
    """Messages of a few layouts, and some that were damaged in one place."""
    kinds = draw(st.lists(layouts(), min_size=1, max_size=3))
    values = [write(draw(st.sampled_from(kinds)), draw) for _ in range(draw(st.integers(1, 14)))]
    for _ in range(draw(st.integers(0, 3))):
        values.insert(draw(st.integers(0, len(values))), damaged(draw(st.sampled_from(values)), draw))
    return values


def damaged(value, draw):
    """One place of a message changed, cut, doubled or stretched."""
    at = draw(st.integers(0, len(value)))
    to = draw(st.integers(at, min(len(value), at + 6)))
    piece = draw(
        st.sampled_from([b"", b'"', b'""', b"\\", b'\\"', b",", b":", b"}", b"0", b"00", b"7", b"-1", b" ", b"\n", b"\xc3"])
    )
    return value[:at] + piece + draw(st.sampled_from([b"", value[at:to]])) + value[to:]


def fresh():
    """One that has learnt nothing yet."""
    return MessageTemplates(texts=TEXTS, numbers=NUMBERS, required=())


@settings(max_examples=examples(600))
@given(crowds())
@example([b'{"status":1}', b'{"status":07}', b'{"status":7 }', b'{"status":}', b'{"status":123}'])
@example([b'{"event_id":"a","status":1}', b'{"event_id":"a\\","status":1}', b'{"event_id":"a\n","status":1}'])
@example([b'{"event_id":"a"}', b'{"event_id":"\xc3"}', b'{"event_id":"\xc3\xa0"}', b'{"event_id":"b"}{"event_id":"c"}'])
@example([b'{"event_id":"a"}', b"", b'{"event_id":"b"}', None, b'{"event_id":"c"}'])
def test_what_matches_reads_as_json_reads_it(values):
    """Every message is matched once or left over; a matched one is JSON with exactly the values found."""
    found = fresh()
    for _ in range(2):  # the second time with what was learnt
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
def test_a_damaged_message_among_its_like_is_judged_alone(data):
    """Whatever was done to one message, its neighbours of the same layout are events, and it is what the judge says."""
    fields = data.draw(sound_fields())
    sound = json.dumps(fields, ensure_ascii=False, separators=data.draw(st.sampled_from([(",", ":"), (", ", ": ")]))).encode()
    values = [sound] * 5
    for _ in range(data.draw(st.integers(1, 3))):
        values.insert(data.draw(st.integers(0, len(values))), damaged(sound, data.draw))
    agree(values)


def test_messages_of_many_portals_are_all_matched():
    """Blocks larger than one, of several layouts in turns: nothing is left to the parser."""
    values = []
    for number in range(30_000):
        names = (("status", "channel"), ("channel", "status"), ("status", "portal_id"))[number % 3]
        values.append(json.dumps({name: str(number) if name == "portal_id" else number % 9 for name in names}).encode())
    groups, rest = fresh().split(values)
    assert len(rest) == 0
    assert sorted(len(group.positions) for group in groups) == [10_000, 10_000, 10_000]
    assert [group.column("portal_id")[7].as_py() for group in groups if group.column("portal_id") is not None] == ["23"]


def test_an_unlearnable_message_in_front_hides_no_layout():
    """One sender of what cannot be learnt must not keep the layouts of all others from being learnt."""
    odd, even = b'{"status":1,"event_id":true}', b'{"status":1,"event_id":"A"}'
    _, rest = fresh().split([odd] + [even] * 999)
    assert rest.tolist() == [0]


def test_a_layout_without_what_is_required_is_not_learnt():
    """Messages that cannot be events are no business of the fast path."""
    found = MessageTemplates(texts=TEXTS, numbers=NUMBERS, required=("event_id",))
    assert found.split([b'{"status":1}'] * 5)[1].tolist() == [0, 1, 2, 3, 4]


def test_what_is_no_flat_object_has_no_layout():
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
