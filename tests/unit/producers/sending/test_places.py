"""Which partition of which topic a message goes to."""

from __future__ import annotations

import pytest

from domain.errors import ConfigurationError
from producers.messages import Kind, Message
from producers.sending.partitions import partitions_of
from producers.sending.places import Places
from tests.factories import a_message

KEYS = [b"H17.1-240102-0001", b"000.00.16.H62-240102-0002", b"no code", None]


def sent(key, value):
    """A message."""
    return Message(key, value, 0, Kind.RAW)


def test_one_topic_takes_every_message():
    """The partition is that of the key, as before."""
    places = Places({"events": 7})
    assert places.of([sent(key, b"{") for key in KEYS], start=3) == partitions_of(KEYS, 7, start=3)


def test_a_message_goes_to_its_portal():
    """By the agency code as sent, else by its key, which also decides within the topic; the rest goes to the first topic."""
    places = Places({"p.H17": 3, "p.H62": 2}, prefix="p.", agencies=["H17", "H62", "H30"])
    messages = [
        sent(KEYS[0], a_message(agency_code="H17.05")),
        sent(KEYS[0], a_message(agency_code="000.00.16.H62")),
        sent(KEYS[1], b"{"),
        sent(KEYS[1], a_message(agency_code="X99")),
        sent(b"x", b"{"),
        sent(None, None),
    ]
    found = [places.all[number] for number in places.of(messages)]
    assert [topic for topic, _ in found] == ["p.H17", "p.H62", "p.H62", "p.H62", "p.H17", "p.H17"]
    assert [found[0][1]] == partitions_of([KEYS[0]], 3)
    assert [found[1][1]] == partitions_of([KEYS[0]], 2)
    assert [found[2][1]] == [found[3][1]] == partitions_of([KEYS[1]], 2)


def test_a_portal_without_a_topic_is_named():
    """Its events would be counted for nobody."""
    places = Places({"p.H17": 3}, prefix="p.", agencies=["H17", "H30"])
    with pytest.raises(ConfigurationError, match=r"The portal H30 has no topic p\.H30.*--topic"):
        places.of([sent(b"k", a_message(agency_code="H30"))])
