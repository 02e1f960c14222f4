"""Worker faults: killed before a commit, killed repeatedly, suspended, restarted one by one, given the whole topic again."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from typing import Final

from bench.chaos.environment import SESSION_SECONDS, Environment
from bench.chaos.fault import ONE_WORKER, TWO_WORKERS, Fault, Needs, RecoveryFrom
from deploy.native.processes import wait_until
from domain.errors import UnavailableError

_BURST: Final = 5_000
_ATTEMPTS: Final = 5
_READ_SECONDS: Final = 180.0


@dataclass(frozen=True)
class KillUncommitted(Fault):
    """Kill -9 of a worker that has stored rows whose offsets it has not committed; it is restarted at once.

    The fault checks that there were such rows: rows at or above the committed offsets.
    """

    recovery_from: RecoveryFrom = "inject"

    def inject(self, env: Environment, source: random.Random) -> None:
        """Kill one as soon as some of a burst is stored."""
        for _ in range(_ATTEMPTS):
            worker = source.choice(env.workers)
            send_burst(env)
            env.mark_injected()
            worker.kill()
            found = uncommitted_rows(env)
            worker.launch()
            if found:
                env.report(f"{self.name}: {worker.name} left {found} rows that were stored and not committed")
                return
            worker.await_ready()
            env.await_live()
        raise UnavailableError(f"{_ATTEMPTS} kills in a row left no row that was stored and not committed.")

    def heal(self, env: Environment) -> None:
        """Wait for the restarted worker."""
        for worker in env.workers:
            worker.await_ready()


@dataclass(frozen=True)
class KillLoop(Fault):
    """Two to four workers, killed at random moments and restarted at once, several times."""

    name: str = "kill-loop"
    needs: Needs = TWO_WORKERS
    kills: int = 8

    def inject(self, env: Environment, source: random.Random) -> None:
        """Pause after every kill; the pause ends before, during or after the rebalance that the kill causes."""
        env.set_workers(source.randint(2, 4))
        for _ in range(self.kills):
            worker = source.choice(env.workers)
            if worker.running:
                worker.kill()
            worker.launch()
            env.traffic.burst(source.randrange(_BURST))
            time.sleep(source.uniform(0.2, 4.0))

    def heal(self, env: Environment) -> None:
        """Wait until all of them are in the group."""
        for worker in env.workers:
            worker.await_ready()


@dataclass(frozen=True)
class Zombie(Fault):
    """A worker suspended past its session resumes and finishes its batch. Recovered: others read its partitions."""

    name: str = "zombie"
    needs: Needs = TWO_WORKERS
    recovery_from: RecoveryFrom = "inject"

    def inject(self, env: Environment, source: random.Random) -> None:
        """Suspend one during a burst, until the others have read its partitions."""
        send_burst(env)
        env.mark_injected()
        source.choice(env.workers).suspend()
        time.sleep(env.limits.live_seconds)  # messages that were read before keep the tallies live until then
        env.await_live()
        env.mark_recovered()
        time.sleep(max(0.0, env.injected_at + SESSION_SECONDS + source.uniform(1.0, 6.0) - time.monotonic()))

    def heal(self, env: Environment) -> None:
        """Resume it."""
        for worker in env.workers:
            worker.resume()
        for worker in env.workers:
            worker.await_ready()


@dataclass(frozen=True)
class RollingRestart(Fault):
    """SIGTERM to each worker in turn; each ends with status 0 within 20 seconds and is ready before the next one stops."""

    name: str = "rolling-restart"
    needs: Needs = TWO_WORKERS

    def inject(self, env: Environment, source: random.Random) -> None:
        """One after the other, each during a burst."""
        for worker in env.workers:
            env.traffic.burst(source.randrange(_BURST))
            worker.restart()


@dataclass(frozen=True)
class Redelivery(Fault):
    """A new group reads every message of the topic again."""

    name: str = "redelivery"
    recovery_from: RecoveryFrom = "inject"

    def inject(self, env: Environment, source: random.Random) -> None:  # noqa: ARG002 - nothing is random here
        """Wait until the new group has committed everything that the topic held."""
        ends = env.offsets.ends()
        env.change_group()
        offsets = env.offsets
        wait_until(
            lambda: all(offsets.committed().get(number, 0) >= end for number, end in ends.items()),
            timeout=env.limit(_READ_SECONDS),
            what="the new group to read the whole topic",
        )


def send_burst(env: Environment) -> None:
    """Send a burst and wait until some of it is stored."""
    stored = env.raw_rows()
    env.traffic.burst(_BURST)
    wait_until(lambda: env.raw_rows() > stored, timeout=env.limit(60), what="some of a burst to be stored")


def uncommitted_rows(env: Environment) -> int:
    """Stored rows whose messages will be redelivered: at or above the committed offset of their partition."""
    committed = env.offsets.committed()
    above = " OR ".join(f"(partition = {number} AND offset >= {committed.get(number, 0)})" for number in env.offsets.ends())
    return env.number(f"SELECT count() FROM {{db}}.dossier_messages WHERE topic = '{env.topic}' AND ({above})")


FAULTS: tuple[Fault, ...] = (
    KillUncommitted("kill-only-worker", ONE_WORKER),
    KillUncommitted("kill-one-of-two", TWO_WORKERS),
    KillLoop(),
    Zombie(),
    RollingRestart(),
    Redelivery(),
)
