"""Faults of workers: killed before a commit, killed again and again, frozen, restarted in turn, given everything again."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from typing import Final, Literal

from bench.chaos.fault import Fault, Needs
from bench.chaos.world import SESSION_SECONDS, World
from deploy.native.processes import wait_until
from domain.errors import UnavailableError

_BURST: Final = 5_000
_ATTEMPTS: Final = 5
_READ_SECONDS: Final = 180.0


@dataclass(frozen=True)
class KillUncommitted:
    """Kill -9 of a worker that has stored rows whose offsets it has not committed; a new one starts at once.

    Looked up afterwards, not hoped for: there are rows at or above the committed offsets.
    """

    name: str
    needs: Needs
    recovery_from: Literal["inject"] = "inject"

    def inject(self, world: World, source: random.Random) -> None:
        """Kill one as soon as some of a burst is stored."""
        for _ in range(_ATTEMPTS):
            worker = source.choice(world.workers)
            stored = world.raw_rows()
            world.traffic.burst(_BURST)
            wait_until(
                lambda stored=stored: world.raw_rows() > stored, timeout=world.limit(60), what="some of a burst to be stored"
            )  # type: ignore[misc]
            world.strike()
            worker.kill()
            found = uncommitted_rows(world)
            worker.start()
            if found:
                world.report(f"{self.name}: {worker.name} left {found} rows stored and not committed")
                return
            worker.await_ready()
            world.await_live()
        raise UnavailableError(f"{_ATTEMPTS} kills in a row left no stored and uncommitted row.")

    def heal(self, world: World) -> None:
        """The new one is on its way."""
        for worker in world.workers:
            worker.await_ready()


@dataclass(frozen=True)
class KillLoop:
    """Two to four workers, killed at random moments and started again at once, several times over."""

    name: str = "kill-loop"
    needs: Needs = field(default_factory=lambda: Needs(workers=2))
    recovery_from: Literal["heal"] = "heal"
    kills: int = 8

    def inject(self, world: World, source: random.Random) -> None:
        """Every kill is followed by a pause that ends before, in or after the rebalance it causes."""
        world.set_workers(source.randint(2, 4))
        for _ in range(self.kills):
            worker = source.choice(world.workers)
            if worker.running:
                worker.kill()
            worker.start()
            world.traffic.burst(source.randrange(_BURST))
            time.sleep(source.uniform(0.2, 4.0))

    def heal(self, world: World) -> None:
        """Wait until all of them are in the group."""
        for worker in world.workers:
            worker.await_ready()


@dataclass(frozen=True)
class Zombie:
    """A worker frozen past its session wakes up and finishes what it had begun. Recovered: others read its partitions."""

    name: str = "zombie"
    needs: Needs = field(default_factory=lambda: Needs(workers=2))
    recovery_from: Literal["inject"] = "inject"

    def inject(self, world: World, source: random.Random) -> None:
        """Freeze one in the middle of a burst, and keep it frozen until the others have read what was its own."""
        stored = world.raw_rows()
        world.traffic.burst(_BURST)
        wait_until(lambda: world.raw_rows() > stored, timeout=world.limit(60), what="some of a burst to be stored")
        world.strike()
        source.choice(world.workers).freeze()
        # It is live for another moment, until what was read before the freeze is old.
        time.sleep(world.limits.live_seconds)
        world.await_live()
        world.recover()
        time.sleep(max(0.0, world.struck + SESSION_SECONDS + source.uniform(1.0, 6.0) - time.monotonic()))

    def heal(self, world: World) -> None:
        """Let it wake up."""
        for worker in world.workers:
            worker.thaw()
        for worker in world.workers:
            worker.await_ready()


@dataclass(frozen=True)
class RollingRestart:
    """SIGTERM to each worker in turn; each ends with status 0 within twenty seconds and comes back before the next."""

    name: str = "rolling-restart"
    needs: Needs = field(default_factory=lambda: Needs(workers=2))
    recovery_from: Literal["heal"] = "heal"

    def inject(self, world: World, source: random.Random) -> None:
        """One after the other, while they have something to do."""
        for worker in world.workers:
            world.traffic.burst(source.randrange(_BURST))
            worker.restart()

    def heal(self, world: World) -> None:
        """Nothing is left to undo."""


@dataclass(frozen=True)
class Redelivery:
    """Every message of the topic once more, read by a new group."""

    name: str = "redelivery"
    needs: Needs = field(default_factory=Needs)
    recovery_from: Literal["inject"] = "inject"

    def inject(self, world: World, source: random.Random) -> None:  # noqa: ARG002 - nothing is left to chance
        """Over when the new group has committed all that was there."""
        there = world.offsets.ends()
        world.regroup()
        offsets = world.offsets
        wait_until(
            lambda: all(offsets.committed().get(number, 0) >= end for number, end in there.items()),
            timeout=world.limit(_READ_SECONDS),
            what="the new group to read the whole topic",
        )

    def heal(self, world: World) -> None:
        """Nothing is left to undo."""


def uncommitted_rows(world: World) -> int:
    """Rows stored of messages that come again: at or above their partition's committed offset."""
    committed = world.offsets.committed()
    above = " OR ".join(f"(partition = {number} AND offset >= {committed.get(number, 0)})" for number in world.offsets.ends())
    return world.number(f"SELECT count() FROM {{db}}.dossier_events WHERE topic = '{world.topic}' AND ({above})")


FAULTS: tuple[Fault, ...] = (
    KillUncommitted("kill-only-worker", Needs(workers=1)),
    KillUncommitted("kill-one-of-two", Needs(workers=2)),
    KillLoop(),
    Zombie(),
    RollingRestart(),
    Redelivery(),
)
