"""Faults of ClickHouse and of the way to it: killed, silent, slow, refusing, half, full, read-only, behind with its merges."""

from __future__ import annotations

import random
import shutil
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from bench.chaos.fault import Fault, Needs
from bench.chaos.outage import Observed, endure, metric, timeout_of
from bench.chaos.workers import Worker
from bench.chaos.world import World
from deploy.native.processes import wait_until
from domain.errors import ConfigurationError, UnavailableError

_BURST: Final = 5_000
_SEEN_SECONDS: Final = 60.0
#: An insert that takes this rate (bytes a second) is under way long enough to be hit in its middle.
_CRAWL: Final = 20_000
#: Half an answer: somewhere in its headers or its body. Half a request: somewhere in an insert.
_ANSWER_CUTS, _REQUEST_CUTS = (1, 1_000), (200, 60_000)
_PAGE: Final = 4_096
#: What a full disk has left for others before its ballast is laid (bytes).
_DISK_BYTES: Final = 64 << 20
_INSERTING: Final = "SELECT count() FROM system.processes WHERE query_kind = 'Insert' AND query LIKE '%dossier_events%'"
#: Batches stored before inserts were refused are recounted, and so acknowledged, within this time (seconds).
_RECOUNTED_SECONDS: Final = 10.0


@dataclass(frozen=True)
class KilledInMidInsert:
    """Kill -9 of ClickHouse while the body of an insert is on its way; it stays away for a while, then starts again."""

    name: str = "clickhouse-killed"
    needs: Needs = field(default_factory=Needs)
    recovery_from: Literal["heal"] = "heal"
    seconds: float = 8.0

    def inject(self, world: World, source: random.Random) -> None:
        """The way is made slow first, so that the insert lasts; the server itself says that it has begun."""
        await_commit(world)
        world.gate.slow(_CRAWL)
        world.traffic.burst(_BURST)
        wait_until(
            lambda: sum(world.probe.numbers(_INSERTING)), timeout=world.limit(_SEEN_SECONDS), what="an insert to be under way"
        )
        world.strike()
        world.server.kill()
        world.gate.open()
        told(world, self.name, endure(world, self.seconds + source.uniform(0.0, 3.0)))

    def heal(self, world: World) -> None:
        """Start it."""
        world.gate.open()
        start_server(world)


@dataclass(frozen=True)
class Refusing:
    """Nobody listens at ClickHouse's address and standing connections are reset."""

    name: str = "clickhouse-refuses"
    needs: Needs = field(default_factory=Needs)
    recovery_from: Literal["heal"] = "heal"
    seconds: float = 6.0

    def inject(self, world: World, source: random.Random) -> None:
        """In the middle of a burst."""
        await_commit(world)
        world.traffic.burst(_BURST)
        world.strike()
        world.gate.refuse()
        told(world, self.name, endure(world, self.seconds + source.uniform(0.0, 3.0)))

    def heal(self, world: World) -> None:
        """Listen again."""
        world.gate.open()


@dataclass(frozen=True)
class Hanging:
    """ClickHouse takes every connection and every byte and answers nothing. What it was asked arrives late, as from a ghost."""

    name: str = "clickhouse-hangs"
    needs: Needs = field(default_factory=Needs)
    recovery_from: Literal["heal"] = "heal"
    seconds: float = 8.0

    def inject(self, world: World, source: random.Random) -> None:
        """Longer than the workers' time limit when that is short."""
        await_commit(world)
        world.traffic.burst(_BURST)
        world.strike()
        world.gate.hang()
        seconds = self.seconds + source.uniform(0.0, 3.0)
        told(world, self.name, endure(world, seconds, says=seconds > timeout_of(world)))

    def heal(self, world: World) -> None:
        """Answer again."""
        world.gate.open()


@dataclass(frozen=True)
class Slow:
    """Every connection to ClickHouse crawls."""

    name: str = "clickhouse-slow"
    needs: Needs = field(default_factory=Needs)
    recovery_from: Literal["heal"] = "heal"
    seconds: float = 8.0

    def inject(self, world: World, source: random.Random) -> None:
        """Too slow for the traffic, so that a backlog grows."""
        world.traffic.burst(_BURST)
        world.strike()
        world.gate.slow(source.randint(_CRAWL // 4, _CRAWL))
        time.sleep(self.seconds)

    def heal(self, world: World) -> None:
        """At full speed again."""
        world.gate.open()


@dataclass(frozen=True)
class Half:
    """Answers, or requests, end in their middle in good order, as if they were whole; each time at another place."""

    name: str
    half: Literal["half_response", "half_request"]
    needs: Needs = field(default_factory=Needs)
    recovery_from: Literal["heal"] = "heal"
    cuts: int = 20

    def inject(self, world: World, source: random.Random) -> None:
        """Cut so many times; in between the gate is open for a moment, so that some calls get through."""
        low, high = _ANSWER_CUTS if self.half == "half_response" else _REQUEST_CUTS
        world.strike()
        for _ in range(self.cuts):
            world.traffic.burst(_BURST // 10)
            before = world.gate.counts[self.half]
            getattr(world.gate, self.half)(source.randint(low, high))
            wait_until(
                lambda before=before: world.gate.counts[self.half] > before,  # type: ignore[misc]
                timeout=world.limit(_SEEN_SECONDS),
                what="a cut",
            )
            world.gate.open()
            time.sleep(source.uniform(0.0, 0.2))

    def heal(self, world: World) -> None:
        """Whole again."""
        world.gate.open()


@dataclass(frozen=True)
class ReadOnlyTable:
    """Somebody makes the table of events read-only: workers end with a sentence, for waiting would help nobody."""

    name: str = "clickhouse-read-only"
    needs: Needs = field(default_factory=Needs)
    recovery_from: Literal["heal"] = "heal"

    def inject(self, world: World, source: random.Random) -> None:  # noqa: ARG002 - nothing is left to chance
        """Every worker must end with status 1 and the name of the error."""
        world.server.query(f"ALTER TABLE {world.database}.dossier_events MODIFY SETTING table_readonly = 1")
        world.strike()
        must_end(world, "TABLE_IS_PERMANENTLY_READ_ONLY")

    def heal(self, world: World) -> None:
        """Undo it and start the workers."""
        world.server.query(f"ALTER TABLE {world.database}.dossier_events RESET SETTING table_readonly")
        world.set_workers(len(world.workers))


@dataclass(frozen=True)
class TooManyParts:
    """Merges are behind: every insert is refused until they have caught up."""

    name: str = "clickhouse-too-many-parts"
    needs: Needs = field(default_factory=Needs)
    recovery_from: Literal["heal"] = "heal"
    seconds: float = 14.0

    def inject(self, world: World, source: random.Random) -> None:  # noqa: ARG002 - nothing is left to chance
        """Workers wait and acknowledge nothing."""
        world.server.query(
            f"ALTER TABLE {world.database}.dossier_events "
            "MODIFY SETTING parts_to_throw_insert = 1, parts_to_delay_insert = 1000000"
        )
        world.strike()
        await_repeats(world, "insert_events")
        told(world, self.name, endure(world, self.seconds, settle=_RECOUNTED_SECONDS))

    def heal(self, world: World) -> None:
        """Have room for parts again."""
        world.server.query(
            f"ALTER TABLE {world.database}.dossier_events RESET SETTING parts_to_throw_insert, parts_to_delay_insert"
        )


@dataclass(frozen=True)
class FullDisk:
    """The disk of ClickHouse is full to the last byte while events flow, until somebody removes a file.

    For this the server's folder moves to a small file system in memory and back: that needs the right to mount.
    """

    name: str = "clickhouse-disk-full"
    needs: Needs = field(default_factory=Needs)
    recovery_from: Literal["heal"] = "heal"
    seconds: float = 8.0

    def inject(self, world: World, source: random.Random) -> None:  # noqa: ARG002 - nothing is left to chance
        """Fill the small disk; inserts and recounts must be refused as NOT_ENOUGH_SPACE, and nothing is acknowledged."""
        folder = world.server.folder
        world.server.stop()
        onto_small_disk(folder)
        start_server(world)
        world.await_live()
        world.server.query("SYSTEM STOP MERGES")  # one that ends would free some space
        world.strike()
        fill_disk(folder / _BALLAST)
        world.traffic.burst(_BURST)
        await_repeats(world, "insert_events")
        refused = world.number("SELECT sum(value) FROM system.errors WHERE code = 243")
        if not refused:
            raise UnavailableError("The disk is full and ClickHouse refused nothing for it.")
        told(world, f"{self.name} ({refused} refusals)", endure(world, self.seconds))

    def heal(self, world: World) -> None:
        """Free the space; when all is counted again, back to the large disk."""
        folder = world.server.folder
        (folder / _BALLAST).unlink(missing_ok=True)
        start_server(world)
        world.server.query("SYSTEM START MERGES")
        if folder.is_mount():
            world.await_live()
            world.recover()
            world.server.stop()
            onto_large_disk(folder)
        start_server(world)


_BALLAST: Final = "ballast"


def onto_small_disk(folder: Path) -> None:
    """Put the folder of a stopped server onto a file system of its own with little room.

    Raises:
        ConfigurationError: nothing may be mounted here.
    """
    used = sum(path.lstat().st_blocks * 512 + _PAGE for path in folder.rglob("*"))
    aside = folder.with_name(f"{folder.name}-large")
    folder.rename(aside)
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={used + _DISK_BYTES}", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        folder.rmdir()
        aside.rename(folder)
        raise ConfigurationError(
            f"No file system can be mounted here: {mounted.stderr.strip()}.",
            remedy="Run this as root of a machine or container that may mount, or leave clickhouse-disk-full out by --faults.",
        )
    shutil.copytree(aside, folder, dirs_exist_ok=True, symlinks=True)
    shutil.rmtree(aside)


def onto_large_disk(folder: Path) -> None:
    """Back again; the server must be stopped."""
    aside = folder.with_name(f"{folder.name}-large")
    shutil.copytree(folder, aside, symlinks=True)
    subprocess.run(["umount", str(folder)], capture_output=True, check=True)
    folder.rmdir()
    aside.rename(folder)


def fill_disk(ballast: Path) -> None:
    """Write a file until not a byte is left."""
    piece = bytes(1 << 16)
    with ballast.open("wb", buffering=0) as file:
        while True:
            try:
                if not file.write(piece):
                    return
            except OSError:
                return


def await_commit(world: World) -> None:
    """Wait until something is committed at all: only then it means something that nothing more is."""
    wait_until(lambda: sum(world.offsets.committed().values()), timeout=world.limit(_SEEN_SECONDS), what="a committed offset")


def await_repeats(world: World, operation: str) -> None:
    """Wait until every worker has seen two further calls of this kind fail and repeats them."""

    def repeats(worker: Worker) -> float:
        return metric(worker, "portalpulse_worker_store_seconds_count", operation=operation, outcome="retryable")

    for worker, before in [(worker, repeats(worker)) for worker in world.workers]:
        wait_until(
            lambda worker=worker, before=before: repeats(worker) >= before + 2,  # type: ignore[misc]
            timeout=world.limit(_SEEN_SECONDS),
            what=f"{worker.name} to repeat {operation}",
        )


def must_end(world: World, words: str, *, status: int = 1) -> None:
    """Wait until every worker ends by itself, with this status and a sentence that holds these words."""
    for worker in world.workers:
        said = worker.await_end(frozenset({status}), timeout=world.limit(_SEEN_SECONDS) + timeout_of(world))
        if words not in said:
            raise UnavailableError(f"{worker.name} ended without saying {words}: {said!r}.")
        world.report(said)


def start_server(world: World) -> None:
    """Start ClickHouse unless it runs."""
    if not world.server.process.running:
        world.server.start()


def told(world: World, name: str, observed: Observed) -> None:
    """Report what was seen."""
    world.report(
        f"{name}: away for {observed.seconds:.1f} s, committed {observed.committed:,} all the while, {observed.behind:,} behind, "
        f"held {observed.unstored:,} unstored, grew {observed.grown_bytes / 2**20:.0f} MiB; said: {observed.said or '-'}"
    )


FAULTS: tuple[Fault, ...] = (
    KilledInMidInsert(),
    Refusing(),
    Hanging(),
    Slow(),
    Half("clickhouse-half-answers", "half_response"),
    Half("clickhouse-half-requests", "half_request"),
    ReadOnlyTable(),
    TooManyParts(),
    FullDisk(),
)
