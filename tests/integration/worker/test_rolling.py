"""Workers that are restarted in turn, added and taken away while realistic dossiers flow: exact, and figures stay fresh."""

from __future__ import annotations

import uuid

import pytest

from bench.fleet import Place
from bench.rolling import in_turn, run, sizes

#: No event may wait longer than this for its tally (seconds), where it waits no longer than ``CALM`` without any restart.
FRESH, CALM = 10.0, 2.0

pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def place(kafka, clickhouse_server, tmp_path):
    """A topic with eight partitions, a group and a database of their own."""
    name = uuid.uuid4().hex[:12]
    kafka.create_topic(f"rolling-{name}", partitions=8)
    yield Place(kafka, clickhouse_server, f"rolling-{name}", f"rolling-{name}", f"rolling_{name}", tmp_path)
    clickhouse_server.query(f"DROP DATABASE IF EXISTS rolling_{name}")


def _holds(outcome):
    """Every figure is the ledger's, every worker ended as it should, and figures stayed as fresh as this machine allows."""
    assert not outcome.differences, outcome.differences[:20]
    assert not outcome.ends, outcome.ends
    assert len(outcome.steps) > 1
    assert 0 < outcome.worst <= FRESH * max(1.0, outcome.calm / CALM), outcome.steps


@pytest.mark.parametrize(
    ("membership", "workers", "rate"),
    [
        ("surge", 2, 500.0),
        pytest.param("surge", 4, 2_000.0, marks=pytest.mark.long),
        pytest.param("dynamic", 4, 2_000.0, marks=pytest.mark.long),
        pytest.param("static", 4, 2_000.0, marks=pytest.mark.long),
        pytest.param("replaced", 4, 2_000.0, marks=pytest.mark.long),
    ],
)
def test_a_rolling_restart_loses_and_doubles_nothing(place, membership, workers, rate):
    """Each worker is restarted under traffic, however it is known to its group; every tally of every tier is the ledger's."""
    _holds(run(place, partitions=8, rate=rate, membership=membership, workers=workers, steps=in_turn(workers), calm_seconds=2.0))


@pytest.mark.long
@pytest.mark.parametrize("membership", ["dynamic", "leaving"])
def test_workers_come_and_go(place, membership):
    """From one worker to four and back to two, under traffic."""
    _holds(
        run(place, partitions=8, rate=1_000.0, membership=membership, workers=1, steps=sizes(4, 2), calm_seconds=2.0),
    )
