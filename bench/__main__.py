"""``make bench``: end to end with Kafka, the contender and ClickHouse on this machine; prints a table, writes results.json."""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import platform
import shutil
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.contenders import faust_stock
from bench.corpus import Corpus, fill
from bench.measure import Contender, Run, run, spread
from deploy.native.clickhouse_server import ClickHouseServer
from deploy.native.kafka import KafkaNode

TOPIC = "dvc.dossier-events.v1"
PARTITIONS = 4
RESULTS = Path(__file__).with_name("results.json")


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000, help="messages in the topic (default %(default)s)")
    parser.add_argument("--stock-events", type=int, default=100_000, help="messages for stock Faust (default %(default)s)")
    parser.add_argument("--runs", type=int, default=3, help="runs of each contender (default %(default)s)")
    parser.add_argument("--minutes", type=int, default=10, help="minutes that the events are spread over (default %(default)s)")
    options = parser.parse_args()
    console = Console()
    folder = Path(tempfile.mkdtemp(prefix="portalpulse-bench-"))
    try:
        results = measure_all(options, folder, console)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    report(results, options, console)


def measure_all(options: argparse.Namespace, folder: Path, console: Console) -> dict[str, list[Run]]:
    """Fill the topic once, then let the contenders take turns, so that a slow minute of the machine hits all of them."""
    kafka = KafkaNode(data_dir=folder / "kafka", log_dir=folder / "logs", heap="1g")
    server = ClickHouseServer(data_dir=folder / "clickhouse", log_dir=folder / "logs")
    results: dict[str, list[Run]] = {}
    try:
        kafka.start()
        server.start()
        kafka.create_topic(TOPIC, partitions=PARTITIONS)
        until = dt.datetime.now(dt.UTC).replace(second=0, microsecond=0)
        with console.status(f"sending {options.events:,} messages"):
            size = fill(kafka.bootstrap, TOPIC, Corpus(options.events, options.minutes, until))
        console.print(f"{options.events:,} messages of {size:.0f} bytes in {PARTITIONS} partitions")
        for number in range(options.runs):
            server.query("CREATE DATABASE bench")
            for contender in (portalpulse(kafka, server, number, options.events), stock(kafka, server, number, options)):
                with console.status(f"run {number + 1} of {options.runs}: {contender.name}"):
                    found = run(contender, server, log=folder / "logs" / f"{contender.name}.log")
                results.setdefault(contender.name, []).append(found)
                console.print(f"  {found.name:14} {found.rate:>10,.0f} events/s  {found.cpu_seconds:6.1f} CPU s")
            server.query(f"DROP DATABASE {_database(number)}")
            server.query("DROP DATABASE bench")
    finally:
        server.stop()
        kafka.stop()
    return results


def _database(number: int) -> str:
    return f"bench_{number}"


def portalpulse(kafka: KafkaNode, server: ClickHouseServer, number: int, events: int) -> Contender:
    """One worker, as anybody would start it."""
    database = _database(number)
    return Contender(
        name="portalpulse",
        command=("-m", "pipeline.cli", "worker"),
        environment={
            "PORTALPULSE_KAFKA__BOOTSTRAP": kafka.bootstrap,
            "PORTALPULSE_KAFKA__TOPIC": TOPIC,
            "PORTALPULSE_KAFKA__GROUP": f"bench-portalpulse-{number}",
            "PORTALPULSE_CLICKHOUSE__URL": server.url(database),
            "PORTALPULSE_HTTP__PORT": "0",
        },
        stored=f"SELECT count() FROM {database}.dossier_events",
        counted=f"SELECT sum(events) FROM {database}.agency_minute FINAL",
        events=events,
    )


def stock(kafka: KafkaNode, server: ClickHouseServer, number: int, options: argparse.Namespace) -> Contender:
    """A stock Faust agent on the same topic, stopped after fewer messages: it is slow."""
    return Contender(
        name="faust-stock",
        command=("-m", "bench.contenders.faust_stock", "worker", "-l", "warn", "--without-web"),
        environment={
            "BENCH_KAFKA": kafka.bootstrap,
            "BENCH_TOPIC": TOPIC,
            "BENCH_GROUP": f"bench-faust-{number}",
            "BENCH_CLICKHOUSE_PORT": server.http_url.rsplit(":", 1)[1],
        },
        stored="SELECT count() FROM bench.faust_events",
        counted=faust_stock.COUNTED.replace("FROM ", "FROM bench."),
        events=min(options.stock_events, options.events),
    )


def report(results: dict[str, list[Run]], options: argparse.Namespace, console: Console) -> None:
    """Print the table and write ``results.json``."""
    table = Table(title=f"{platform.machine()}, {os.cpu_count()} cores, {options.runs} runs each")
    for column in ("contender", "events", "least", "median", "most", "events/s of stock"):
        table.add_column(column, justify="left" if column == "contender" else "right")
    base = spread(results["faust-stock"])[1]
    for name, runs in results.items():
        least, median, most = spread(runs)
        table.add_row(name, f"{runs[0].events:,}", f"{least:,.0f}", f"{median:,.0f}", f"{most:,.0f}", f"{median / base:.1f} x")
    console.print(table)
    listed = [
        {
            "name": name,
            "workers": 1,
            "events": runs[0].events,
            "events_per_second": [round(found.rate) for found in runs],
            "cpu_seconds": [round(found.cpu_seconds, 2) for found in runs],
            "memory_bytes": [found.memory_bytes for found in runs],
        }
        for name, runs in results.items()
    ]
    RESULTS.write_text(json.dumps({"runs": listed}, indent=2) + "\n", encoding="utf-8")
    console.print(f"written to {RESULTS.name}")


if __name__ == "__main__":
    main()
