"""Messages with wrong clocks, some malformed, all malformed, huge: they do not affect the others; lost 0, double 0."""

from __future__ import annotations

import pytest

#: An environment extends its limits on a slow machine (``Environment.limit``).
pytestmark = pytest.mark.timeout(900)


def test_clocks_that_are_wrong_by_years(survives):
    """An event of years ago counts in its own minute; one of the future, or of 1970, is dead-lettered with its reason."""
    survives("clocks-wrong-by-years")


def test_one_message_in_a_hundred_is_malformed(survives):
    """Each is dead-lettered with every byte and its reason; every other message is tallied."""
    survives("one-percent-poison")


def test_every_message_is_malformed(survives):
    """Workers stop at the limit, again after a restart, and say so; once accepted, all are dead-lettered and none is lost."""
    survives("all-poison")


def test_messages_of_ten_megabytes(survives):
    """A message larger than a whole fetch is fetched and dead-lettered with every byte; messages after it do not stall."""
    survives("ten-megabyte-messages")


@pytest.mark.chaos
@pytest.mark.parametrize("seed", [2, 3])
@pytest.mark.parametrize("name", ["clocks-wrong-by-years", "one-percent-poison", "all-poison", "ten-megabyte-messages"])
def test_other_seeds(survives, name, seed):
    """The same with other messages at other moments."""
    survives(name, seed=seed)
