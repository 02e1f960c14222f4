"""Messages expire while a worker reads the whole topic again: every figure stays that of the portals' ledger."""

from __future__ import annotations

import datetime as dt
import json

import pytest

from bench.consumer_group import ConsumerGroup
from bench.february import await_truth, table_differences
from deploy.native.processes import wait_until
from producers.portals.tier_truth import TIERS


@pytest.mark.long
@pytest.mark.timeout(600)
def test_messages_expire_while_a_worker_reads_everything_again(chain):
    """Runs at several bounds beside two workers, one of which gets every message once more: every figure is the ledger's."""
    chain.environment |= {"PORTALPULSE_DOSSIERS__INTERVAL_SECONDS": "1", "PORTALPULSE_RETENTION__QUIET_DAYS": "0"}

    def retention(command, *options, day):
        days = (dt.datetime.now(dt.UTC).date() - day).days
        changes = {"PORTALPULSE_RETENTION__MESSAGES_DAYS": str(days), "PORTALPULSE_KAFKA__GROUP": chain.group}
        done = chain.command("retention", command, *options, **changes)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def shown():
        return json.loads(retention("show", "--json", day=dt.date(2025, 2, 20)))

    chain.worker()
    with chain.month(seed=3) as sending:
        wait_until(lambda: any(committed for committed, _ in chain.offsets()), timeout=100, what="the worker to acknowledge")
    month = sending.result()
    wait_until(chain.acknowledged, timeout=120, what="the worker to acknowledge everything")
    wait_until(lambda: shown()["messages"]["dossiers"] > 100, timeout=60, what="the dossiers to be judged")
    group = f"{chain.group}-again"
    chain.environment["PORTALPULSE_KAFKA__GROUP"] = group
    chain.worker()
    for day in (dt.date(2025, 2, 10), dt.date(2025, 2, 20), dt.date(2025, 3, 20)):
        retention("apply", day=day)
    again = ConsumerGroup(chain.kafka.bootstrap, group=group, topic=chain.topic)
    await_truth(month, chain.server, chain.database, lag=again.lag, timeout=150)
    retention("apply", day=dt.date(2025, 3, 20))
    assert shown()["expired"]["messages"] > 1_000
    for table in TIERS:
        assert not table_differences(month, chain.server, chain.database, table)
