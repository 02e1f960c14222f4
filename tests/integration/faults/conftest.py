"""Chaos environments: real Kafka, ClickHouse and workers, with traffic of known events. Tests share a healthy one."""

from __future__ import annotations

import math
import random
from pathlib import Path

import pytest

from bench.chaos.environment import Environment
from bench.chaos.fault import all_faults, exercise

#: Messages a second: enough for every fault, and little work for the tests beside it. `make chaos` sends more.
_RATE = 300.0


class Environments:
    """Keeps one environment at a time; after a failed test the next test gets a new one."""

    def __init__(self, log_dir):
        self._log_dir = log_dir
        self._env = None

    def env(self, *, brokers=1):
        """A healthy environment with at least this many brokers."""
        if self._env is None or self._env.brokers < brokers:
            self.close()
            self._env = Environment(brokers=brokers, rate=_RATE, keep_logs=self._log_dir).__enter__()
        return self._env

    def close(self):
        """Stop the present environment."""
        env, self._env = self._env, None
        if env is not None:
            env.__exit__()


def pytest_runtest_teardown(item, nextitem):
    """Stop the environment after the last test of this folder: it would take a part of the machine from the tests that follow."""
    if "environments" in item.funcargs and (nextitem is None or Path(__file__).parent not in nextitem.path.parents):
        item.funcargs["environments"].close()


@pytest.fixture(scope="session")
def environments(tmp_path_factory):
    """The environments of this session; the logs of their services are kept in pytest's temporary folders."""
    environments = Environments(tmp_path_factory.mktemp("environments"))
    yield environments
    environments.close()


@pytest.fixture
def survives(environments):
    """``survives(name, seed=..., within=...)`` injects a fault under traffic and returns its result.

    Every number must be exact, and the recovery must take at most ``within`` seconds, or longer on a slow machine.
    """

    def survives(name, *, seed=1, within=math.inf):
        fault = all_faults()[name]
        try:
            outcome = exercise(environments.env(brokers=fault.needs.brokers), fault, random.Random(seed))
            assert outcome.comparison.lost == 0
            assert outcome.comparison.double == 0
            assert not any(outcome.comparison.wrong.values()), outcome.comparison.wrong
            assert outcome.comparison.exact, outcome.comparison
            assert not outcome.unexpected_ends, outcome.unexpected_ends
            assert outcome.recovery_seconds < environments.env().limit(within)
        except BaseException:
            environments.close()
            raise
        return outcome

    return survives
