"""How the recounting rests."""

from __future__ import annotations

import pytest

from pipeline.core.ledger import Ledger
from pipeline.tallies import Pace, Recounter

PACE = Pace(0.25, 3.0, 9.0)


class Hours:
    """A clock that moves only while somebody waits for the end, and what is told at that time."""

    def __init__(self, flood_until):
        self.now = 0.0
        self.flood_until = flood_until

    def is_set(self):
        return False

    def wait(self, seconds):
        self.now += seconds
        return False

    def flooded(self):
        return self.now < self.flood_until


def rested(flood_until, cost):
    """Seconds that a recounter rests after a round of this cost, in a flood that ends at a moment."""
    hours = Hours(flood_until)
    recounter = Recounter(
        ledger=Ledger(),
        store=None,
        patiently=None,
        agencies=(),
        minutes=PACE,
        days=PACE,
        procedures=PACE,
        on_counted=None,
        busy=hours.flooded,
        flooded=hours.flooded,
        stopping=hours,
        monotonic=lambda: hours.now,
    )
    recounter._rest(PACE, cost)
    return hours.now


@pytest.mark.parametrize(
    ("flood_until", "cost", "expected"),
    [
        (0, 0.01, 0.25),  # cheap: the interval
        (0, 1.0, 3.0),  # a quarter of the time
        (100, 1.0, 9.0),  # a tenth of the time
        (2, 1.0, 2.05),  # the flood ends: so does the rest
    ],
)
def test_a_rest_is_in_proportion_and_ends_with_the_flood(flood_until, cost, expected):
    """In a flood nobody waits for the newest minute; once it is over everybody does."""
    assert rested(flood_until, cost) == pytest.approx(expected, abs=0.051)
