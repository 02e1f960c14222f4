"""Faults of ClickHouse's disk: full to the last byte. The server's folder moves to a small file system and back."""

from __future__ import annotations

import random
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.chaos.environment import Environment
from bench.chaos.fault import Fault
from bench.chaos.outage import await_retries, report_outage, run_for, start_server
from domain.errors import ConfigurationError, UnavailableError

_BURST: Final = 5_000
_PAGE: Final = 4_096
#: Free space of the small file system before it is filled (bytes).
_FREE_BYTES: Final = 64 << 20
#: The file that fills the disk.
_FILLER: Final = "ballast"


@dataclass(frozen=True)
class FullDisk(Fault):
    """The disk of ClickHouse is full to the last byte while events flow, until somebody removes a file.

    The server's folder moves to a small file system in memory and back, which needs the right to mount.
    """

    name: str = "clickhouse-disk-full"
    seconds: float = 8.0

    def inject(self, env: Environment, source: random.Random) -> None:  # noqa: ARG002 - nothing is random here
        """Fill the small disk; inserts and recounts must be refused as NOT_ENOUGH_SPACE, and nothing is acknowledged."""
        folder = env.server.folder
        env.server.stop()
        move_to_small_disk(folder)
        start_server(env)
        env.await_live()
        env.server.query("SYSTEM STOP MERGES")  # a merge that ends would free some space
        env.mark_injected()
        fill_disk(folder)
        env.traffic.burst(_BURST)
        await_retries(env, "insert_events")
        refused = env.number("SELECT sum(value) FROM system.errors WHERE code = 243")
        if not refused:
            raise UnavailableError("The disk is full, but ClickHouse refused nothing because of it.")
        report_outage(env, f"{self.name} ({refused} refusals)", run_for(env, self.seconds))

    def heal(self, env: Environment) -> None:
        """Free the space; once the tallies have caught up, move back to the large disk."""
        folder = env.server.folder
        free_disk(folder)
        start_server(env)
        env.server.query("SYSTEM START MERGES")
        if folder.is_mount():
            env.await_live()
            env.mark_recovered()
            env.server.stop()
            move_to_large_disk(folder)
        start_server(env)


def move_to_small_disk(folder: Path) -> None:
    """Move the folder of a stopped server to a small file system of its own.

    Raises:
        ConfigurationError: nothing may be mounted here.
    """
    used = sum(path.lstat().st_blocks * 512 + _PAGE for path in folder.rglob("*"))
    original = folder.with_name(f"{folder.name}-large")
    folder.rename(original)
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={used + _FREE_BYTES}", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        folder.rmdir()
        original.rename(folder)
        raise ConfigurationError(
            f"No file system can be mounted here: {mounted.stderr.strip()}.",
            remedy="Run this as root of a machine or container that may mount, or omit clickhouse-disk-full from --faults.",
        )
    shutil.copytree(original, folder, dirs_exist_ok=True, symlinks=True)
    shutil.rmtree(original)


def move_to_large_disk(folder: Path) -> None:
    """Move it back; the server must be stopped."""
    original = folder.with_name(f"{folder.name}-large")
    shutil.copytree(folder, original, symlinks=True)
    subprocess.run(["umount", str(folder)], capture_output=True, check=True)
    folder.rmdir()
    original.rename(folder)


def fill_disk(folder: Path) -> None:
    """Write a file into the folder until no byte is left; ``free_disk`` removes it."""
    block = bytes(1 << 16)
    with (folder / _FILLER).open("wb", buffering=0) as file:
        while True:
            try:
                if not file.write(block):
                    return
            except OSError:
                return


def free_disk(folder: Path) -> None:
    """Give back what ``fill_disk`` took."""
    (folder / _FILLER).unlink(missing_ok=True)


FAULTS: tuple[Fault, ...] = (FullDisk(),)
