"""February 2025 as portals really send it: every figure and finding of every agency and day is the one that the portals know."""

from __future__ import annotations

import datetime as dt

import pytest

from bench.consumer_group import ConsumerGroup
from bench.february import await_truth, compare, found_by_command, reports, send_month, table_differences
from bench.query_time import DAYS
from deploy.native.processes import wait_until
from deploy.native.services.portalpulse_process import PortalPulseProcess
from producers.portals.tier_truth import TIERS, figure_differences, read_table
from producers.portals.truth_comparison import finding_differences, shortened
from producers.sending.worker_processes import Broker
from tests.exposition import samples

#: The events of the fast run and of the long ones; ``python -m bench february`` does the same with a million.
EVENTS, MANY_EVENTS = 10_000, (20_000, 50_000)
#: A day in the middle of the month.
SOME_DAY = dt.date(2025, 2, 13)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("events", [EVENTS, *(pytest.param(many, marks=pytest.mark.long) for many in MANY_EVENTS)])
def test_realistic_feeds_count_as_the_portals_know(chain, tmp_path, events):
    """86 agencies, each fault in 5 % of the dossiers, successors that send the month again, in any order, through two workers."""
    for _ in range(2):
        chain.launch()
    for worker in chain.workers:
        worker.await_ready(timeout=150)
    month = send_month(events=events, seed=1, broker=Broker((chain.kafka.bootstrap,), chain.topic))
    assert month.sent >= events
    assert month.truth.total("resubmitted") > 0
    group = ConsumerGroup(chain.kafka.bootstrap, group=chain.group, topic=chain.topic)
    await_truth(month, chain.server, chain.database, lag=group.lag, timeout=120)
    with reports(chain.environment, log_dir=tmp_path) as report:
        compared = compare(month, chain.server, chain.database, report=report)
    assert not compared.differences, "\n".join(shortened(compared.differences))
    assert min(compared.figures.values()) > 0
    by_query = read_table("agency_day", chain.server.query(DAYS.format(database=chain.database), timeout=120))
    assert not figure_differences(month.tables["agency_day"], by_query), "the SQL of the bench counts otherwise"
    for worker in chain.workers:
        worker.process.stop()  # which finishes what was begun: nothing may change any more
    for table in TIERS:
        assert not table_differences(month, chain.server, chain.database, table)
    by_command = found_by_command(chain.environment)
    assert not list(shortened(finding_differences(month.truth, by_command)))
    assert exported_findings(chain.environment, tmp_path) == {
        (unit, kind): number for (unit, day), kinds in by_command.items() for kind, number in kinds.items() if day == SOME_DAY
    }


def exported_findings(environment, log_dir):
    """The findings above 0 that an exporter shows whose clock stands at ``SOME_DAY``: (unit, kind) -> dossiers."""
    settings = {"PORTALPULSE_CLOCK": f"{SOME_DAY}T12:00:00+07:00", "PORTALPULSE_FINDINGS__INTERVAL_SECONDS": "0.5"}
    exporter = PortalPulseProcess("exporter", environment=environment | settings, log_dir=log_dir)

    def exported():
        found = samples(exporter.url, "agency_findings")
        return {(sample.labels["agency"], sample.labels["kind"]): int(sample.value) for sample in found}

    exporter.start(timeout=150)
    try:
        wait_until(exported, timeout=120, what="the first search for findings to end")
        return {series: number for series, number in exported().items() if number}
    finally:
        exporter.stop()
