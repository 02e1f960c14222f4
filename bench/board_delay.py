"""``python -m bench board-delay``: from an event sent to Kafka until a page has its figure, with every part of ``up``."""

from __future__ import annotations

import datetime as dt
import http.client
import json
import os
import queue
import random
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any, Final, Self

import numpy as np
import typer
from confluent_kafka import Producer
from rich.console import Console

from bench import results
from bench.environment import child_environment
from bench.folder import temporary_folder
from bench.measure import PARTITIONS, machine
from deploy.native.stack import LocalStack
from deploy.native.stack_options import StackOptions
from domain.agencies import AgencyRegistry
from domain.errors import UnavailableError
from domain.periods import VIETNAM
from pipeline.board.changes import merged

TOPIC: Final = "dvc.dossier-events.v1"
#: Pauses between an answer and the next event (seconds): at random, so that no event keeps step with a clock of the pipeline.
_PAUSE: Final = (0.3, 1.8)
_WARM_UP_EVENTS: Final = 3
_MOST_WAITING_SECONDS: Final = 60.0


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command("board-delay")
    def board_delay(
        *,
        rate: Annotated[list[int], typer.Option(help="Other messages a second; may be given several times.")] = [0, 50],  # noqa: B006
        events: Annotated[int, typer.Option(help="Measured events of each run.")] = 60,
        period: Annotated[str, typer.Option(help="Period of the page.")] = "ytd",
    ) -> None:
        """Send events one after the other, listen to the board's stream, and print how long each took."""
        console = Console()
        found = []
        for each in rate:
            found.append(measure(rate=each, events=events, period=period))
            console.print(found[-1])
        known = {run["other_messages_per_second"]: run for run in results.read().get("board_delay", {}).get("runs", [])}
        known |= {run["other_messages_per_second"]: run for run in found}
        results.update({"board_delay": {"machine": machine(), "runs": [known[each] for each in sorted(known)]}})


def measure(*, rate: int, events: int, period: str) -> dict[str, Any]:
    """The delays of so many events (milliseconds), while so many other messages a second are sent.

    Raises:
        ConfigurationError, UnavailableError: a part is missing or does not start.
    """
    registry, today = AgencyRegistry.packaged(), dt.datetime.now(VIETNAM).date()
    # Nobody but the bench sends for it: agencies that are expected to report have the other messages.
    agency = next(each.code for each in registry.in_force(today) if not each.is_expected(today))
    random.seed(1)
    before = os.getloadavg()[0]
    with temporary_folder("portalpulse-bench-") as folder:
        options = StackOptions(data_dir=folder / "stack", topic=TOPIC, group="bench", partitions=PARTITIONS, inherit=False)
        with LocalStack(options) as stack:
            stack.start()
            with _traffic(stack, rate, folder), _Page(stack.api, period) as page:
                producer = Producer({"bootstrap.servers": stack.bootstrap, "linger.ms": 0})
                delays = [_delay(producer, page, agency, number) for number in range(1, _WARM_UP_EVENTS + events + 1)]
                del producer  # before its broker ends, which it would complain of
    measured = np.array(delays[_WARM_UP_EVENTS:]) * 1000
    return {
        "other_messages_per_second": rate,
        "period": period,
        "events": events,
        "p50": round(float(np.percentile(measured, 50))),
        "p95": round(float(np.percentile(measured, 95))),
        "max": round(float(measured.max())),
        "within_2_s": round(float((measured <= 2000).mean()), 3),
        "load_of_the_machine": [round(each, 1) for each in (before, os.getloadavg()[0])],
    }


def _delay(producer: Producer, page: _Page, agency: str, number: int) -> float:
    """Send one settled dossier and return after how many seconds the page has it."""
    time.sleep(random.uniform(*_PAUSE))
    now = dt.datetime.now(VIETNAM)
    message = {
        "event_id": str(uuid.uuid4()),
        "dossier_code": f"{agency}.1-{now:%y%m%d}-{number:04d}",
        "agency_code": agency,
        "procedure_code": "1.001612",
        "status": 9,
        "channel": 2,
        "service_level": "toan_trinh",
        "occurred_at": now.isoformat(timespec="milliseconds"),
    }
    sent = time.monotonic()
    producer.produce(TOPIC, json.dumps(message).encode(), message["dossier_code"].encode())
    producer.flush(10)
    return page.seen(agency, number) - sent


class _Page:
    """What a page receives: the stream of a period, merged; in a thread, so that each change has the time of its arrival."""

    def __init__(self, address: str, period: str) -> None:
        host, _, port = address.removeprefix("http://").partition(":")
        self._connection = http.client.HTTPConnection(host, int(port), timeout=_MOST_WAITING_SECONDS)
        self._connection.request("GET", f"/api/v1/stream?period={period}")
        self._answer = self._connection.getresponse()
        self._arrived: queue.SimpleQueue[tuple[float, dict[str, Any]]] = queue.SimpleQueue()
        self._data: dict[str, Any] = {}
        self._thread = threading.Thread(target=self._listen, name="page", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._connection.sock is not None
        self._connection.sock.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        self._connection.close()

    def seen(self, agency: str, dossiers: int) -> float:
        """When the page had so many dossiers of an agency (monotonic seconds).

        Raises:
            UnavailableError: not within a minute.
        """
        deadline = time.monotonic() + _MOST_WAITING_SECONDS
        while time.monotonic() < deadline:
            at, row = self._arrived.get(timeout=_MOST_WAITING_SECONDS)
            if row.get(agency, {}).get("denominator", 0) >= dossiers:
                return at
        raise UnavailableError(f"The page has not shown dossier {dossiers} of {agency} after {_MOST_WAITING_SECONDS:g} s.")

    def _listen(self) -> None:
        event = b""
        with suppress(http.client.HTTPException, OSError):  # the end of the bench cuts the stream
            for line in iter(self._answer.readline, b""):
                if line.startswith(b"event: "):
                    event = line[7:].strip()
                elif line.startswith(b"data: "):
                    at, data = time.monotonic(), json.loads(line[6:])
                    self._data = data if event == b"snapshot" else merged(self._data, data)
                    self._arrived.put((at, self._data["agencies"]))


@contextmanager
def _traffic(stack: LocalStack, rate: int, folder: Path) -> Iterator[None]:
    """So many messages a second of all agencies, until the block ends."""
    if not rate:
        yield
        return
    command = [sys.executable, "-m", "pipeline.cli", "produce", "--scenario", "live", "--shape", "steady", "--rate", str(rate)]
    with (folder / "produce.log").open("wb") as output:
        process = subprocess.Popen(
            [*command, "--data", str(stack.folder.path)],
            env=child_environment(),
            cwd=folder,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            time.sleep(5)
            yield
        finally:
            process.terminate()
            process.wait(30)
