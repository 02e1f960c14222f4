"""Faults: the base class, the registry of all faults, and one exercise (inject, heal, catch up, compare every number)."""

from __future__ import annotations

import importlib
import pkgutil
import random
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Final, Literal

import bench.chaos
from bench.chaos.comparison import Comparison
from bench.chaos.environment import Environment
from domain.errors import ConfigurationError

RecoveryFrom = Literal["inject", "heal"]


@dataclass(frozen=True, slots=True)
class Needs:
    """The environment that a fault needs: at least this many workers (``exactly``: no more) and at least this many brokers."""

    workers: int = 1
    brokers: int = 1
    exactly: bool = False

    def workers_of(self, usual: int) -> int:
        """How many workers there are, in an environment that usually has ``usual``."""
        return self.workers if self.exactly else max(self.workers, usual)


ANY_WORKERS: Final = Needs()
ONE_WORKER: Final = Needs(exactly=True)
TWO_WORKERS: Final = Needs(workers=2)
THREE_BROKERS: Final = Needs(brokers=3)


@dataclass(frozen=True)
class Fault(ABC):
    """One thing that goes wrong. An object keeps no state between two injections.

    ``name``: of the form a-b-c, chosen with --faults. ``needs``: the environment it needs.

    ``recovery_from``: where the recovery time starts. inject: at ``Environment.mark_injected``, else at the start of ``inject``;
    heal: at the start of ``heal``. It ends when the tallies have caught up with the traffic after ``heal``, or earlier, at
    ``Environment.mark_recovered``.
    """

    name: str
    needs: Needs = ANY_WORKERS
    recovery_from: RecoveryFrom = "heal"

    @abstractmethod
    def inject(self, env: Environment, source: random.Random) -> None:
        """Cause the fault while the traffic flows; raises UnavailableError when that is not possible."""

    def heal(self, env: Environment) -> None:  # noqa: B027 - most faults leave nothing to undo
        """Undo what does not end by itself: restart what was killed, reopen what was closed."""


@dataclass(frozen=True, slots=True)
class FaultResult:
    """The result of one injection. ``recovery_seconds``: until the tallies had caught up with the traffic."""

    fault: str
    recovery_seconds: float
    comparison: Comparison
    unexpected_ends: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether every number is exact and no worker ended unexpectedly."""
        return self.comparison.exact and not self.unexpected_ends


def all_faults() -> dict[str, Fault]:
    """Every fault by its name, from ``FAULTS`` of each module of this folder whose name ends in ``_faults``.

    Raises:
        ConfigurationError: two faults have the same name.
    """
    found: dict[str, Fault] = {}
    for module in pkgutil.iter_modules(bench.chaos.__path__):
        if module.name.endswith("_faults"):
            for fault in importlib.import_module(f"bench.chaos.{module.name}").FAULTS:
                if fault.name in found:
                    raise ConfigurationError(f"Two faults are called {fault.name}.")
                found[fault.name] = fault
    return found


def exercise(env: Environment, fault: Fault, source: random.Random, *, timeout: float = 180.0) -> FaultResult:
    """Inject one fault into a healthy environment and wait until it is healthy again.

    The traffic flows from before the fault until the tallies have caught up. Then it pauses and every number is compared.

    Raises:
        UnavailableError: the fault could not be caused, or the environment did not recover within ``timeout`` seconds.
    """
    env.set_workers(fault.needs.workers_of(env.usual_workers))
    env.traffic.resume()
    env.await_live(timeout=timeout)
    before = set(env.check())
    env.report(f"{fault.name}: injecting")
    env.mark_injected()
    try:
        fault.inject(env, source)
    finally:
        if fault.recovery_from == "heal":
            env.mark_injected()
        fault.heal(env)
    env.report(f"{fault.name}: catching up")
    env.await_live(timeout=timeout)
    if env.recovered_at is None:
        env.mark_recovered()
    assert env.recovered_at is not None
    recovery_seconds = env.recovered_at - env.injected_at
    env.report(f"{fault.name}: comparing")
    env.await_exact(timeout=timeout)
    return FaultResult(fault.name, recovery_seconds, env.compare(), tuple(sorted(set(env.check()) - before)))
