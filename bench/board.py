"""``python -m bench board``: what the live board's stream costs with many clients, while every row changes each second."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import time
from multiprocessing.connection import Connection
from typing import Annotated, Final

import psutil
import typer
from rich.console import Console

from bench import results
from bench.measure import machine
from domain.agencies import AgencyRegistry
from tests.board import BoardReader, board_sources, served

#: Connections, caches and the first snapshots are past after this (seconds).
_WARM_UP_SECONDS: Final = 5.0
#: How often the figures change (seconds); every update of the stream then has every row.
_CHANGE_SECONDS: Final = 0.4


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def board(
        *,
        clients: Annotated[list[int], typer.Option(help="Open pages; may be given several times.")] = [0, 1, 200],  # noqa: B006
        seconds: Annotated[float, typer.Option(help="Length of each run.")] = 30.0,
    ) -> None:
        """Open streams in one process, count updates and bytes in another, and print the processor time of the first."""
        console = Console()
        found = [asyncio.run(measure(count, seconds=seconds)) for count in clients]
        for run in found:
            console.print(run)
        results.update({"board": {"machine": machine(), "runs": found}})


async def measure(clients: int, *, seconds: float) -> dict[str, float | int]:
    """The share of a core that a server takes with so many streams, and what they receive."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs,), daemon=True)
    process.start()
    try:
        address = await asyncio.to_thread(ours.recv)
        host, _, port = address.removeprefix("http://").partition(":")
        updates, received = [0] * clients, [0] * clients
        readers = [asyncio.ensure_future(_listen(host, int(port), n, updates, received)) for n in range(clients)]
        await asyncio.sleep(_WARM_UP_SECONDS)
        server = psutil.Process(process.pid)
        before, began = sum(server.cpu_times()[:2]), time.monotonic()
        counted, bytes_before = sum(updates), sum(received)
        await asyncio.sleep(seconds)
        took = time.monotonic() - began
        run: dict[str, float | int] = {
            "clients": clients,
            "share_of_a_core": round((sum(server.cpu_times()[:2]) - before) / took, 4),
            "updates_per_second_and_client": round((sum(updates) - counted) / took / max(clients, 1), 3),
            "bytes_per_update": round((sum(received) - bytes_before) / max(sum(updates) - counted, 1)),
        }
        for reader in readers:
            reader.cancel()
        return run
    finally:
        process.terminate()
        process.join()


async def _listen(host: str, port: int, number: int, updates: list[int], received: list[int]) -> None:
    reading, writing = await asyncio.open_connection(host, port)
    writing.write(f"GET /api/v1/stream HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
    while chunk := await reading.read(1 << 16):
        updates[number] += chunk.count(b"event: change\n")
        received[number] += len(chunk)


def _serve(connection: Connection) -> None:
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serving(connection))


async def _serving(connection: Connection) -> None:
    registry = AgencyRegistry.packaged()
    reader = BoardReader(registry)
    async with served(board_sources(reader, registry), registry) as server:
        connection.send(server.address)
        while True:
            reader.ratios = {code: (n + (d > n), d + 7) if d else (0, 0) for code, (n, d) in reader.ratios.items()}
            await asyncio.sleep(_CHANGE_SECONDS)
