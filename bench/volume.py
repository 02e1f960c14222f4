"""``python -m bench volume``: bytes a message on the disks of Kafka and ClickHouse, rows of each table, and Prometheus' series.

docs/sizing.md rests on these figures. They depend on the messages, not on the speed of the machine.
"""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Annotated, Any, Final

import httpx
import typer
from rich.console import Console

from bench import results
from bench.consumer_group import ConsumerGroup
from bench.environment import child_environment
from bench.february import await_truth, send_month
from bench.measure import PARTITIONS, Stack, machine, running_stack, worker, worker_settings
from deploy.native.processes import wait_until
from deploy.native.services.portalpulse_process import PortalPulseProcess
from producers.sending.worker_processes import Broker

_TOPIC: Final = "dvc.dossier-events.v1"
_DATABASE: Final = "volume"


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def volume(*, events: Annotated[int, typer.Option(help="At least so many messages.")] = 300_000) -> None:
        """February 2025 with realistic feeds through one worker: what it takes on the disks, and how many series it exports.

        Example: python -m bench volume --events 300000
        """
        console = Console()
        with running_stack() as stack:
            found = measure(stack, events=events)
        console.print(found)
        results.update({"volume": found})


def measure(stack: Stack, *, events: int) -> dict[str, Any]:
    """Send, count, merge, and measure."""
    stack.kafka.create_topic(_TOPIC, partitions=PARTITIONS)
    month = send_month(events=events, seed=1, broker=Broker((stack.kafka.bootstrap,), _TOPIC))
    settings = worker_settings(stack, topic=_TOPIC, group=_DATABASE, database=_DATABASE)
    process = worker(stack, settings)
    exporter = PortalPulseProcess("exporter", environment=child_environment(**settings), log_dir=stack.logs)
    try:
        process.start()
        group = ConsumerGroup(stack.kafka.bootstrap, group=_DATABASE, topic=_TOPIC)
        await_truth(month, stack.server, _DATABASE, lag=group.lag, timeout=900)
        kept = f"SELECT count() FROM {_DATABASE}.dossiers FINAL"
        wait_until(
            lambda: int(stack.server.query(kept)) >= month.truth.dossiers, timeout=600, what="the table of dossiers to have all"
        )
        exporter.start()
        series = {"worker": _series(process.url), "exporter": _series(exporter.url)}
    finally:
        exporter.process.stop()
        process.process.stop()
    tables = [line.split("\t")[0] for line in stack.server.query(f"SHOW TABLES FROM {_DATABASE}").splitlines()]
    for table in tables:
        if "MergeTree" in stack.server.query(
            f"SELECT engine FROM system.tables WHERE database = '{_DATABASE}' AND name = '{table}'"
        ):
            stack.server.query(f"OPTIMIZE TABLE {_DATABASE}.{table} FINAL", timeout=300)
    sizes = stack.server.query(
        "SELECT table, sum(rows), sum(bytes_on_disk) FROM system.parts "
        f"WHERE active AND database = '{_DATABASE}' GROUP BY table ORDER BY 3 DESC FORMAT JSONCompact"
    )
    listed = {table: [int(rows), int(taken)] for table, rows, taken in json.loads(sizes)["data"]}
    return {
        "taken_at": dt.datetime.now(dt.UTC).isoformat(timespec="minutes"),
        "machine": machine(),
        "messages": month.sent,
        "dossiers": month.truth.dossiers,
        "agencies": len({unit for unit, _ in month.truth.by_place}),
        "days": len({day for _, day in month.truth.by_place}),
        "kafka_bytes": sum(file.stat().st_size for file in _segments(stack.folder / "kafka")),
        "clickhouse_bytes": sum(taken for _, taken in listed.values()),
        "tables": listed,
        "series": series,
    }


def _segments(folder: Path) -> list[Path]:
    return [file for file in folder.rglob("*.log") if file.parent.name.startswith(_TOPIC)]


def _series(url: str) -> int:
    text = httpx.get(f"{url}/metrics", timeout=60, trust_env=False).raise_for_status().text
    return sum(not line.startswith("#") for line in text.splitlines() if line)
