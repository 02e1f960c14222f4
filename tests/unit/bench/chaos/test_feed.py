"""The realistic dossiers of a chaos run: whatever is sent, the ledger knows what must be counted of it."""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter

import pytest

from bench.chaos.feed import Feed
from bench.chaos.identity import identity
from domain.agencies import AgencyRegistry
from domain.events import DossierEvent
from domain.periods import VIETNAM
from pipeline.decode.validator import EventValidator
from producers.portals.tier_truth import TALLIED, TierCounts
from tests.right_counts import right_counts


@pytest.fixture
def feed():
    """Small blocks."""
    return Feed(seed=3, settled=400)


def events_of(messages):
    """The messages as the worker understands them."""
    validator, latest = EventValidator(AgencyRegistry.packaged()), dt.datetime.now(VIETNAM)
    events = [validator.validate(message.value, latest=latest) for message in messages]
    assert all(isinstance(event, DossierEvent) for event in events)
    return events


@pytest.mark.parametrize("count", [1, 1_000, 4_000, 9_000])
def test_the_ledger_knows_what_is_sent(feed, count):
    """After any number of messages, and the missing earlier steps, the counts are those of the rules; over several blocks too."""
    messages = [feed.take() for _ in range(count)]
    messages += feed.complete_steps()
    assert not feed.complete_steps()
    counts = TierCounts()
    feed.add_to(counts)
    rules = Counter(name for names in right_counts(events_of(messages)).values() for name in names)
    for table in counts.tables().values():
        assert dict(zip(TALLIED, map(sum, zip(*table.values(), strict=True)), strict=True)) == {
            name: rules[name] for name in TALLIED
        }


def test_dossiers_are_under_way_at_the_same_time(feed):
    """After half a block most dossiers are half sent, and some have a later step before an earlier one."""
    messages = [feed.take() for _ in range(1_500)]
    assert len({message.key for message in messages}) > 300
    assert 0 < len(feed.complete_steps()) < len(messages) // 2


def test_messages_have_identities():
    """Two messages are one row when all that the rules read is equal, and one event when id, time and status are."""
    fields = {
        "event_id": "0b6f3f5e-0000-4000-8000-000000000001",
        "status": 9,
        "channel": 2,
        "occurred_at": "2025-02-01T09:00:00.000+07:00",
        "portal_id": "one",
    }

    def of(**changes):
        return identity(json.dumps(fields | changes).encode())

    assert of() == of(portal_id="other") == of(service_level=None) == of(due_at="")
    for change in ({"channel": 1}, {"due_at": "2025-02-03T17:00:00+07:00"}, {"returned_by": "post"}, {"legacy_level": 4}):
        assert of(**change)[0] != of()[0]
        assert of(**change)[1] == of()[1]
    for change in ({"status": 10}, {"occurred_at": "2025-02-01T09:00:00.001+07:00"}):
        assert of(**change)[1] != of()[1]
