"""The arithmetic of docs/sizing.md: from dossiers a day to partitions, workers, servers and disks; ``python -m bench sizing``.

Every figure that was measured comes from ``bench/results.json``; what is assumed stands here as a constant.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import typer
from rich.console import Console

from bench import results
from deploy.native.programs import PROJECT

PAGE: Final = PROJECT / "docs" / "sizing.md"
FACTORS: Final = (1, 10, 100)

#: Dossiers of the nation on a working day.
DOSSIERS_A_DAY: Final = 310_000
WORKING_DAYS: Final = 250
WORKING_SECONDS: Final = 9 * 3600
#: The busiest minute, in means of the working day.
PEAK: Final = 10
#: Messages a second that one worker keeps fresh; the rate at which it was measured.
WORKER_RATE: Final = 20_000
#: Partitions for each worker: so many workers can be added before the topic gets more. At least so many.
PARTITIONS_A_WORKER: Final = 3
LEAST_PARTITIONS: Final = 6
#: Days that Kafka keeps messages, and copies of each.
KAFKA_DAYS: Final = 14
KAFKA_COPIES: Final = 3
#: Years that ClickHouse keeps, replicas of each shard, free space for merges (as a factor), and the disk of a server (bytes).
YEARS: Final = 2
REPLICAS: Final = 2
MERGE_SPACE: Final = 1.5
SERVER_DISK: Final = 4e12
#: Processors of a server for each one that was measured: half of it stays free. At least so many.
SERVER_RESERVE: Final = 2
LEAST_CORES: Final = 4
#: Prometheus: seconds between two scrapes, days that it keeps, and bytes of a sample (its documentation: one to two).
SCRAPE_SECONDS: Final = 15
PROMETHEUS_DAYS: Final = 400
SAMPLE_BYTES: Final = 2
#: An outage of so long, in the middle of a working day (seconds).
OUTAGE_SECONDS: Final = 3600

_STORED_BY_MESSAGE: Final = ("dossier_messages", "dossier_index", "dossier_corrections", "dossier_changes")


@dataclass(frozen=True, slots=True)
class Measured:
    """Figures of ``bench/results.json``. ``server_cores``: of ClickHouse, with one worker at ``WORKER_RATE``."""

    messages_a_dossier: float
    kafka_bytes: float
    message_bytes: float
    dossier_bytes: float
    minute_bytes: float
    procedure_bytes: float
    agencies: int
    worker_series: int
    exporter_series: int
    worker_cores: float
    server_cores: float
    flood_rate: float

    @classmethod
    def of(cls, document: dict[str, Any]) -> Measured:
        """From all results."""
        volume = document["volume"]
        tables, messages = volume["tables"], volume["messages"]
        (live,) = [run for run in document["latency"]["runs"] if run["rate"] == WORKER_RATE]
        return cls(
            messages_a_dossier=messages / volume["dossiers"],
            kafka_bytes=volume["kafka_bytes"] / messages,
            message_bytes=sum(tables[name][1] for name in _STORED_BY_MESSAGE) / messages,
            dossier_bytes=tables["dossiers"][1] / volume["dossiers"],
            minute_bytes=tables["agency_minute"][1] / tables["agency_minute"][0],
            procedure_bytes=tables["agency_day_procedure"][1] / messages,
            agencies=volume["agencies"],
            worker_series=volume["series"]["worker"],
            exporter_series=volume["series"]["exporter"],
            worker_cores=live["worker_cores"],
            server_cores=live["server_cores"],
            flood_rate=statistics.median(run["per_second_acknowledged"] for run in document["dossiers_onto_0"]["scattered"]),
        )


@dataclass(frozen=True, slots=True)
class Size:
    """What so many times the nation needs."""

    factor: int
    measured: Measured

    @property
    def messages_a_day(self) -> float:
        """Of a working day."""
        return self.factor * DOSSIERS_A_DAY * self.measured.messages_a_dossier

    @property
    def mean(self) -> float:
        """Messages a second of the working day."""
        return self.messages_a_day / WORKING_SECONDS

    @property
    def peak(self) -> float:
        """Messages a second of the busiest minute."""
        return self.mean * PEAK

    @property
    def workers(self) -> int:
        """For the peak, and one more for the day on which one is lost."""
        return math.ceil(self.peak / WORKER_RATE) + 1

    @property
    def partitions(self) -> int:
        """Of the topic."""
        return max(LEAST_PARTITIONS, PARTITIONS_A_WORKER * self.workers)

    @property
    def kafka_disk(self) -> float:
        """Bytes of all copies."""
        return self.messages_a_day * self.measured.kafka_bytes * KAFKA_DAYS * KAFKA_COPIES

    @property
    def rows_disk(self) -> float:
        """Bytes of a year in ClickHouse, one copy, merged."""
        measured, messages = self.measured, self.messages_a_day * WORKING_DAYS
        dossiers = self.factor * DOSSIERS_A_DAY * WORKING_DAYS
        minutes = measured.agencies * WORKING_SECONDS / 60 * WORKING_DAYS  # each agency has a row for each minute, no more
        by_message = measured.message_bytes + measured.procedure_bytes
        return messages * by_message + dossiers * measured.dossier_bytes + minutes * measured.minute_bytes

    @property
    def clickhouse_disk(self) -> float:
        """Bytes of all years, with space for merges, one replica of all shards."""
        return self.rows_disk * YEARS * MERGE_SPACE

    @property
    def shards(self) -> int:
        """So that no disk is full."""
        return math.ceil(self.clickhouse_disk / SERVER_DISK)

    @property
    def server_cores(self) -> int:
        """Processors of each server: each worker recounts, at its peak as much as was measured, and the shards share it."""
        return max(LEAST_CORES, math.ceil(self.workers * self.measured.server_cores * SERVER_RESERVE / self.shards))

    @property
    def series(self) -> int:
        """Of all workers and one exporter, with two for each partition."""
        return self.measured.exporter_series + self.workers * self.measured.worker_series + 2 * self.partitions

    @property
    def prometheus_disk(self) -> float:
        """Bytes."""
        return self.series * 86_400 / SCRAPE_SECONDS * PROMETHEUS_DAYS * SAMPLE_BYTES

    @property
    def caught_up(self) -> float:
        """Seconds until the messages of an outage are counted by one worker, in the order that costs most."""
        return OUTAGE_SECONDS * self.mean / self.measured.flood_rate


def lines(document: dict[str, Any]) -> Iterator[str]:
    """The table of docs/sizing.md."""
    measured = Measured.of(document)
    found = [Size(factor, measured) for factor in FACTORS]
    each = f"{measured.messages_a_dossier:.2f}"
    rows: list[tuple[str, str, list[str]]] = [
        ("messages a day", f"dossiers × {each}", [_count(size.messages_a_day) for size in found]),
        ("messages/s, mean", f"÷ {WORKING_SECONDS:,} s", [_count(size.mean) for size in found]),
        ("messages/s, busiest minute", f"mean × {PEAK}", [_count(size.peak) for size in found]),
        ("workers", f"busiest minute ÷ {WORKER_RATE:,}, rounded up, + 1", [f"{size.workers}" for size in found]),
        (
            "partitions",
            f"workers × {PARTITIONS_A_WORKER}, at least {LEAST_PARTITIONS}",
            [f"{size.partitions}" for size in found],
        ),
        (
            "disk of Kafka",
            f"messages a day × {measured.kafka_bytes:.0f} B × {KAFKA_DAYS} days × {KAFKA_COPIES} copies",
            [_bytes(size.kafka_disk) for size in found],
        ),
        (
            "ClickHouse, rows of a year",
            (
                f"{WORKING_DAYS} days × (messages × {measured.message_bytes + measured.procedure_bytes:.0f} B"
                f" + dossiers × {measured.dossier_bytes:.0f} B + {measured.agencies} agencies × {WORKING_SECONDS // 60} minutes"
                f" × {measured.minute_bytes:.0f} B)"
            ),
            [_bytes(size.rows_disk) for size in found],
        ),
        (
            "ClickHouse, disk of one copy",
            f"rows of a year × {YEARS} years × {MERGE_SPACE} for merges",
            [_bytes(size.clickhouse_disk) for size in found],
        ),
        ("ClickHouse, shards", f"÷ {_bytes(SERVER_DISK)} a server", [f"{size.shards}" for size in found]),
        ("ClickHouse, servers", f"shards × {REPLICAS} replicas", [f"{size.shards * REPLICAS}" for size in found]),
        (
            "ClickHouse, cores a server",
            f"workers × {measured.server_cores:.2f} × {SERVER_RESERVE} ÷ shards, at least {LEAST_CORES}",
            [f"{size.server_cores}" for size in found],
        ),
        (
            "Prometheus, series",
            f"{measured.exporter_series:,} + workers × {measured.worker_series:,} + partitions × 2",
            [f"{size.series:,}" for size in found],
        ),
        (
            "Prometheus, disk",
            f"series × one sample in {SCRAPE_SECONDS} s × {PROMETHEUS_DAYS} days × {SAMPLE_BYTES} B",
            [_bytes(size.prometheus_disk) for size in found],
        ),
        (
            "an hour's outage is caught up after",
            f"mean × {OUTAGE_SECONDS:,} s ÷ {measured.flood_rate:,.0f} messages/s",
            [_duration(size.caught_up) for size in found],
        ),
    ]
    yield "| | how | " + " | ".join(f"{factor} × the nation" for factor in FACTORS) + " |"
    yield "|---|---|" + "---:|" * len(FACTORS)
    yield f"| dossiers a day | {DOSSIERS_A_DAY:,} × | " + " | ".join(_count(f * DOSSIERS_A_DAY) for f in FACTORS) + " |"
    for name, how, values in rows:
        yield f"| {name} | {how} | " + " | ".join(values) + " |"


def _count(number: float) -> str:
    """Three digits that count."""
    digits = max(0, math.floor(math.log10(number)) - 2)
    return f"{round(number / 10**digits) * 10**digits:,}"


def _bytes(number: float) -> str:
    for unit in ("MB", "GB"):
        size = number / {"MB": 1e6, "GB": 1e9}[unit]
        if size < 1000:
            return f"{size:.3g} {unit}"
    return f"{number / 1e12:.3g} TB"


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def sizing() -> None:
        """Rewrite the table of docs/sizing.md from bench/results.json.

        Example: python -m bench sizing
        """
        head, _, rest = PAGE.read_text(encoding="utf-8").partition("<!-- sizing -->\n")
        _, _, tail = rest.partition("<!-- /sizing -->")
        table = "\n".join(lines(results.read()))
        PAGE.write_text(f"{head}<!-- sizing -->\n{table}\n<!-- /sizing -->{tail}", encoding="utf-8")
        Console().print(f"written: the table in {PAGE.relative_to(PROJECT)}")
