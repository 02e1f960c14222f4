"""Workers with names of their own in the group: restarts, two of one name, stopped for good, frozen, added partitions."""

from __future__ import annotations

import json
import os
import signal

import pytest
from confluent_kafka.admin import NewPartitions

from deploy.native.processes import wait_until
from deploy.native.services.kafka_admin import admin_client
from domain.errors import ReplacedError
from tests.exposition import samples
from tests.factories import a_message, an_event
from tests.sending import send

pytestmark = pytest.mark.timeout(600)

INSTANCE, LEAVE = "PORTALPULSE_KAFKA__INSTANCE_ID", "PORTALPULSE_KAFKA__LEAVE_ON_STOP"
SESSION = "PORTALPULSE_KAFKA__SESSION_TIMEOUT_SECONDS"
#: So long that no session ends by itself within a test: what happens sooner has another reason.
NEVER = {SESSION: "90"}


def gauge(worker, name):
    """The value of a gauge without labels; None while the worker does not answer."""
    return next((sample.value for sample in samples(worker.url, name)), None)


def partitions(worker):
    """How many partitions a worker has."""
    return gauge(worker, "portalpulse_worker_assigned_partitions")


def listed(chain):
    """Partition -> the name of its worker; None while partitions are given out."""
    done = chain.command("workers", "list", "--json")

    found = json.loads(done.stdout)["partitions"]
    if any(part["readers"] is None for part in found):
        return None
    assert done.returncode == (0 if all(part["readers"] for part in found) else 1)
    return {part["partition"]: [each["worker"] for each in part["readers"]] for part in found}


def rebalances(worker):
    """How often a running worker was told to give its partitions up, as its log says."""
    return worker.process.log_tail(10_000).count("because it is rebalancing")


def sent(chain, number):
    """Send distinct events; returns how many."""
    events = [an_event() for _ in range(number)]
    assert (
        send(chain.kafka.bootstrap, chain.topic, [(each.dossier_code.encode(), a_message(each)) for each in events]).failed == 0
    )
    return number


def await_counted(chain, events):
    """Everything is counted, in every tier once, and acknowledged."""
    wait_until(
        lambda: chain.tallied() == chain.rolled_up() == chain.stored() == events and chain.acknowledged(),
        timeout=150,
        what=f"{events} events to be counted once",
    )


def test_a_restart_disturbs_nobody(chain):
    """A worker that is back within its session has the same partitions again, and the other one is never asked to give any up."""
    first, second = (chain.launch(**NEVER, **{INSTANCE: name}) for name in ("worker-1", "worker-2"))
    for worker in (first, second):
        worker.await_ready(timeout=150)
    wait_until(lambda: partitions(first) == partitions(second) == 2, timeout=150, what="both to have two partitions")
    before, asked = listed(chain), rebalances(second)
    assert sorted(before.values()) == [["worker-1"]] * 2 + [["worker-2"]] * 2
    events = sent(chain, 2_000)
    first.process.stop()
    events += sent(chain, 2_000)
    assert partitions(second) == 2, "the place of the first waits for it"
    first.launch()
    first.await_ready(timeout=150)
    await_counted(chain, events)
    assert listed(chain) == before
    assert rebalances(second) == asked


def test_two_workers_of_one_name(chain):
    """The later one has the place. The earlier one says so and what to do, ends with a status of its own, and joins no more."""
    settings = NEVER | {INSTANCE: "worker-1"}
    first = chain.worker(**settings)
    events = sent(chain, 2_000)
    second = chain.worker(**settings)
    wait_until(lambda: not first.process.running, timeout=150, what="the earlier worker to end")
    assert first.process.exit_code == ReplacedError.exit_code == 4
    said = first.process.log_tail(20)
    assert f"Another worker joined the consumer group '{chain.group}' as 'worker-1'" in said
    assert INSTANCE in said
    events += sent(chain, 2_000)
    await_counted(chain, events)
    assert partitions(second) == 4
    assert second.process.running


@pytest.mark.parametrize("by", [pytest.param("setting", marks=pytest.mark.long), "command"])
def test_a_worker_that_stops_for_good(chain, by):
    """With the setting it leaves the group when it stops; else the command removes it. The other has its partitions at once."""
    leave = {LEAVE: "true"} if by == "setting" else {}
    first, second = (chain.launch(**NEVER, **leave, **{INSTANCE: name}) for name in ("worker-1", "worker-2"))
    for worker in (first, second):
        worker.await_ready(timeout=150)
    wait_until(lambda: partitions(first) == partitions(second) == 2, timeout=150, what="both to have two partitions")
    first.process.stop()
    assert first.process.exit_code == 0
    if by == "command":
        assert partitions(second) == 2
        assert chain.command("workers", "remove", "worker-1").returncode == 0
        again = chain.command("workers", "remove", "worker-1")
        assert (again.returncode, "has no worker 'worker-1'" in again.stderr) == (2, True)
    wait_until(lambda: partitions(second) == 4, timeout=60, what="the other to have all partitions")
    await_counted(chain, sent(chain, 1_000))
    assert listed(chain) == {number: ["worker-2"] for number in range(4)}


@pytest.mark.long
@pytest.mark.parametrize("named", [False, True], ids=["dynamic", "named"])
def test_workers_that_stop_together_all_leave(chain, named):
    """A worker that stops while another one's leaving makes the group give its partitions out leaves all the same."""
    names = ("worker-1", "worker-2", "worker-3", "worker-4")
    workers = [chain.launch(**NEVER, **({INSTANCE: name, LEAVE: "true"} if named else {})) for name in names]
    for worker in workers:
        worker.await_ready(timeout=150)
    wait_until(lambda: all(partitions(worker) == 1 for worker in workers), timeout=150, what="each to have a partition")
    *stopping, last = workers
    for worker in stopping:
        os.kill(worker.process.pid, signal.SIGTERM)
    wait_until(lambda: not any(worker.process.running for worker in stopping), timeout=60, what="three workers to end")
    assert [worker.process.exit_code for worker in stopping] == [0, 0, 0]
    wait_until(lambda: partitions(last) == 4, timeout=45, what="the last one to have all partitions")
    await_counted(chain, sent(chain, 1_000))


@pytest.mark.long
def test_a_partition_added_while_the_leader_restarts(chain):
    """A partition that came while the member that gives partitions out was away is read, although nobody lost one."""
    worker = chain.worker(**NEVER, **{INSTANCE: "worker-1"})
    worker.process.stop()
    admin = admin_client(chain.kafka.bootstrap)  # kept, because its futures end with it
    admin.create_partitions([NewPartitions(chain.topic, 5)])[chain.topic].result(60)
    worker.launch()
    worker.await_ready(timeout=150)
    wait_until(lambda: partitions(worker) == 5, timeout=90, what="the added partition to be read")


@pytest.mark.long
def test_a_frozen_worker_is_replaced(chain):
    """The other has its partitions after its session. Thawed, it writes no wrong tally, commits nothing, and joins again."""
    first, second = (chain.launch(**{INSTANCE: name}) for name in ("worker-1", "worker-2"))
    for worker in (first, second):
        worker.await_ready(timeout=150)
    wait_until(lambda: partitions(first) == partitions(second) == 2, timeout=150, what="both to have two partitions")
    events = sent(chain, 5_000)
    first.process.suspend()
    try:
        wait_until(lambda: partitions(second) == 4, timeout=60, what="the other to have all partitions")
        events += sent(chain, 5_000)
        await_counted(chain, events)
        before = chain.offsets()
    finally:
        first.process.resume()
    wait_until(lambda: partitions(first) == partitions(second) == 2, timeout=60, what="the thawed worker to join again")
    assert all(now >= then for (now, _), (then, _) in zip(chain.offsets(), before, strict=True)), "an old offset was committed"
    events += sent(chain, 5_000)
    await_counted(chain, events)


@pytest.mark.long
def test_a_frozen_worker_whose_place_is_taken(chain):
    """Thawed after another process has its name, it ends with a status after which a supervisor leaves it stopped."""
    settings = NEVER | {INSTANCE: "worker-1"}
    first = chain.worker(**settings)
    events = sent(chain, 5_000)
    first.process.suspend()
    try:
        second = chain.worker(**settings)
        events += sent(chain, 5_000)
        await_counted(chain, events)
    finally:
        first.process.resume()
    wait_until(lambda: not first.process.running, timeout=60, what="the thawed worker to end")
    assert first.process.exit_code == ReplacedError.exit_code
    events += sent(chain, 1_000)
    await_counted(chain, events)
    assert partitions(second) == 4
