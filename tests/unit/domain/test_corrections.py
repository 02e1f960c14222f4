"""What messages count as by themselves, and which corrections must be written."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from domain.corrections import Claims, bits_alone, decide, decide_all
from domain.dossier_columns import BITS, LEVEL_RANKS, RETURN_RANKS, count_bits
from domain.tiers import COUNTS
from tests.factories import an_event
from tests.property.test_dossiers import columns_of
from tests.unit.domain.test_dossiers import events_of


def test_columns_and_rules_say_the_same_of_a_message_alone():
    """Every combination of status, channel, level and way of return counts on columns as by the rules of the tiers."""
    found = list(itertools.product(range(1, 11), range(4), range(len(LEVEL_RANKS)), range(len(RETURN_RANKS))))
    bits = bits_alone(*(np.array(column) for column in zip(*found, strict=True)))
    for (status, channel, level, returned), counted in zip(found, bits, strict=True):
        event = an_event(status=status, channel=channel, service_level=LEVEL_RANKS[level], returned_by=RETURN_RANKS[returned])
        assert counted == sum(1 << BITS.index(name) for name, rule in COUNTS.items() if rule(event))


def test_the_counts_are_the_first_bits():
    """The bits are in the order of the columns of a tally; the last one is about events."""
    assert (*COUNTS, "repeat") == BITS


NOTHING = Claims(np.array([], dtype=np.int64), np.array([], dtype=np.uint16), np.array([], dtype=bool))


def decided(events, claims=NOTHING, decide=decide):
    """The decision about one dossier."""
    sent = columns_of(events)
    return decide(count_bits(sent), bits_alone(sent.status, sent.channel, sent.level, sent.returned), claims)


def claims_of(*claims):
    """Claims, each as message, confirmed, and the names that the message is going to count as."""
    bits = [sum(1 << BITS.index(name) for name in names) for _, _, *names in claims]
    return Claims(
        np.array([message for message, *_ in claims]),
        np.array(bits, dtype=np.uint16),
        np.array([confirmed for _, confirmed, *_ in claims]),
    )


@pytest.mark.parametrize("statuses", [(1, 2, 4, 9, 10), (1, 3), (1, 2, 5, 4)])
def test_a_plain_dossier_needs_no_correction(statuses):
    """Where every message counts as by itself, nothing is written."""
    assert not decided(events_of(*statuses)).correct.any()


def test_what_counts_otherwise_is_claimed_and_corrected():
    """The second 9 counts as nothing, and a dossier first seen at 4 as submitted there."""
    decision = decided(events_of(1, 9, 9))
    assert decision.correct.tolist() == decision.claim.tolist() == [False, False, True]
    assert decided(events_of(4, 9)).correct.tolist() == [True, False]


def test_no_claim_alone_is_relied_on():
    """Its worker may have ended before it wrote: a claimed message is written again. A right claim is not repeated."""
    events = events_of(1, 9, 9)
    for known in (claims_of((2, False)), claims_of((2, False, "settled"))):
        assert decided(events, known).correct.tolist() == [False, False, True]
    assert not decided(events, claims_of((2, False))).claim.any()
    assert decided(events, claims_of((2, False, "settled"))).claim.tolist() == [False, False, True]


def test_what_is_confirmed_is_not_written_again():
    """The correction is stored and counted, so nothing is left to do; another dossier's message is not meant."""
    assert not decided(events_of(1, 9, 9), claims_of((2, False), (2, True))).correct.any()
    other = claims_of((0, True, "submitted", "submitted_online"))
    assert decided(events_of(1, 9, 9), other).correct.tolist() == [False, False, True]


@pytest.mark.parametrize("other", [(2, False, "settled"), (2, True, "settled")])
def test_a_confirmed_claim_is_not_relied_on_beside_another_one(other):
    """Somebody may have written the other value since, from a look that saw more or fewer messages."""
    decision = decided(events_of(1, 9, 9), claims_of((2, True), other))
    assert decision.correct.tolist() == [False, False, True]
    assert not decision.claim.any()


def test_a_confirmed_claim_of_another_value_is_corrected():
    """What was right before is not right any more."""
    decision = decided(events_of(1, 9, 9), claims_of((2, True, "settled")))
    assert decision.correct.tolist() == decision.claim.tolist() == [False, False, True]


def test_a_repair_corrects_every_message():
    """A repair relies on no claim, confirmed or not, and repeats none."""
    decision = decided(events_of(1, 9, 9), claims_of((2, True)), lambda judged, _, claims: decide_all(judged, claims))
    assert (decision.correct.tolist(), decision.claim.tolist()) == ([True] * 3, [True, True, False])
