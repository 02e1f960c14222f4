"""Workers on a real cluster whose servers fail: every figure on every replica is the one that the portals know."""

from __future__ import annotations

import threading
import time
from itertools import product

import pytest

from bench.consumer_group import ConsumerGroup
from bench.february import await_truth, compare, reports, send_month, table_differences
from deploy.native.processes import wait_until
from producers.portals.tier_truth import TIERS
from producers.portals.truth_comparison import shortened
from producers.sending.worker_processes import Broker

#: Messages, and how long the coordination service is away (seconds).
_RUNS = [(6_000, 3.0), (50_000, 60.0)]


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("events", "away"), _RUNS)
def test_replicas_and_coordination_that_fail_move_no_figure(cluster_chain, tmp_path, events, away):
    """Two workers count realistic feeds while each replica is killed in turn, and then the coordination stops for a while."""
    cluster = cluster_chain.cluster
    for _ in range(2):
        cluster_chain.launch()
    for worker in cluster_chain.workers:
        worker.await_ready(timeout=150)
    done, kills = threading.Event(), []

    def fail():
        for shard, number in product((0, 1), (0, 1)):
            replica = cluster.replica(shard, number)
            replica.kill()
            kills.append((shard, number))
            done.wait(2)
            replica.start()
            done.wait(2)

    faults = threading.Thread(target=fail)
    faults.start()
    month = send_month(events=events, seed=1, broker=Broker((cluster_chain.kafka.bootstrap,), cluster_chain.topic))
    faults.join()
    cluster.coordination.stop()
    stopped = time.monotonic()
    wait_until(lambda: time.monotonic() - stopped >= away, timeout=away + 30, what="the end of the outage")
    cluster.coordination.start()
    assert kills == [(0, 0), (0, 1), (1, 0), (1, 1)]
    group = ConsumerGroup(cluster_chain.kafka.bootstrap, group=cluster_chain.group, topic=cluster_chain.topic)
    await_truth(month, cluster_chain.server, cluster_chain.database, lag=group.lag, timeout=600)
    wait_until(cluster_chain.acknowledged, timeout=300, what="every message to be acknowledged")
    for replica in cluster.replicas:  # a table finds the coordination again up to a minute after it is back
        wait_until(lambda replica=replica: writable(replica), timeout=150, what=f"{replica.name} to be writable")
    with reports(cluster_chain.environment, log_dir=tmp_path) as report:
        compared = compare(month, cluster_chain.server, cluster_chain.database, report=report)
    assert not compared.differences, "\n".join(shortened(compared.differences))
    for table in TIERS:
        for shard in cluster.shards:
            parts = {part(replica, cluster_chain.database, table) for replica in shard}
            assert len(parts) == 1, f"the replicas of a shard differ in {table}"
        for replica in cluster.replicas:
            assert not table_differences(month, replica, cluster_chain.database, table), f"{table} as {replica.name} reads it"
    audit = cluster_chain.command("audit", "--kafka", "deep")
    assert audit.returncode == 0, audit.stdout


def writable(replica):
    """Whether a replica has a connection to the coordination for each of its tables."""
    return replica.query("SELECT count() FROM system.replicas WHERE is_readonly") == "0"


def part(replica, database, table):
    """What a replica has of the tallies of its shard, as a text."""
    replica.query(f"SYSTEM SYNC REPLICA {table}", database=f"{database}_local")
    return replica.query(f"SELECT * FROM {table} FINAL ORDER BY ALL", database=f"{database}_local")
