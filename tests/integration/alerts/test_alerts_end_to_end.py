"""From a dossier to mailbox, Telegram and webhook over every real part: one right message an incident, whatever fails."""

from __future__ import annotations

import pytest

from deploy.native.rehearsal.faults import ALL
from deploy.native.rehearsal.play import play, play_many, play_one
from deploy.native.rehearsal.tempo import Tempo

pytestmark = pytest.mark.integration

#: Every duration of the rules and routes is divided by this.
FACTOR = 60
#: Alertmanager calls a delivery that lasts longer than the interval of its group a failure; three hundred take some seconds.
FACTOR_OF_MANY = 10


def test_an_event_reaches_every_mailbox(stack):
    """Mail, Telegram and webhook get one message in Vietnamese and one in English, and one end. How soon, a rehearsal prints."""
    outcome = play_one(stack, "H38", say=print)
    assert not outcome.wrong
    assert "H38 is low" in outcome.seconds


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("fault", ALL, ids=lambda fault: fault.name)
def test_a_fault_is_one_message_to_operations_and_no_false_one(stack, fault):
    """Operations hear once of the fault and once of its end; no alert of an agency ends falsely or is said twice."""
    stack.use(Tempo.divided(FACTOR))
    assert not play(stack, fault, say=print).wrong


@pytest.mark.long
@pytest.mark.timeout(900)
def test_many_agencies_at_once_are_one_message_to_operations(stack):
    """51 agencies that fall at once: one message to operations, one to the people of each, and one end."""
    stack.use(Tempo.divided(FACTOR_OF_MANY))
    assert not play_many(stack, say=print).wrong
