"""``python -m bench alerting``: what scrapes and rules cost with many agencies, on real parts."""

from __future__ import annotations

import csv
import datetime as dt
import time
from pathlib import Path
from typing import Annotated, Any, Final

import httpx
import psutil
import typer
from rich.console import Console

from bench import results
from bench.environment import child_environment
from bench.measure import Stack, machine, running_stack
from bench.preload import TIMEOUT_SECONDS
from bench.sizes import preload_year
from dashboards.rules.generate import write_rules
from dashboards.rules.timing import RuleTiming
from deploy.native.processes import wait_until
from deploy.native.services.portalpulse_process import PortalPulseProcess
from deploy.native.services.prometheus import Pace, PrometheusServer
from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.migrate import migrate
from sinks.clickhouse.store import ClickHouseStore
from sinks.clickhouse.target import Target

#: Codes of agencies are a letter and two digits.
MOST: Final = 2_600
_CODE: Final = "concat(char(65 + intDiv({number}, 100)), leftPad(toString(({number}) % 100), 2, '0'))"
_ROWS: Final = 2_000_000
_PROCEDURES: Final = 2_000
#: As in production.
_PACE: Final = Pace(scrape=15, evaluate=60)
#: Evaluations of each group that are waited for.
_EVALUATIONS: Final = 3


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def alerting(
        *,
        agencies: Annotated[list[int], typer.Option(help="Numbers of agencies.")] = [85, 500, MOST],  # noqa: B006
    ) -> None:
        """Time scrapes of the exporter and evaluations of the rules while the number of agencies grows."""
        console = Console()
        found = []
        with running_stack() as stack:
            for number in agencies:
                found.append(measure(stack, number))
                console.print(found[-1])
        results.update(
            {"alerting": {"machine": machine(), "taken_at": f"{dt.datetime.now(dt.UTC):%Y-%m-%dT%H:%MZ}", "runs": found}}
        )


def measure(stack: Stack, agencies: int) -> dict[str, Any]:
    """Seconds of scrapes and evaluations, series, and memory, with so many agencies that report."""
    database = f"alerting_{agencies}"
    clickhouse = ClickHouse(Target.parse(stack.server.url(database), timeout=TIMEOUT_SECONDS))
    try:
        migrate(clickhouse)
        now = dt.datetime.now(dt.UTC).replace(second=0, microsecond=0)
        sizes = {"agencies": agencies, "procedures": _PROCEDURES, "rows": _ROWS}
        preload_year(stack, database, ClickHouseStore(clickhouse), sizes, now, code=_CODE)
    finally:
        clickhouse.close()
    registry = stack.folder / f"{database}.csv"
    _write_registry(registry, agencies)
    environment = child_environment(
        PORTALPULSE_CLICKHOUSE__URL=stack.server.url(database), PORTALPULSE_REGISTRY_FILE=str(registry)
    )
    exporter = PortalPulseProcess("exporter", environment=environment, log_dir=stack.logs, directory=stack.working_directory())
    prometheus = PrometheusServer(data_dir=stack.folder / f"prometheus-{agencies}", log_dir=stack.logs)
    rules = write_rules(stack.folder / f"rules-{agencies}", RuleTiming.production())
    prometheus.configure(
        targets={"portalpulse": [exporter.address], "prometheus": [prometheus.address]},
        rules=rules,
        alertmanager="127.0.0.1:9",
        pace=_PACE,
    )
    try:
        exporter.start()
        prometheus.start()
        return {"agencies": agencies, **_measured(prometheus, exporter)}
    finally:
        prometheus.stop()
        exporter.stop()
        stack.drop_database(database)


def _measured(prometheus: PrometheusServer, exporter: PortalPulseProcess) -> dict[str, Any]:
    def value(query: str) -> float:
        answer = httpx.get(f"{prometheus.url}/api/v1/query", params={"query": query}, timeout=60, trust_env=False).json()
        found = answer["data"]["result"]
        return float(found[0]["value"][1]) if found else 0.0

    began, cpu = time.monotonic(), _cpu(exporter)
    evaluated = f"min(prometheus_rule_group_iterations_total) >= {_EVALUATIONS}"
    wait_until(lambda: value(evaluated), timeout=900, what="evaluations", poll=5)
    lasted = time.monotonic() - began
    ours = '{job="portalpulse"}'
    window = f"[{int(lasted)}s]"
    return {
        "samples_of_a_scrape": int(value(f"scrape_samples_scraped{ours}")),
        "scrape_seconds": round(value(f"max_over_time(scrape_duration_seconds{ours}{window})"), 2),
        "scrapes_missed": int(value(f"count_over_time(up{ours}{window}) - sum_over_time(up{ours}{window})")),
        "rule_seconds": round(value("sum(prometheus_rule_group_last_duration_seconds)"), 2),
        "evaluations_missed": int(value("sum(prometheus_rule_group_iterations_missed_total)")),
        "share_of_a_core_exporter": round((_cpu(exporter) - cpu) / lasted, 3),
        "prometheus_mib": round(_process(prometheus).memory_info().rss / 2**20),
    }


def _process(service: PortalPulseProcess | PrometheusServer) -> psutil.Process:
    return psutil.Process(service.process.pid)


def _cpu(service: PortalPulseProcess) -> float:
    return float(sum(_process(service).cpu_times()[:2]))


def _write_registry(path: Path, agencies: int) -> None:
    """The codes that ``preload_year`` writes."""
    columns = (
        *("code", "name_vi", "name_en", "short_name_vi", "official_name_vi", "block", "valid_from"),
        *("valid_to", "successor_code", "reports_from", "confidence", "gso_code"),
    )
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(columns)
        for number in range(agencies):
            name = f"Cơ quan {number}"
            rows.writerow(
                [
                    f"{chr(65 + number // 100)}{number % 100:02}",
                    name,
                    f"Agency {number}",
                    name,
                    name,
                    "province",
                    "2016-04-01",
                    "",
                    "",
                    "2016-04-01",
                    "sequence",
                    "",
                ]
            )
