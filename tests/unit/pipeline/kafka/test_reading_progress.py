"""Nothing is committed that is not counted, whatever interrupts reading, and what was taken over is not read again."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pipeline.kafka.reading_progress import ReadingProgress
from tests.budget import examples

P = "dvc/3"


def read(progress, *lasts, take=()):
    """Hand out fetches, and take some of them over; returns the ``begun`` of the reading."""
    begun = [progress.hand_out(P, last) for last in lasts]
    assert all(progress.take(P, last, epoch=progress.epoch) for last in take)
    return begun[0]


def started(committed=None):
    """A reading that begins at a committed offset."""
    progress = ReadingProgress()
    progress.interrupt()
    progress.resume({P: committed}, ())
    return progress


def test_a_partition_that_is_kept_is_read_on_after_what_was_taken_over():
    """A rebalance drops what was handed out and not taken over, and nothing else."""
    progress = started()
    begun = read(progress, 4, 9, 14, take=(4, 9))
    progress.acknowledge(P, 4, begun=begun)
    progress.interrupt()
    assert progress.offset_to_commit(P) is None, "nothing is committed while reading is interrupted"
    assert progress.acknowledge(P, 9, begun=begun), "what was taken over is counted meanwhile"
    assert progress.continued({P: None}) == {P: 10}
    progress.resume({P: None}, [P])
    assert progress.offset_to_commit(P) == 10
    assert progress.hand_out(P, 20) == begun
    assert progress.offset_to_commit(P) == 10


def test_a_fetch_of_before_an_interruption_is_not_taken_over():
    """It is handed out again; taking it twice would put fetches out of order."""
    progress = started()
    epoch = progress.epoch
    read(progress, 4, 9, take=(4,))
    progress.interrupt()
    assert not progress.take(P, 9, epoch=epoch)
    progress.resume({P: None}, progress.continued({P: None}))
    assert not progress.take(P, 9, epoch=epoch)
    progress.hand_out(P, 9)
    assert progress.take(P, 9, epoch=progress.epoch)


@pytest.mark.parametrize(
    ("confirmed", "committed", "continued"),
    [
        (5, 5, {P: 10}),
        (5, 7, {P: 10}),  # a commit whose answer was lost
        (5, 10, {P: 10}),
        (5, 11, {}),  # another member read on
        (5, 4, {}),  # set back
        (5, None, {}),  # deleted
    ],
)
def test_another_offset_than_this_workers_is_followed(confirmed, committed, continued):
    """A committed offset that this worker cannot have committed is where it reads on."""
    progress = started(confirmed)
    begun = read(progress, 7, 9, take=(7, 9))
    progress.interrupt()
    assert progress.continued({P: committed}) == continued
    progress.resume({P: committed}, continued)
    progress.hand_out(P, 20)
    assert progress.acknowledge(P, 7, begun=begun) is bool(continued)


def test_a_partition_that_was_away_is_read_as_committed():
    """What was taken over before another assignment without the partition is forgotten."""
    progress = started()
    begun = read(progress, 9, take=(9,))
    progress.interrupt()
    progress.resume({}, progress.continued({}))
    progress.interrupt()
    assert progress.continued({P: 3}) == {}
    assert not progress.acknowledge(P, 9, begun=begun)


def test_a_commit_that_failed_is_repeated_after_the_rebalance():
    """The run of acknowledged fetches stays known until the partition is read by somebody else."""
    progress = started()
    begun = read(progress, 9, take=(9,))
    progress.acknowledge(P, 9, begun=begun)
    assert progress.offset_to_commit(P) == 10
    progress.interrupt()
    progress.resume({P: None}, progress.continued({P: None}))
    assert progress.offset_to_commit(P) == 10


def test_offsets_after_the_last_message_are_kept_only_while_everything_was_taken_over():
    """The end of a transaction is not read again, unless messages before it are."""
    progress = started()
    read(progress, 9, take=(9,))
    progress.read_through(P, 12)
    progress.interrupt()
    assert progress.continued({P: None}) == {P: 12}
    progress.resume({P: None}, [P])
    read(progress, 14)
    progress.read_through(P, 20)
    progress.interrupt()
    assert progress.continued({P: None}) == {P: 10}


class Group(RuleBasedStateMachine):
    """One member of a group that is interrupted anywhere, and others that read its partition meanwhile."""

    @initialize()
    def begin(self):
        self.progress = started()
        self.committed = self.position = 0
        self.counted = set()
        self.queue = []  # handed out, before the worker takes it: (first, last, begun, epoch)
        self.taken = []
        self.owned, self.paused = True, False

    @precondition(lambda self: self.owned and not self.paused)
    @rule(size=st.integers(1, 4), ends=st.integers(0, 2))
    def fetch(self, size, ends):
        """A fetch, and offsets after it that are not messages."""
        last = self.position + size - 1
        self.queue.append((self.position, last, self.progress.hand_out(P, last), self.progress.epoch))
        self.counted.update(range(last + 1, last + 1 + ends))  # nothing is to be counted there
        self.position = last + 1 + ends
        self.progress.read_through(P, self.position)

    @precondition(lambda self: self.queue)
    @rule()
    def take(self):
        """The worker takes the next fetch over, unless it was handed out before an interruption."""
        fetch = self.queue.pop(0)
        if self.progress.take(P, fetch[1], epoch=fetch[3]):
            self.taken.append(fetch)

    @precondition(lambda self: self.taken)
    @rule(data=st.data())
    def count(self, data):
        """Any fetch is counted and acknowledged."""
        first, last, begun, _ = self.taken.pop(data.draw(st.integers(0, len(self.taken) - 1)))
        self.counted.update(range(first, last + 1))
        self.progress.acknowledge(P, last, begun=begun)

    @precondition(lambda self: self.owned)
    @rule(answer=st.sampled_from(["confirmed", "lost", "refused"]))
    def commit(self, answer):
        """A commit that arrives or not, and whose answer may be lost."""
        offset = self.progress.offset_to_commit(P)
        if offset is not None and offset > self.committed and answer != "refused":
            self.committed = offset
            if answer == "confirmed":
                self.progress.confirm({P: offset})

    @rule(lose=st.booleans())
    def interrupt(self, lose):
        """A rebalance begins; the messages on the way to the worker may be dropped by Faust."""
        self.progress.interrupt()
        self.paused = True
        if lose:
            self.queue.clear()

    @precondition(lambda self: self.paused)
    @rule(owned=st.booleans())
    def assign(self, owned):
        """The partition is assigned to this member or to another one."""
        committed = {P: self.committed or None} if owned else {}
        continued = self.progress.continued(committed)
        self.progress.resume(committed, continued)
        self.position, self.owned, self.paused = continued.get(P, self.committed), owned, False

    @precondition(lambda self: self.paused or not self.owned)
    @rule(ahead=st.integers(1, 6), rewind=st.booleans())
    def others_read(self, ahead, rewind):
        """Another member counts and commits, perhaps before this one knows; an operator may set the offset back."""
        self.counted.update(range(self.committed, self.committed + ahead))
        self.committed = max(0, self.committed - ahead) if rewind else self.committed + ahead

    @invariant()
    def nothing_is_committed_that_is_not_counted(self):
        """The promise of at least once."""
        if hasattr(self, "counted"):
            assert self.counted.issuperset(range(self.committed))

    def teardown(self):
        """When everything handed out is taken over and counted, everything read is committed."""
        if not hasattr(self, "counted"):
            return
        if self.paused or not self.owned:
            self.interrupt(lose=True)
            self.assign(owned=True)
        while self.queue:
            self.take()
        for first, last, begun, _ in self.taken:
            self.counted.update(range(first, last + 1))
            self.progress.acknowledge(P, last, begun=begun)
        self.commit("confirmed")
        self.nothing_is_committed_that_is_not_counted()
        assert self.committed == self.position


TestGroup = Group.TestCase
TestGroup.settings = settings(max_examples=examples(200), stateful_step_count=40, deadline=None)
