"""Offsets that left the log before they were read."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from pipeline.ingest.unread_offsets import UnreadOffsets, describe_unread, merged_ranges

RANGES = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=12)


def offsets_of(ranges):
    """Every offset of the ranges."""
    return {offset for first, end in ranges for offset in range(first, end)}


@given(RANGES)
def test_merged_ranges_hold_the_same_offsets(ranges):
    """Merging changes no offset; the result ascends and neither overlaps nor touches."""
    found = merged_ranges(ranges)
    assert offsets_of(found) == offsets_of(ranges)
    assert all(one[1] < other[0] for one, other in itertools.pairwise(found))
    assert all(first < end for first, end in found)


@given(RANGES)
def test_an_offset_that_is_added_twice_counts_once(ranges):
    """The counts that ``add`` returns add up to the number of different offsets, by partition and in total."""
    unread = UnreadOffsets()
    new = sum(unread.add(("t", 1), first, end) for first, end in ranges)
    unread.add(("t", 2), 5, 7)
    assert new == unread.count(("t", 1)) == len(offsets_of(ranges))
    assert unread.total == new + 2
    assert unread.count(("t", 3)) == 0


def test_the_description():
    """It names the last offset, not the one after it, and does not claim that there were messages."""
    assert describe_unread(3, 10, 20) == (
        "Partition 3: offsets 10 to 19 left the log before they were read: their messages may be lost."
    )
