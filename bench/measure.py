"""Times a contender end to end: from its first row in ClickHouse to the last event counted, seen by another process."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from deploy.native.clickhouse_server import ClickHouseServer

_POLL = 0.05
_LIMIT = 900.0


@dataclass(frozen=True, slots=True)
class Contender:
    """How to start one, and the queries that tell how far it is."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    stored: str
    counted: str
    events: int  # stop after this many


@dataclass(frozen=True, slots=True)
class Run:
    """One timed run."""

    name: str
    events: int
    seconds: float
    cpu_seconds: float
    memory_bytes: int

    @property
    def rate(self) -> float:
        """Events a second."""
        return self.events / self.seconds


def run(contender: Contender, server: ClickHouseServer, *, log: Path) -> Run:
    """Start the contender, wait for its last event, stop it.

    Raises:
        SystemExit: it ended early or did not finish.
    """
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, *contender.command],
            env=os.environ | dict(contender.environment),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    watched = psutil.Process(process.pid)
    try:
        _wait(lambda: _number(server, contender.stored) > 0, process, contender, log)
        first = time.perf_counter()
        _wait(lambda: _number(server, contender.counted) >= contender.events, process, contender, log)
        seconds = time.perf_counter() - first
        counted = _number(server, contender.counted)
        times = watched.cpu_times()
        return Run(contender.name, counted, seconds, times.user + times.system, watched.memory_info().rss)
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(done: Callable[[], bool], process: subprocess.Popen[bytes], contender: Contender, log: Path) -> None:
    deadline = time.monotonic() + _LIMIT
    while not done():
        if process.poll() is not None:
            raise SystemExit(f"{contender.name} ended with {process.returncode}: see {log}")
        if time.monotonic() > deadline:
            raise SystemExit(f"{contender.name} did not finish within {_LIMIT:.0f} s: see {log}")
        time.sleep(_POLL)


def _number(server: ClickHouseServer, sql: str) -> int:
    """The answer, or 0 while the tables are not there yet."""
    try:
        return int(server.query(sql).strip() or 0)
    except Exception:  # noqa: BLE001 - a contender creates its tables when it starts
        return 0


def spread(runs: Sequence[Run]) -> tuple[float, float, float]:
    """Least, median and most events a second."""
    rates = [run.rate for run in runs]
    return min(rates), statistics.median(rates), max(rates)
