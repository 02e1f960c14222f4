"""``portalpulse alerts backtest`` over a real store, by HTTP, with an answer that is known."""

from __future__ import annotations

import asyncio
import csv
import datetime as dt
import io
import json
from functools import partial

import httpx
import pytest
from prometheus_client import CollectorRegistry
from typer.testing import CliRunner

from domain.agencies import AgencyRegistry
from domain.clock import ManualClock
from domain.indicators import INDICATORS
from domain.periods import day_start
from pipeline.cli.main import create_cli
from pipeline.report.steps import step_routes
from pipeline.serving.answer_sources import Api, Health
from pipeline.serving.server import HttpServer
from pipeline.settings import HttpSettings
from tests.contract.store_suite import EVER
from tests.contract.test_store import in_clickhouse
from tests.factories import an_event, rows_of

FIRST = dt.date(2024, 3, 4)
DAY = dt.timedelta(days=1)
AGENCIES = ("--agency", "H17", "--agency", "H01", "--agency", "H02")
#: Every agency settles 40 dossiers at nine o'clock; H17 settles 20 of them online, and none on the sixth to the eighth day.
DAYS, DOSSIERS, ONLINE = 12, 40, 20
ZERO_DAYS = range(5, 8)


def history():
    """The events."""
    return [
        an_event(
            agency=agency,
            occurred_at=day_start(FIRST + day * DAY) + dt.timedelta(hours=9, seconds=number),
            service_level="toan_trinh" if number < ONLINE and (agency != "H17" or day not in ZERO_DAYS) else "mot_phan",
        )
        for agency in ("H17", "H01")
        for day in range(DAYS)
        for number in range(DOSSIERS)
    ]


@pytest.fixture
async def stored(embedded):
    """A process that serves the steps of a stored history; its port."""
    sink = in_clickhouse(embedded)
    sink.store.insert_events(rows_of(history()))
    sink.store.recount_minutes(EVER)
    api = Api(
        registry=CollectorRegistry(),
        agencies=AgencyRegistry.packaged(),
        clock=ManualClock(day_start(FIRST)),
        health=lambda: Health(healthy=True, ready=True),
        reader=sink.reader,
        routes=(partial(step_routes, sink.reader, INDICATORS),),
    )
    server = HttpServer(api, HttpSettings(port=0))
    address = await server.start()
    yield int(address.rsplit(":", 1)[1])
    await server.close()


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("from=2024-01-01&to=2024-02-01&step=60", "at most 31 days"),
        ("from=2024-01-01&to=2024-01-02&step=7", "from 10 to 1440"),
        ("from=2024-01-01&to=2024-01-02&step=50", "does not divide a day"),
        ("from=2024-01-02&to=2024-01-01&step=60", "before it starts"),
    ],
)
async def test_steps_that_cannot_be_answered_are_refused(stored, query, reason):
    """Status 400 and one sentence that says what to ask for."""
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(f"http://127.0.0.1:{stored}/api/v1/steps?{query}")
    assert answer.status_code == 400
    assert reason in answer.json()["error"]


async def test_history_fires_as_often_and_as_long_as_it_must(stored, tmp_path, monkeypatch):
    """H17 has no online dossier for three days: each rung fires once, for 73 hours. H02 never sends anything.

    It fires two steps after the first figures of the first day, and ends three steps after those of the day after the last. Below
    60 % both agencies fire all the time, below 40 % only H17.
    """
    monkeypatch.setenv("PORTALPULSE_HTTP__PORT", str(stored))
    monkeypatch.setenv("PORTALPULSE_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("PORTALPULSE_THRESHOLDS", json.dumps([{"window": "1d"}]))
    period = ("--from", str(FIRST + DAY), "--to", str(FIRST + (DAYS - 1) * DAY))

    async def backtest(*arguments):
        done = await asyncio.to_thread(CliRunner().invoke, create_cli(), ["alerts", "backtest", *period, *AGENCIES, *arguments])
        assert done.exit_code == 0, done.output + repr(done.exception)
        return done.stdout

    rows = json.loads(await backtest("--format", "json"))["alerts"]
    rungs = {row["rung"]: row for row in rows if row["window"] == "1d"}
    assert {(row["alert"], row["agency"]) for row in rows} == {("AgencyRateLow", "H17"), ("AgencySilent", "H02")}
    assert {rung: row["limit"] for rung, row in rungs.items()} == {"zero": 0, "below5": 5, "below10": 10}
    for row in rungs.values():
        assert (row["times"], row["hours"], row["longest"], row["firing"]) == (1, 73, 73, False), row

    # With steps of three hours: from 18:00 of the first day to 21:00 of the day after the last.
    long = ("--step", "180")
    text = await backtest("--threshold", "60", "--threshold", "40", "--format", "csv", *long)
    found = {(row["agency"], float(row["limit"])): row for row in csv.DictReader(io.StringIO(text)) if row["rung"] == "below5"}
    assert set(found) == {("H01", 60), ("H17", 60), ("H17", 40)}
    assert found["H17", 40]["hours"] == "75.0"
    assert {found[agency, 60]["firing"] for agency in ("H01", "H17")} == {"True"}
    assert float(found["H01", 60]["hours"]) == (DAYS - 1) * 24
    assert "2 agencies would have had alerts" in await backtest(*long)
