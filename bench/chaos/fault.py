"""What a fault is, which there are, and how one is put into a world: inject, heal, catch up, compare every number."""

from __future__ import annotations

import importlib
import pkgutil
import random
from dataclasses import dataclass
from typing import Literal, Protocol

import bench.chaos
from bench.chaos.verdict import Verdict
from bench.chaos.world import World
from domain.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Needs:
    """The world that a fault needs: exactly so many workers, at least so many brokers."""

    workers: int = 1
    brokers: int = 1


class Fault(Protocol):
    """One thing that goes wrong. An object keeps nothing between two injections."""

    @property
    def name(self) -> str:
        """Short, of the form a-b-c: chosen with --faults."""
        ...

    @property
    def needs(self) -> Needs:
        """The world it needs."""
        ...

    @property
    def recovery_from(self) -> Literal["inject", "heal"]:
        """From when the time to recover counts.

        inject: the fault strikes (``World.strike``, else ``inject`` begins); heal: ``heal`` begins. Until when: the tallies have
        caught up with the traffic after ``heal``, or the fault said ``World.recover`` because the world recovered before.
        """
        ...

    def inject(self, world: World, source: random.Random) -> None:
        """Let it happen while the traffic flows; raises UnavailableError when it cannot be brought about."""
        ...

    def heal(self, world: World) -> None:
        """Undo what does not pass by itself: start again what was killed, open what was shut."""
        ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one injection came to. ``recovery_seconds``: until the tallies had caught up with the flowing traffic."""

    fault: str
    recovery_seconds: float
    verdict: Verdict
    unexpected_ends: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether every number is exact and every worker ended as it was meant to."""
        return self.verdict.exact and not self.unexpected_ends


def all_faults() -> dict[str, Fault]:
    """Every fault by its name: what the modules of this folder whose names end in ``_faults`` hold in ``FAULTS``.

    Raises:
        ConfigurationError: two have the same name.
    """
    found: dict[str, Fault] = {}
    for module in pkgutil.iter_modules(bench.chaos.__path__):
        if module.name.endswith("_faults"):
            for fault in importlib.import_module(f"bench.chaos.{module.name}").FAULTS:
                if fault.name in found:
                    raise ConfigurationError(f"Two faults are called {fault.name}.")
                found[fault.name] = fault
    return found


def exercise(world: World, fault: Fault, source: random.Random, *, timeout: float = 180.0) -> Outcome:
    """Put one fault into a healthy world and wait until it is healthy again.

    The traffic flows from before the fault until the tallies have caught up; then it pauses, and every number is compared.

    Raises:
        UnavailableError: the fault could not be brought about, or the world did not recover within ``timeout`` seconds.
    """
    world.set_workers(fault.needs.workers)
    world.traffic.resume()
    world.await_live(timeout=timeout)
    before = set(world.check())
    world.report(f"{fault.name}: it happens")
    world.strike()
    try:
        fault.inject(world, source)
    finally:
        if fault.recovery_from == "heal":
            world.strike()
        fault.heal(world)
    world.report(f"{fault.name}: catching up")
    world.await_live(timeout=timeout)
    if world.recovered is None:
        world.recover()
    assert world.recovered is not None
    recovered = world.recovered - world.struck
    world.report(f"{fault.name}: comparing")
    world.await_exact(timeout=timeout)
    return Outcome(fault.name, recovered, world.verdict(), tuple(sorted(set(world.check()) - before)))
