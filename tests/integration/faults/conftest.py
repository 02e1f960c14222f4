"""Worlds to break: real Kafka, ClickHouse and workers, with traffic whose every event is known. Tests share a healthy one."""

from __future__ import annotations

import math
import random

import pytest

from bench.chaos.fault import all_faults, exercise
from bench.chaos.world import World


class Worlds:
    """One world at a time; a test that fails may leave it broken, so the next test gets another."""

    def __init__(self, log_dir):
        self._log_dir = log_dir
        self._world = None

    def world(self, *, brokers=1):
        """A healthy world with at least so many brokers."""
        if self._world is None or self._world.brokers < brokers:
            self.close()
            self._world = World(brokers=brokers, keep_logs=self._log_dir).__enter__()
        return self._world

    def close(self):
        """Stop the world there is."""
        world, self._world = self._world, None
        if world is not None:
            world.__exit__()


@pytest.fixture(scope="session")
def worlds(tmp_path_factory):
    """The worlds of this session; the logs of their parts are kept among pytest's temporary folders."""
    worlds = Worlds(tmp_path_factory.mktemp("worlds"))
    yield worlds
    worlds.close()


@pytest.fixture
def survives(worlds):
    """``survives(name, seed=..., within=...)`` puts a fault into a world under traffic and returns the outcome.

    It must be exact in every number, and recover within so many seconds, or longer on a machine that is slow without faults.
    """

    def survives(name, *, seed=1, within=math.inf):
        fault = all_faults()[name]
        try:
            outcome = exercise(worlds.world(brokers=fault.needs.brokers), fault, random.Random(seed))
            assert outcome.verdict.lost == 0
            assert outcome.verdict.double == 0
            assert not any(outcome.verdict.wrong.values()), outcome.verdict.wrong
            assert outcome.verdict.exact, outcome.verdict
            assert not outcome.unexpected_ends, outcome.unexpected_ends
            assert outcome.recovery_seconds < worlds.world().limit(within)
        except BaseException:
            worlds.close()
            raise
        return outcome

    return survives
