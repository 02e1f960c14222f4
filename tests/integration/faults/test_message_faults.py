"""Messages with wrong clocks, spoiled, all spoiled and huge: the others count as if they were not there; lost 0, double 0."""

from __future__ import annotations

import pytest

#: A world allows itself more time on a slow machine (``World.limit``).
pytestmark = pytest.mark.timeout(900)


def test_clocks_that_are_wrong_by_years(survives):
    """An event of years ago counts in its own minute; one of the future, or of 1970, is set aside with its reason."""
    survives("clocks-wrong-by-years")


def test_one_message_in_a_hundred_is_spoiled(survives):
    """Each is set aside with every byte and its reason; every other message is tallied."""
    survives("one-percent-poison")


def test_every_message_is_spoiled(survives):
    """Workers stop at the limit, again after a restart, and say so; once accepted, each message is set aside and none is lost."""
    survives("all-poison")


def test_messages_of_ten_megabytes(survives):
    """A message larger than a whole fetch is fetched all the same and set aside with every byte; nothing behind it stalls."""
    survives("ten-megabyte-messages")


@pytest.mark.chaos
@pytest.mark.parametrize("seed", [2, 3])
@pytest.mark.parametrize("name", ["clocks-wrong-by-years", "one-percent-poison", "all-poison", "ten-megabyte-messages"])
def test_other_seeds(survives, name, seed):
    """The same with other messages at other moments."""
    survives(name, seed=seed)
