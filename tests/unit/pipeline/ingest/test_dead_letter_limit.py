"""When a worker stops because there are too many dead letters."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.ingest.dead_letter_limit import BatchLimitCheck, DeadLetterLimit, Part, PartitionCount, Window

GOOD, BAD = False, True
BATCHES = st.lists(st.lists(st.sampled_from([GOOD, BAD]), max_size=12), max_size=12)
ONE, OTHER = ("topic", 0), ("topic", 1)
NOTHING = PartitionCount()


def rejected_in(verdicts):
    """Positions of the rejected messages."""
    return [position for position, rejected in enumerate(verdicts) if rejected]


def check(limit, batches, count=NOTHING, offset=0):
    """The number of batches before the limit is exceeded, the problem, and the count after these batches."""
    for number, batch in enumerate(batches):
        limit_check = BatchLimitCheck(limit, [Part(ONE, offset, len(batch))], rejected_in(batch), {ONE: count})
        excess = limit_check.decide(len(batch))
        if excess is not None:
            return number, excess.problem, count
        count = limit_check.counted()[ONE]
        offset += len(batch)
    return None, "", count


@given(BATCHES, st.integers(1, 20))
def test_a_run_stops_wherever_the_batches_are_cut(batches, maximum):
    """The consecutive limit is exceeded in exactly the batch in which the run of rejections reaches it."""
    run, expected = 0, None
    for number, batch in enumerate(batches):
        for rejected in batch:
            run = run + 1 if rejected else 0
            if run >= maximum and expected is None:
                expected = number
    stopped, _, _ = check(DeadLetterLimit(maximum, 0, 0), batches)
    assert stopped == expected


@given(BATCHES, st.floats(0.01, 0.99), st.integers(1, 30))
def test_a_share_is_taken_over_the_latest_messages(batches, maximum, window):
    """The ratio limit covers the fewest latest batches that fill the window; before that it is never exceeded."""
    seen, expected = [], None
    for number, batch in enumerate(batches):
        if batch:
            seen.append(batch)
        latest = []
        for earlier in reversed(seen):
            latest += earlier
            if len(latest) >= window:
                break
        if batch and len(latest) >= window and sum(latest) / len(latest) > maximum and expected is None:
            expected = number
    stopped, _, _ = check(DeadLetterLimit(0, maximum, window), batches)
    assert stopped == expected


@given(BATCHES)
def test_zero_never_stops(batches):
    """0 switches a limit off."""
    assert check(DeadLetterLimit(0, 0, 0), batches)[:2] == (None, "")
    assert check(DeadLetterLimit(0, 0, 5), batches)[:2] == (None, "")


@given(st.lists(st.lists(st.sampled_from([GOOD, BAD]), max_size=12), min_size=1, max_size=6), st.integers(1, 12))
def test_interleaved_partitions_are_counted_separately(batches, maximum):
    """Messages of another partition between two rejections neither end a run nor lengthen it."""
    limit = DeadLetterLimit(maximum, 0, 0)
    mixed = [(partition, number, batch) for number, batch in enumerate(batches) for partition in (ONE, OTHER)]
    parts, rejected, position = [], [], 0
    for partition, number, batch in mixed:
        parts.append(Part(partition, 100 * number, len(batch)))
        if partition == ONE:
            rejected += [position + at for at in rejected_in(batch)]
        position += len(batch)
    excess = BatchLimitCheck(limit, parts, rejected, {ONE: NOTHING, OTHER: NOTHING}).decide(position)
    alone = check(limit, [[rejected for batch in batches for rejected in batch]])[0]
    assert (excess is None) == (alone is None)
    assert excess is None or excess.partition == ONE


@given(st.lists(st.sampled_from([GOOD, BAD]), max_size=40), st.lists(st.booleans(), min_size=40, max_size=40), st.integers(1, 9))
def test_who_rejects_does_not_matter(verdicts, by_storage, maximum):
    """Rejections of the storage, reported one by one, make the same run and the same count as those of the decoder."""
    limit = DeadLetterLimit(maximum, 0.4, 10)
    together = BatchLimitCheck(limit, [Part(ONE, 0, len(verdicts))], rejected_in(verdicts), {ONE: NOTHING})
    expected = together.decide(len(verdicts))
    late = [position for position in rejected_in(verdicts) if by_storage[position]]
    early = [position for position in rejected_in(verdicts) if not by_storage[position]]
    apart = BatchLimitCheck(limit, [Part(ONE, 0, len(verdicts))], early, {ONE: NOTHING})
    excess = None
    for position in late:
        excess = excess or apart.decide(position + 1, [position])
    excess = excess or apart.decide(len(verdicts))
    assert (excess is None) == (expected is None)
    if expected is None:
        assert apart.counted() == together.counted()


def test_a_limit_that_is_exceeded_for_certain_stops_early():
    """A run, and a share that further good messages cannot lower enough, exceed the limit before the whole batch is decided."""
    parts = [Part(ONE, 0, 1_000)]
    limit_check = BatchLimitCheck(DeadLetterLimit(5, 0, 0), parts, [], {ONE: NOTHING})
    assert [limit_check.decide(at + 1, [at]) is None for at in range(5)] == [True] * 4 + [False]
    limit_check = BatchLimitCheck(DeadLetterLimit(0, 0.01, 1_000), parts, [], {ONE: NOTHING})
    assert [limit_check.decide(2 * at + 1, [2 * at]) is None for at in range(11)] == [True] * 10 + [False]


def test_the_count_goes_on_from_what_was_counted_before():
    """A run continues from the count before the batch; a good message ends it."""
    before = {ONE: PartitionCount(run=9)}
    excess = BatchLimitCheck(DeadLetterLimit(10, 0, 0), [Part(ONE, 50, 5)], [0], before).decide(5)
    assert excess.problem == "10 messages in a row were rejected, the limit is 10"
    assert (excess.partition, excess.setting) == (ONE, "max_consecutive")
    assert BatchLimitCheck(DeadLetterLimit(10, 0, 0), [Part(ONE, 50, 5)], [1], before).decide(5) is None


def test_what_was_accepted_is_not_counted():
    """Messages below the accepted offset count in no limit, and the count before them is dropped."""
    limit, full = DeadLetterLimit(10, 0.5, 20), Window(((20, 10),))
    before = {ONE: PartitionCount(9, full, accepted_until=108)}
    limit_check = BatchLimitCheck(limit, [Part(ONE, 100, 10)], range(10), before)
    assert limit_check.decide(10) is None
    assert limit_check.counted() == {ONE: PartitionCount(2, Window(((2, 2),)), 108)}
    assert BatchLimitCheck(limit, [Part(ONE, 108, 1)], [0], before).decide(1).setting == "max_consecutive"


def test_messages_that_will_not_be_acknowledged_are_not_counted():
    """A part that is not counted changes nothing of its partition."""
    before = {ONE: PartitionCount(9)}
    limit_check = BatchLimitCheck(DeadLetterLimit(10, 0, 0), [Part(ONE, 100, 5, counted=False)], range(5), before)
    assert limit_check.decide(5) is None
    assert limit_check.counted() == before


@given(st.lists(st.tuples(st.integers(1, 500), st.floats(0, 1)), max_size=300))
def test_a_window_stays_small(batches):
    """However small the batches are, a window of 1,000 messages has few groups and holds few more messages than that."""
    window = Window()
    for messages, share in batches:
        window = window.extended(messages, int(messages * share), size=1_000)
    assert len(window.groups) <= 66
    assert window.messages < 1_000 + 500
    assert sum(messages for messages, _ in batches) < 1_000 or window.messages >= 1_000


@pytest.mark.parametrize(("rejected", "stops"), [(50_000, False), (50_001, True)])
def test_more_than_half(rejected, stops):
    """Half of the window may be rejected, one more message may not; the problem names both figures."""
    excess = BatchLimitCheck(DeadLetterLimit(0, 0.5, 100_000), [Part(ONE, 0, 100_000)], range(rejected), {ONE: NOTHING}).decide(
        100_000
    )
    assert (excess is not None) == stops
    if stops:
        assert excess.problem == "50001 of the latest 100000 messages were rejected, the limit is 50 %"
