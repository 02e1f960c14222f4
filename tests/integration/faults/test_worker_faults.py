"""Workers that are killed, suspended and restarted while events flow: lost 0, double 0, every agency exact in every tier."""

from __future__ import annotations

import pytest

#: An environment extends its limits on a slow machine (``Environment.limit``).
pytestmark = pytest.mark.timeout(900)


@pytest.mark.long
def test_a_whole_topic_is_redelivered(survives):
    """A new group reads every message again, and no tally changes."""
    survives("redelivery")


@pytest.mark.long
def test_a_worker_killed_between_insert_and_commit(survives):
    """After kill -9 between insert and commit, the next worker reads the messages again and catches up within 15 s."""
    survives("kill-only-worker", within=15)


@pytest.mark.long
def test_a_zombie_harms_nothing(survives):
    """A worker suspended past its session finishes its batch while others have its partitions, and continues."""
    survives("zombie")


@pytest.mark.long
def test_workers_are_restarted_in_turn(survives):
    """SIGTERM ends each busy worker with status 0 within twenty seconds."""
    survives("rolling-restart")


@pytest.mark.chaos
def test_one_of_two_workers_is_killed(survives):
    """The partitions of a killed worker and its uncommitted messages are tallied by others within 20 s."""
    survives("kill-one-of-two", within=20)


@pytest.mark.chaos
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_workers_are_killed_again_and_again(survives, seed):
    """Two to four workers are killed before, during and after each other's rebalances."""
    survives("kill-loop", seed=seed)
