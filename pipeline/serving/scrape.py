"""Reads the storage for scrapes and for probes: for each with one thread and one running read, shared by all callers."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest

from pipeline.serving.single_flight import SingleFlight
from sinks.contract.tallies import TallyReader

#: Scrapes that may wait at the same time: a few Prometheus servers and a person.
SCRAPES_WAITING: Final = 8
#: Probes that may wait at the same time.
_PROBES_WAITING: Final = 64
#: Longest wait of a probe (seconds).
PING_SECONDS: Final = 3.0
#: Longest wait of a scrape that sends no timeout (seconds).
_SCRAPE_SECONDS: Final = 30.0


class StorageFigures:
    """Reads the metrics of the storage in a thread; ``close`` ends the thread."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="scrape")
        self._shared: SingleFlight[bytes] = SingleFlight(self._read, max_waiting=SCRAPES_WAITING)

    async def read(self, *, within: float) -> bytes:
        """Every metric that is read from the storage, in the text format of Prometheus.

        Raises:
            TooManyWaitingError: too many scrapes wait.
            TimeoutError: the storage did not answer within ``within`` seconds.
            SinkError: the storage does not answer.
        """
        return await self._shared.get(within=within)

    def close(self) -> None:
        """Drop the reads that have not begun, and begin no others."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _read(self) -> bytes:
        return await asyncio.get_running_loop().run_in_executor(self._pool, generate_latest, self._registry)


class StorageProbe:
    """Checks in a thread whether the storage answers; ``close`` ends the thread."""

    def __init__(self, reader: TallyReader) -> None:
        self._reader = reader
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="probe")
        self._shared: SingleFlight[None] = SingleFlight(self._ping, max_waiting=_PROBES_WAITING)

    async def ping(self) -> None:
        """Wait until the storage answers.

        Raises:
            TooManyWaitingError: too many probes wait.
            TimeoutError: the storage did not answer within PING_SECONDS.
            SinkError: the storage failed.
        """
        await self._shared.get(within=PING_SECONDS)

    def close(self) -> None:
        """Drop the checks that have not begun, and begin no others."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _ping(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._pool, self._reader.ping)


def scrape_wait(timeout: str | None) -> float:
    """How long a scrape may wait for the storage (seconds), so that Prometheus still receives the process's own metrics.

    ``timeout``: the value of the header in which Prometheus sends its own timeout.
    """
    try:
        seconds = float(timeout or "")
    except ValueError:
        return _SCRAPE_SECONDS
    if not 0 < seconds < _SCRAPE_SECONDS:
        return _SCRAPE_SECONDS
    return seconds - min(0.5, seconds / 10)
