"""Messages with wrong clocks, malformed or huge ones do not affect the others: lost 0, double 0."""

from __future__ import annotations

import pytest

#: An environment extends its limits on a slow machine (``Environment.limit``).
pytestmark = pytest.mark.timeout(900)


@pytest.mark.long
def test_clocks_that_are_wrong_by_years(survives):
    """An event of years ago counts in its own minute; one of the future, or of 1970, is dead-lettered with its reason."""
    survives("clocks-wrong-by-years")


@pytest.mark.long
def test_one_message_in_a_hundred_is_malformed(survives):
    """Each malformed message is dead-lettered with every byte and its reason; every other message is tallied."""
    survives("one-percent-poison")


@pytest.mark.long
def test_every_message_is_malformed(survives):
    """Workers stop at the limit at every start and say so; once an operator accepts the messages, all are dead-lettered."""
    survives("all-poison")


@pytest.mark.long
def test_messages_of_ten_megabytes(survives):
    """A message larger than a fetch is dead-lettered with every byte, and messages after it do not stall."""
    survives("ten-megabyte-messages")


@pytest.mark.chaos
@pytest.mark.parametrize("seed", [2, 3])
@pytest.mark.parametrize("name", ["clocks-wrong-by-years", "one-percent-poison", "all-poison", "ten-megabyte-messages"])
def test_other_seeds(survives, name, seed):
    """The rules above hold with other messages at other moments."""
    survives(name, seed=seed)
