"""The validator rejects each malformed message for the reason that it was made for."""

from __future__ import annotations

import datetime as dt
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.agencies import AgencyRegistry
from domain.events import Reason, Rejection
from pipeline.decode.validator import EventValidator
from producers.messages import Kind, Message
from producers.portals.faults import FAULTS, malformed, mix
from tests.factories import NOT_FROM_CONTENT

LATEST = dt.datetime(2024, 8, 21, 17, tzinfo=dt.UTC)


@pytest.mark.parametrize("fault", list(malformed(1, len(FAULTS))), ids=lambda fault: fault.kind)
def test_the_judge_gives_the_reason_that_the_fault_was_made_for(fault):
    """Every kind of fault is refused, with its own reason."""
    verdict = EventValidator(AgencyRegistry.packaged()).validate(fault.value, latest=LATEST)
    assert isinstance(verdict, Rejection)
    assert verdict.reason is fault.reason


def test_every_reason_of_the_contract_has_a_fault():
    """The kinds cover the whole closed list, but for what no content alone is refused for; names are unique."""
    assert {fault.reason for fault in FAULTS} == set(Reason) - NOT_FROM_CONTENT
    assert len({fault.kind for fault in FAULTS}) == len(FAULTS)


def test_faults_follow_from_the_seed_alone():
    """Same seed, same bytes; another seed, other ids."""
    assert list(malformed(4, 200)) == list(malformed(4, 200))
    assert list(malformed(4, 200)) != list(malformed(5, 200))
    assert len(list(malformed(4, 1_000))) == 1_000


@given(count=st.integers(0, 40), faults=st.integers(0, 20), data=st.data())
def test_mixing_keeps_every_message_in_order_and_adds_each_fault_once(count, faults, data):
    """Mixed in or not, the messages stay as they are; with positions inside the stream every fault is among them."""
    messages = [Message(b"k", str(number).encode(), number, Kind.EVENT) for number in range(count)]
    positions = sorted(data.draw(st.lists(st.integers(0, max(count - 1, 0)), min_size=faults, max_size=faults)))
    mixed = list(mix(messages, malformed(1, faults), positions=positions))
    assert [message for message in mixed if message.kind is Kind.EVENT] == messages
    spoiled = [message.value for message in mixed if message.kind is Kind.MALFORMED]
    assert spoiled == ([fault.value for fault in malformed(1, faults)] if count else [])


def test_an_endless_stream_goes_on_after_the_last_fault():
    """When all faults are out, live traffic goes on without them."""
    endless = (Message(b"k", b"v", 0, Kind.EVENT) for _ in itertools.count())
    mixed = mix(endless, malformed(1, 3), positions=itertools.count(10, 10))
    kinds = [message.kind for message in itertools.islice(mixed, 200)]
    assert kinds.count(Kind.MALFORMED) == 3
