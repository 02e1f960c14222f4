"""Workers that are killed, suspended and restarted while events flow: lost 0, double 0, every agency exact in every tier."""

from __future__ import annotations

import pytest

#: An environment extends its limits on a slow machine (``Environment.limit``).
pytestmark = pytest.mark.timeout(900)


def test_a_whole_topic_is_redelivered(survives):
    """A new group reads every message again and no tally changes."""
    survives("redelivery")


def test_a_worker_killed_between_insert_and_commit(survives):
    """Rows are stored and not yet committed when kill -9 comes; the next worker gets them again and has caught up in 15 s."""
    survives("kill-only-worker", within=15)


def test_a_zombie_harms_nothing(survives):
    """A worker suspended past its session finishes its batch although others have its partitions, and continues."""
    survives("zombie")


def test_workers_are_restarted_in_turn(survives):
    """SIGTERM ends each worker with status 0 within twenty seconds, in the middle of its work."""
    survives("rolling-restart")


@pytest.mark.chaos
def test_one_of_two_workers_is_killed(survives):
    """What the dead one had not committed, and its partitions, are tallied again within 20 s."""
    survives("kill-one-of-two", within=20)


@pytest.mark.chaos
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_workers_are_killed_again_and_again(survives, seed):
    """Two to four workers, killed before, in and after each other's rebalances."""
    survives("kill-loop", seed=seed)
