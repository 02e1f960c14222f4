"""``portalpulse audit`` against a running process over a store in memory."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import threading
from functools import partial

import pytest
from prometheus_client import CollectorRegistry
from typer.testing import CliRunner

from domain.clock import ManualClock
from pipeline.audit.routes import audit_routes
from pipeline.cli import main as cli
from pipeline.serving.answer_sources import Api, Health
from pipeline.serving.server import HttpServer
from pipeline.settings import HttpSettings
from sinks.errors import Retryable
from tests.factories import LATEST
from tests.unit.pipeline.audit.helpers import expected


@contextlib.contextmanager
def served(api):
    """The port of a server that runs in a thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    server = HttpServer(api, HttpSettings(port=0))
    try:
        address = asyncio.run_coroutine_threadsafe(server.start(), loop).result(60)
        yield address.rpartition(":")[2]
        asyncio.run_coroutine_threadsafe(server.close(), loop).result(60)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture
def api(service, damaged, log, registry):
    """A process with a damaged store."""
    return Api(
        registry=CollectorRegistry(),
        agencies=registry,
        clock=ManualClock(LATEST),
        health=lambda: Health(healthy=True, ready=True),
        reader=damaged,
        routes=(partial(audit_routes, service(damaged, log)),),
    )


@pytest.fixture
def audit(api, monkeypatch, tmp_path):
    """Run the command against the process."""
    monkeypatch.setenv("PORTALPULSE_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("PORTALPULSE_CLICKHOUSE__URL", f"chdb:{tmp_path / 'clickhouse'}")
    monkeypatch.setenv("COLUMNS", "200")
    with served(api) as port:
        monkeypatch.setenv("PORTALPULSE_HTTP__PORT", port)
        yield lambda *arguments: CliRunner().invoke(cli.create_cli(), ["audit", "--settle", "0", *arguments])


def test_json(audit):
    """The report of a running process is printed byte for byte as that of the service in this process."""
    done = audit("--kafka", "deep", "--format", "json")
    assert done.exit_code == 1
    assert json.loads(done.stdout)["clean"] is False
    assert done.stdout == expected("report") + "\n"


def test_table(audit):
    """The table names every wrong tally, every repeat and every fault of Kafka, and says what to do."""
    done = audit("--kafka", "deep")
    assert done.exit_code == 1
    for text in (
        "2 days, 5 rows of messages",
        "newest event: 2024-01-02T01:30:00.000+00:00 / 2024-01-02T01:30:00.007+00:00",
        "events: 0 / 4",
        "1 event ids in several dossiers",
        "Partition 2 ends at 9, but 12 was acknowledged",
        "neither stored nor dead-lettered",
        "Tallies are wrong. Recount them with --repair.",
    ):
        assert text in done.stdout, text


def test_repair(audit):
    """A repair says what it began with and the epoch that it raised; the tallies are right afterwards."""
    done = audit("--repair")
    assert done.exit_code == 0, done.output
    assert "Repaired 2 days. Before, tallies were 6 events off and 0 late." in done.stdout
    assert "Raised the epoch to" in done.stdout
    assert "offsets 0 to 4 left the log before they were read" in done.stdout
    assert "Every tally is right." in done.stdout


@pytest.mark.parametrize("repair", [False, True])
def test_an_audit_that_is_interrupted_says_how_to_continue(audit, damaged, repair):
    """When the storage goes away in between, the text has the cause, where to look, and that the audit must be run again."""
    comparisons = itertools.count()

    def gone(operation):
        if operation == "compare" and next(comparisons) >= 8:  # a repair has begun
            raise Retryable("ClickHouse at db:8123: Connection refused")

    damaged.fault = gone
    done = audit(*["--repair"] * repair)
    said = str(done.exception)
    assert done.exception.exit_code == 2
    assert said.startswith("The audit was interrupted: http://127.0.0.1:")
    assert "answers 503: ClickHouse at db:8123: Connection refused. `portalpulse doctor` checks each part." in said
    assert said.endswith("Run it again: it repairs what is still wrong." if repair else "Then run it again.")
